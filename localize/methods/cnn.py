"""The CNN regressors `cnn-*`: a network that regresses x and y, in five variants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from localize.data import augmentation, batches
from localize.localizer import Finding, Learns, Localizer, Source, Told, check_labelled
from localize.methods.cnn_options import CnnOptions
from localize.onnx.sidecar import Sidecar
from localize.run_files import read_run
from localize.training import runs, trainer
from localize.training.devices import device_of
from localize.training.runs import load_weights
from localize.training.trainer import Schedule
from synth.errors import InputError

Fusion = Literal["none", "features", "last", "embedded"]
CHANNELS = (3, 4, 8, 16, 32, 64)
HIDDEN = 100  # units of the first fully connected layer
EMBEDDED = 16  # units of the layer for r and ratio
GROUP = 16  # images per forward pass of locate


@dataclass(frozen=True)
class Variant:
    """A variant: where r and the ratio enter the network, Adam's learning rate, the epochs."""

    fusion: Fusion
    learning_rate: float
    epochs: int


VARIANTS = {
    "cnn-fast": Variant("none", 5e-4, 10),
    "cnn-slow": Variant("none", 1e-4, 30),
    "cnn-fuse-features": Variant("features", 5e-4, 20),
    "cnn-fuse-last": Variant("last", 1e-3, 30),
    "cnn-fuse-embedded": Variant("embedded", 1e-3, 30),
}


class Network(nn.Module):
    """(B, 3, h, w) float32 in 0 to 1, (B, 2) -> (B, 2): x and y as fractions of the image.

    Args:
        size: (w, h) of the input, px. Where it is no multiple of 16, the pooling drops the last
            columns and rows.
        fusion: where r and the ratio enter: nowhere ("none"), appended to the features, before the
            last layer ("last"), or there after their own layer ("embedded").
        mean, scale: for (r px, ratio): the mean is subtracted, and the result is divided by scale.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fusion: Fusion,
        mean: Sequence[float] = (0.0, 0.0),
        scale: Sequence[float] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(CHANNELS):
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            if after != CHANNELS[-1]:
                # Pooling and ReLU commute; in this order ReLU has a quarter of the work.
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU())
        self.features = nn.Sequential(*layers, nn.Flatten())
        flat = CHANNELS[-1] * (size[0] // 16) * (size[1] // 16)
        extra = {"none": 0, "features": 0, "last": 2, "embedded": EMBEDDED}[fusion]
        self.fusion = fusion
        self.hidden = nn.Linear(flat + (2 if fusion == "features" else 0), HIDDEN)
        self.embed = nn.Linear(2, EMBEDDED) if fusion == "embedded" else None
        self.out = nn.Linear(HIDDEN + extra, 2)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, images: torch.Tensor, numeric: torch.Tensor) -> torch.Tensor:
        numeric = (numeric - self.mean) / self.scale  # type: ignore[operator]
        x = self.features(images)
        if self.fusion == "features":
            x = torch.cat([x, numeric], dim=1)
        x = torch.relu(self.hidden(x))
        if self.fusion == "last":
            x = torch.cat([x, numeric], dim=1)
        elif self.embed is not None:
            x = torch.cat([x, self.embed(numeric)], dim=1)
        centre: torch.Tensor = self.out(x)
        return centre


class Deployed(nn.Module):
    """(B, 3, h, w) uint8, and for told networks (B,) r in px and (B,) ratio -> (B, 2) fractions.

    Args:
        network: such as :class:`Network`.
        told: whether it uses r and the ratio.
    """

    def __init__(self, network: nn.Module, told: bool) -> None:
        super().__init__()
        self.network, self.told = network, told

    def forward(self, images: torch.Tensor, *numbers: torch.Tensor) -> torch.Tensor:
        pixels = images.float() / 255
        numeric = torch.stack(numbers, 1) if self.told else pixels.new_zeros((len(images), 2))
        centres: torch.Tensor = self.network(pixels, numeric)
        return centres


class Cnn(Localizer):
    """One of the variants in :data:`VARIANTS`, trained on labelled images.

    Args:
        variant: name of the variant.
        options: of :class:`~localize.methods.cnn_options.CnnOptions`.
    """

    learns: Learns = "labelled"
    variants: ClassVar[Mapping[str, Variant]] = VARIANTS
    loss = staticmethod(trainer.squared_error)

    def __init__(self, variant: str, **options: Any) -> None:
        self.name = variant
        self.options = CnnOptions(**options)
        self.variant = self.variants[variant]
        fused = self.variant.fusion != "none"
        self.told = frozenset({"r", "discolor_ratio"} if fused else ())
        self.device = device_of(self.options.device)
        self.network: nn.Module | None = None

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    @property
    def schedule(self) -> Schedule:
        """The schedule: the options of the user, else the numbers of the variant."""
        options, variant = self.options, self.variant
        epochs, rate = options.epochs, options.learning_rate
        return Schedule(
            epochs=max(1, round(variant.epochs * options.epochs_scale))
            if epochs is None
            else epochs,
            learning_rate=variant.learning_rate if rate is None else rate,
            batch=options.batch,
            patience=options.patience,
            device=options.device,
            devices=options.devices,
            progress=options.progress,
        )

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, or continue an interrupted run; keep the epoch of least validation distance."""
        check_labelled(train, val)
        options, schedule = self.options, self.schedule
        augment = augmentation.build(options.augment) if options.augment else None
        mean, scale = (0.0, 0.0), (1.0, 1.0)
        epoch = batches.epoch_of(train)
        is_endless = epoch < len(train)
        if is_endless:
            train = train.schedule(schedule.epochs * epoch)
        if not options.raw_numeric:
            step = schedule.epochs if is_endless else 1  # a recipe's stages have other numbers
            numeric = np.array([self._numeric(train, i * step) for i in range(epoch)])
            mean = tuple(numeric.mean(axis=0).tolist())
            scale = tuple(np.maximum(numeric.std(axis=0), 1e-6).tolist())
        torch.manual_seed(options.seed)
        network = self.build(mean, scale)
        shared: dict[str, Any] = {"batch": schedule.batch, "seed": options.seed}
        workers = min(8, torch.get_num_threads()) if augment or is_endless else 0
        about = {
            "method": self.name,
            "options": {"variant": self.name, **options.description()},
            "numeric_mean": mean,
            "numeric_scale": scale,
            "schedule": {k: v for k, v in vars(schedule).items() if k != "progress"},
            "train_images": None if is_endless else len(train),
            **({"source": train.description()} if is_endless else {}),
            "val_images": len(val),
        }
        trainer.train(
            trainer.Regression(network, schedule.learning_rate, self.loss),
            batches.loader(
                train, options.input, shuffle=True, augment=augment, workers=workers, **shared
            ),
            batches.loader(val, options.input, shuffle=False, **shared),
            run,
            schedule,
            about,
        )
        runs.finish(run, about, "val_distance")
        self.network = network
        self._load_weights(run, "best")

    def build(self, mean: Sequence[float], scale: Sequence[float]) -> nn.Module:
        """A network before training; ``mean`` and ``scale`` standardise (r px, ratio)."""
        return Network(self.options.input, self.variant.fusion, mean, scale)

    def _numeric(self, source: Source, index: int) -> tuple[float, float]:
        """The radius in px of the input, and the ratio, of an image."""
        truth, size = source.truth(index)
        return batches.to_input(truth.r, size, self.options.input), truth.discolor_ratio

    def _load_weights(self, run: Path, which: str) -> None:
        assert self.network is not None
        load_weights(self.network, run, which)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.eval()

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Cnn:
        """A run folder -> the localizer with its ``best`` or ``last`` weights.

        Raises:
            InputError: the folder is damaged or belongs to another method.
        """
        about = read_run(run)
        if about["method"] not in cls.variants:
            raise InputError(f"{run} holds '{about['method']}', which is no CNN variant")
        try:
            options: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in about["options"].items()
            }
            localizer = cls(device=device, **options)
            localizer.network = localizer.build(about["numeric_mean"], about["numeric_scale"])
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer._load_weights(run, which)
        return localizer

    @torch.no_grad()
    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px."""
        if self.network is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        if self.told and told is None:
            raise InputError(f"{self.name} is told r and ratio: give both")
        size = self.options.input
        findings: list[Finding] = []
        for start in range(0, len(images), GROUP):
            group = images[start : start + GROUP]
            if told and self.told:
                numbers = told[start : start + GROUP]
            else:  # the network ignores these numbers
                numbers = [Told(0.0, 1.0)] * len(group)
            numeric = torch.tensor(
                [
                    (batches.to_input(each.r, image.shape[1::-1], size), each.discolor_ratio)
                    for image, each in zip(group, numbers, strict=True)
                ]
            )
            inputs = torch.stack([batches.stretch(image, size) for image in group])
            pixels = trainer.to_float(inputs.to(self.device))
            centres = self.network(pixels, numeric.to(self.device)).cpu().numpy()
            findings += [
                Finding(*batches.to_pixels(centre, image.shape[1::-1]))
                for centre, image in zip(centres, group, strict=True)
            ]
        return findings

    def to_onnx(self) -> tuple[nn.Module, Sidecar]:
        """The network behind the division by 255; images are stretched before it."""
        if self.network is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        r, ratio = ("r", "ratio") if self.told else (None, None)
        sidecar = Sidecar(
            image="image", size=self.options.input, r=r, ratio=ratio, place="place",
            place_unit="fraction",
        )  # fmt: skip
        return Deployed(self.network, bool(self.told)), sidecar
