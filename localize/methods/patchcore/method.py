"""`patchcore`: finds the patches that are farthest, as features, from those of clean images."""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from localize.localizer import Finding, Learns, Localizer, MapMarks, Part, Source, Told
from localize.methods import clean_images
from localize.methods.backbones.convolutions import speed_up
from localize.methods.backbones.pretrained import Choice
from localize.methods.patchcore import embedding, preprocessing, scoring
from localize.methods.patchcore.backbones import Backbone, build
from localize.methods.patchcore.bank import Reducer
from localize.methods.patchcore.embedding import Parts
from localize.methods.patchcore.graph import PatchDistances
from localize.methods.patchcore.options import PatchCoreOptions
from localize.methods.patchcore.scoring import Bank
from localize.methods.peak import position
from localize.onnx.sidecar import Sidecar
from localize.run_files import RUN_FILE, read_file, read_run_of, write_run
from localize.training.devices import device_of
from synth import console, folders
from synth.errors import InputError

BATCH = 4  # images per forward pass; more are not faster on a CPU
NEIGHBOURS = {"anomalib": 9, "paper": 1}
BANK, BACKBONE = "bank.safetensors", "backbone.safetensors"


class PatchCore(Localizer):
    """Distances of an image's patches to a memory bank of clean patches.

    Args:
        options: of :class:`~localize.methods.patchcore.options.PatchCoreOptions`.
    """

    learns: Learns = "clean"
    gives: frozenset[Part] = frozenset({"place", "score", "map"})
    map_marks: MapMarks = "region"

    def __init__(self, **options: Any) -> None:
        self.options = PatchCoreOptions(**options)
        Choice.of(self.options)  # raises now if the options are bad, not after hours of training
        self.device = device_of(self.options.device)
        self._set_up()

    def _set_up(self) -> None:
        self.note = "random weights" if self.options.random_weights else ""
        self.threshold: float | None = None
        self._backbone: Backbone | None = None
        self._bank = Bank.of(torch.empty((0, 0)))
        self._values = 0

    @property
    def parameters(self) -> int:
        """Number of values in the backbone and the bank; 0 before fitting."""
        return self._values + self._bank.rows.numel()

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Fill the bank from the clean images of ``train``; set the threshold on those of ``val``.

        Raises:
            InputError: there is no clean image to learn from.
        """
        images = iter(train.clean())
        first = next(images, None)
        if first is None:
            raise clean_images.none_to_learn_from("patchcore")
        run.mkdir(parents=True, exist_ok=True)
        (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
        network, source = build(Choice.of(self.options))
        _write(run / BACKBONE, network.model.state_dict())
        self._set_network(network)
        total = operator.length_hint(images, 0) + 1
        bank, count = self._gather(itertools.chain([first], images), total)
        self._bank = Bank.of(bank.to(self.device))
        _write(run / BANK, {"bank": bank})
        scores = self._scores(val)
        self.threshold = clean_images.threshold(scores)
        self._write_description(run, source, count, scores)

    def _gather(self, images: Iterable[np.ndarray], total: int) -> tuple[torch.Tensor, int]:
        """Clean images -> the bank, and the number of images."""
        options, count = self.options, 0

        def parts(step: Callable[[int, int], None]) -> Iterator[Parts]:
            nonlocal count
            for batch in clean_images.groups(images, BATCH):
                fine, coarse = self._parts(batch)
                count += len(batch)
                step(count, max(count, total))
                yield fine.cpu(), coarse.cpu()

        generator = torch.Generator().manual_seed(options.seed)
        reducer = Reducer(
            options.convention, options.coreset_ratio, options.max_bank, generator, self.device
        )
        if options.stream:
            with self._step("patchcore: clean images") as step:
                return reducer.reduce_stream(parts(step)), count
        with self._step("patchcore: clean images") as step:
            blocks = list(parts(step))
        with self._step("patchcore: bank") as step:
            reducer.progress = step
            return reducer.reduce(blocks), count

    def _step(self, title: str) -> Any:
        """A progress bar, or a function that does nothing."""
        if self.options.progress:
            return console.progress(title)
        return contextlib.nullcontext(lambda done, total: None)

    @torch.inference_mode()
    def _parts(self, images: Sequence[np.ndarray]) -> Parts:
        """Images of any sizes -> the two parts of their patches' vectors."""
        assert self._backbone is not None
        squares = [preprocessing.square(image, self._axes(image), self.device) for image in images]
        layers = self._backbone(torch.stack(squares))
        return embedding.parts(layers, self.options.convention)

    def _axes(self, image: np.ndarray) -> tuple[preprocessing.Axis, preprocessing.Axis]:
        assert self._backbone is not None
        height, width = image.shape[:2]
        return preprocessing.axes((width, height), self.options.convention, self._backbone.multiple)

    @torch.inference_mode()
    def _score(self, images: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """B images -> (B, h, w) patch scores, (B,) image scores."""
        convention = self.options.convention
        return scoring.score(self._parts(images), self._bank, convention, self._neighbours)

    @property
    def _neighbours(self) -> int:
        return self.options.neighbours or NEIGHBOURS[self.options.convention]

    def _scores(self, val: Source) -> list[float]:
        """The image scores of the clean validation images."""
        with self._step("patchcore: threshold") as step:
            return clean_images.scores(
                val, lambda images: self._score(images)[1].tolist(), BATCH, step
            )

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px, with image score and map."""
        if self._backbone is None:
            raise InputError("patchcore must be trained or loaded first: call fit")
        findings = []
        for batch in clean_images.groups(images, BATCH):
            for image, patches, score in zip(batch, *self._score(batch), strict=True):
                map = preprocessing.full_map(patches, self._axes(image), self.options.convention)
                x, y = position(map, self.options.locate)
                findings.append(Finding(x, y, score=float(score), map=map))
        return findings

    def to_onnx(self) -> tuple[torch.nn.Module, Sidecar]:
        """The whole method but the place, which is found in the map."""
        if self._backbone is None:
            raise InputError("patchcore must be trained or loaded first: call fit")
        options = self.options
        graph = PatchDistances(self._backbone, self._bank, options.convention, self._neighbours)
        sidecar = Sidecar(image="image", score="score", map="map", locate=options.locate)
        return graph, sidecar

    def _set_network(self, network: Backbone) -> None:
        """Use a network for inference."""
        self._values = sum(values.numel() for values in network.parameters())
        network = network.to(self.device)
        speed_up(network.model)
        self._backbone = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _write_description(
        self, run: Path, source: dict[str, str | None], images: int, scores: list[float]
    ) -> None:
        """Write ``model.json``: the options, the threshold, and the digests of the other files."""
        options = self.options.description()
        if self.options.weights:
            options["weights"] = Path(self.options.weights).name
        about = {
            "method": "patchcore",
            "options": options,
            "weights": source,
            "bank": list(self._bank.rows.shape),
            "threshold": clean_images.threshold_entry(scores),
            "train_images": images,
            "torch": torch.__version__,
        }
        write_run(run, about, (BACKBONE, BANK))

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> PatchCore:
        """A run folder -> the fitted method; ``which`` is ignored, because there are no epochs.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run_of(run, "patchcore")
        try:
            # The run folder holds the backbone, so the file of its weights is not needed.
            options = about["options"] | {"weights": None, "weights_sha256": None}
            threshold = about["threshold"]["score"]
            localizer = cls.__new__(cls)
            localizer.options = PatchCoreOptions(**options, device=device, progress=False)
            bank, state = (load_tensors(read_file(run, name)) for name in (BANK, BACKBONE))
            network = Backbone(localizer.options.backbone)
        except (KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise InputError(f"{run}/{RUN_FILE} is damaged ({error}): train again") from None
        localizer.device = device_of(device)
        localizer._set_up()
        localizer.threshold = threshold
        network.model.load_state_dict(state)
        localizer._set_network(network)
        localizer._bank = Bank.of(bank["bank"].to(localizer.device))
        return localizer


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors as a safetensors file."""
    data = save_tensors({name: values.cpu().contiguous() for name, values in tensors.items()})
    folders.write(path, data)
