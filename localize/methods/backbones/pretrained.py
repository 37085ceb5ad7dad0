"""A pretrained network: its name, the source of its weights, and what its input must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from localize.methods.backbones import weights
from localize.methods.backbones.options import BACKBONE, BackboneOptions
from localize.methods.backbones.weights import PACKAGED, State
from localize.training.torchvision_compat import make_torchvision_importable
from synth.errors import InputError
from synth.paths import path_of

make_torchvision_importable()

import timm  # noqa: E402  (needs a torchvision that imports)

MOBILENET = "mobilenet_v2"  # the only network of torchvision; all others are of timm
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std of its pixels, 0 to 1
NORMALISATION = {BACKBONE: ((127 / 255,) * 3, (128 / 255,) * 3)}


@dataclass(frozen=True)
class Choice:
    """A network and the source of its weights: at most one of file, download and random.

    Args:
        weights: path of a local file of tensors (safetensors or torch).
        sha256: digest that the file must have.
        download: whether timm downloads its weights from the model hub.
        random: whether the weights stay random.
        seed: seed of the random weights.

    Raises:
        InputError: the sources contradict each other, or there is no such network.
    """

    name: str = BACKBONE
    weights: str | None = None
    sha256: str | None = None
    download: bool = False
    random: bool = False
    seed: int = 0

    @classmethod
    def of(cls, options: BackboneOptions) -> Choice:
        """The backbone and the source of its weights, as the options choose them."""
        return cls(
            options.backbone,
            weights=None if options.weights is None else str(options.weights),
            sha256=options.weights_sha256,
            download=options.download,
            random=options.random_weights,
            seed=options.seed,
        )

    def __post_init__(self) -> None:
        if self.name != MOBILENET and not timm.is_model(self.name):
            raise InputError(
                f"backbone '{self.name}' is unknown: use {BACKBONE}, resnet18, wide_resnet50_2, "
                "mobilenet_v2, vit_small_patch14_dinov2 or another name that timm knows"
            )
        if sum((self.weights is not None, self.download, self.random)) > 1:
            raise InputError("choose one: --weights FILE, --download or --random-weights")
        if self.sha256 and not self.weights:
            raise InputError("--weights-sha256 is the digest of --weights FILE: give both")
        if not (self.weights or self.download or self.random or self.name in PACKAGED):
            known = None if self.name == MOBILENET else timm.get_pretrained_cfg(self.name)
            hub = known and known.hf_hub_id
            where = (
                f"model.safetensors of {hub} on the Hugging Face hub" if hub else "torchvision's"
            )
            raise InputError(
                f"{self.name} needs weights: give a file with --weights ({where}), or --download "
                "on a computer with a network, or --random-weights for an untrained one"
            )


class Pretrained(nn.Module):
    """A network whose input is (B, 3, h, w) float32 in 0 to 1; a subclass defines ``forward``.

    Args:
        model: the layers, with the names of the state dicts of its library.
        multiple: h and w must be multiples of this.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, model: Any, multiple: int = 1) -> None:
        super().__init__()
        self.name, self.model, self.multiple = name, model, multiple
        mean, std = NORMALISATION.get(name, IMAGENET)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Images in 0 to 1 -> the same with the mean and spread that the model was trained with."""
        return (images - self.mean) / self.std

    def fill(self, state: State, source: str) -> None:
        """Load the weights from a state dict, which may have more entries.

        Raises:
            InputError: a tensor is missing or has another shape.
        """
        expected = self.model.state_dict()
        prefix = "features." if self.name == MOBILENET else ""
        optional = "num_batches_tracked"
        tensors = {name: state[prefix + name] for name in expected if prefix + name in state}
        missing = [name for name in expected if name not in tensors and not name.endswith(optional)]
        missing += [name for name, v in tensors.items() if v.shape != expected[name].shape]
        if missing:
            raise InputError(
                f"{source} does not fit {self.name}: {len(missing)} of {len(expected)} tensors are "
                f"missing or of another shape, the first is {prefix}{missing[0]}"
            )
        self.model.load_state_dict(tensors, strict=False)


Network = TypeVar("Network", bound=Pretrained)


def build(
    choice: Choice, construct: Callable[[str], Network]
) -> tuple[Network, dict[str, str | None]]:
    """A choice -> the network with its weights, and the source of the weights.

    Args:
        construct: name -> the network with random weights.

    Raises:
        InputError: the weights are missing, or belong to another network.
    """
    name = choice.name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(choice.seed)
        network = construct(name)
    if choice.random:
        return network, {"source": f"random, seed {choice.seed}", "sha256": None}
    if choice.weights:
        path = path_of(choice.weights)
        state, digest = weights.read(path, choice.sha256)
        network.fill(state, str(path))
        return network, {"source": path.name, "sha256": digest}
    if choice.download:
        network.fill(_download(name), f"the hub's {name}")
        return network, {"source": "downloaded", "sha256": None}
    source = PACKAGED[name]
    network.fill(weights.read_packaged(source, list(timm.create_model(name).state_dict())), name)
    return network, {"source": f"{source.package} {source.version}", "sha256": source.sha256}


def _download(name: str) -> State:
    """The weights of a network from its model hub."""
    try:
        if name == MOBILENET:
            from torchvision.models import MobileNet_V2_Weights

            state: State = MobileNet_V2_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)
        else:
            state = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # each hub raises its own kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the weights of {name} could not be downloaded ({reason}): give a file with --weights"
        ) from None
    return state
