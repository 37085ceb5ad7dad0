"""`patchcore`: fitted on clean images, it finds what looks unlike all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from localize.localizer import RUN_FILE, Finding, Learns, Source, Told, read_run
from localize.methods.patchcore import embedding, preprocessing, scoring
from localize.methods.patchcore.backbones import DEFAULT, Backbone, Choice, build
from localize.methods.patchcore.bank import Reducer
from localize.methods.patchcore.convolutions import quicken
from localize.methods.patchcore.embedding import Convention, Parts
from localize.methods.patchcore.scoring import Bank
from localize.methods.peak import peak
from localize.run_files import read_file, write_run
from localize.training.devices import device_of
from synth import console, folders
from synth.errors import InputError

Locate = Literal["peak", "centroid"]
BATCH = 4  # images that go through the backbone together; more are no faster on a CPU
NEIGHBOURS = {"anomalib": 9, "paper": 1}
QUANTILE = 0.95  # of clean validation images that the threshold lets pass
BANK, BACKBONE = "bank.safetensors", "backbone.safetensors"


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    Args:
        convention: whose conventions to follow, anomalib's or the paper's authors'.
        backbone: the network's name; weights, weights_sha256, download, random_weights: see
            :class:`~localize.methods.patchcore.backbones.Choice`.
        coreset_ratio: share of the clean patches that the bank keeps.
        max_bank: rows that it keeps at most.
        neighbours: anomalib: bank rows that weigh an image's score, 1 for no weight; paper:
            bank rows whose distances a patch's score averages. None: 9 and 1.
        stream: fit in bounded memory, however many images there are.
        locate: the map's peak (localize.methods.peak), or the centroid of the blob around it.
    """

    convention: Convention = "anomalib"
    backbone: str = DEFAULT
    weights: str | None = None
    weights_sha256: str | None = None
    download: bool = False
    random_weights: bool = False
    coreset_ratio: float = 0.1
    max_bank: int = 10_000
    neighbours: int | None = None
    stream: bool = False
    locate: Locate = "peak"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kinds in (("convention", Convention), ("locate", Locate)):
            if getattr(self, name) not in get_args(kinds):
                raise InputError(
                    f"{name} is '{getattr(self, name)}': use {' or '.join(get_args(kinds))}"
                )
        if not 0 < self.coreset_ratio <= 1:
            raise InputError(f"coreset-ratio is {self.coreset_ratio}: give a number in 0 to 1")
        if min(self.max_bank, self.neighbours or 1) < 1:
            raise InputError("max-bank and neighbours: give whole numbers from 1 up")

    @property
    def choice(self) -> Choice:
        return Choice(
            self.backbone, self.weights, self.weights_sha256, self.download, self.random_weights,
            self.seed,
        )  # fmt: skip


class PatchCore:
    """Distances of an image's patches to a bank of clean ones; see :class:`Options`."""

    told: frozenset[str] = frozenset()
    learns: Learns = "clean"
    map_marks = "region"  # its map says where a pixel is unlike clean ones, not where a centre is

    def __init__(self, *, device: str = "auto", progress: bool = True, **options: Any) -> None:
        self.options = Options(**options)
        _ = self.options.choice  # refuses now, not after the other methods' training
        self.device = device_of(device)
        self.threshold: float | None = None
        self._progress = progress
        self._backbone: Backbone | None = None
        self._bank = Bank.of(torch.empty((0, 0)))
        self._values = 0

    @property
    def note(self) -> str:
        """What every table must say of it."""
        return "random weights" if self.options.random_weights else ""

    @property
    def parameters(self) -> int:
        """Number of values that it keeps, backbone and bank; 0 before fitting."""
        return self._values + self._bank.rows.numel()

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Fill the bank from the clean images of ``train``, set the threshold on ``val``'s.

        Raises:
            InputError: there is no clean image to learn from.
        """
        images = iter(train.clean())
        first = next(images, None)
        if first is None:
            raise InputError(
                "patchcore learns from clean images and the training split has none: "
                "make the dataset with synth generate --twins"
            )
        run.mkdir(parents=True, exist_ok=True)
        (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
        network, source = build(self.options.choice)
        _write(run / BACKBONE, network.model.state_dict())
        self._use(network)
        total = operator.length_hint(images, 0) + 1
        bank, count = self._gather(itertools.chain([first], images), total)
        self._bank = Bank.of(bank.to(self.device))
        _write(run / BANK, {"bank": bank})
        scores = self._scores(val)
        self.threshold = float(np.quantile(scores, QUANTILE)) if len(scores) else None
        self._describe(run, source, count, len(scores))

    def _gather(self, images: Iterable[np.ndarray], total: int) -> tuple[torch.Tensor, int]:
        """Clean images -> the bank, and how many they were."""
        options, count = self.options, 0

        def parts(step: Callable[[int, int], None]) -> Iterator[Parts]:
            nonlocal count
            for batch in _batches(images):
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
                return reducer.stream(parts(step)), count
        with self._step("patchcore: clean images") as step:
            blocks = list(parts(step))
        with self._step("patchcore: bank") as step:
            reducer.progress = step
            return reducer.whole(blocks), count

    def _step(self, what: str) -> Any:
        if self._progress:
            return console.progress(what)
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
    def _scored(self, images: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """B images -> (B, h, w) patch scores, (B,) image scores."""
        convention = self.options.convention
        neighbours = self.options.neighbours or NEIGHBOURS[convention]
        return scoring.score(self._parts(images), self._bank, convention, neighbours)

    def _scores(self, val: Source) -> list[float]:
        """The image scores of the clean validation images."""
        scores: list[float] = []
        with self._step("patchcore: threshold") as step:
            images = val.clean()
            total = operator.length_hint(images, 0)
            for batch in _batches(images):
                scores += self._scored(batch)[1].tolist()
                step(len(scores), max(len(scores), total))
        return scores

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px, with image score and map."""
        if self._backbone is None:
            raise InputError("patchcore must be trained or loaded first: call fit")
        place = peak if self.options.locate == "peak" else scoring.centroid
        findings = []
        for batch in _batches(images):
            for image, patches, score in zip(batch, *self._scored(batch), strict=True):
                found = preprocessing.full_map(patches, self._axes(image), self.options.convention)
                x, y = place(found) or (math.nan, math.nan)
                findings.append(Finding(x, y, score=float(score), map=found))
        return findings

    def _use(self, network: Backbone) -> None:
        self._values = sum(values.numel() for values in network.parameters())
        network = network.to(self.device)
        quicken(network.model)
        self._backbone = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _describe(self, run: Path, source: dict[str, str | None], images: int, val: int) -> None:
        """Write what makes the folder a run: its settings, and the digests of its other files."""
        options = dataclasses.asdict(self.options)
        if self.options.weights:
            options["weights"] = Path(self.options.weights).name
        about = {
            "method": "patchcore",
            "options": options,
            "weights": source,
            "bank": list(self._bank.rows.shape),
            "threshold": {
                "score": self.threshold,
                "what": f"{QUANTILE} quantile of the scores of clean validation images"
                if val
                else "none: the validation split has no clean image",
                "images": val,
            },
            "train_images": images,
            "torch": torch.__version__,
        }
        write_run(run, about, (BACKBONE, BANK))

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> PatchCore:
        """A run folder -> the method as it was fitted; it has no epochs to choose from.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run(run)
        if about["method"] != "patchcore":
            raise InputError(f"{run} holds '{about['method']}', not patchcore")
        try:
            # The run holds the backbone itself: where its weights came from is history.
            options = about["options"] | {"weights": None, "weights_sha256": None}
            threshold = about["threshold"]["score"]
            localizer = cls.__new__(cls)
            localizer.options = Options(**options)
            bank, state = (load_tensors(read_file(run, name)) for name in (BANK, BACKBONE))
            network = Backbone(localizer.options.backbone)
        except (KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise InputError(f"{run}/{RUN_FILE} is damaged ({error}): train again") from None
        localizer.device = device_of(device)
        localizer.threshold, localizer._progress = threshold, False
        network.model.load_state_dict(state)
        localizer._use(network)
        localizer._bank = Bank.of(bank["bank"].to(localizer.device))
        return localizer


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    data = save_tensors({name: values.cpu().contiguous() for name, values in tensors.items()})
    folders.write(path, data)


def _batches(images: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    rest = iter(images)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch
