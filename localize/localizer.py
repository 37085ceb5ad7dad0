"""The contract between localizers, their training images and everything that calls them.

A localizer is a subclass of :class:`Localizer`; its training images come from a :class:`Source`.
All images are (H, W, 3) uint8 RGB arrays. x is the column and y the row, in px; the centre of the
first pixel is (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.renderer import Sample

if TYPE_CHECKING:
    from torch import nn

    from localize.onnx.sidecar import Sidecar

Learns = Literal["nothing", "clean", "labelled"]
Part = Literal["place", "score", "map"]  # of a Finding
ScoreKind = Literal["", "log odds"]
MapMarks = Literal["centre", "region"]
Range = tuple[float, float]
# The columns of a run's history.csv, one row per epoch; distances in px, val_spread as a share of
# the spread of the true centres (localize.training.collapse).
HISTORY = ("epoch", "train_loss", "train_distance", "val_loss", "val_distance", "val_spread")
HIT_RADIUS = 5.0  # px: an answer at most this far from the true centre is a hit (hit@5)


@dataclass(frozen=True)
class Told:
    """The numbers that a told method is given beside the image: r in px, and the ratio."""

    r: float
    discolor_ratio: float


@dataclass(frozen=True)
class Known:
    """The possible radii and ratios of a region, each as a range (lowest, highest).

    Args:
        r: range of the radius, px; both ends are equal if it is known exactly; None: any radius.
        ratio: range of the ratio, likewise.

    Raises:
        InputError: an end is not finite or not above 0, or the ends are in the wrong order.
    """

    r: Range | None = None
    ratio: Range | None = None

    def __post_init__(self) -> None:
        for name, limits in (("r", self.r), ("ratio", self.ratio)):
            if limits is not None and not 0 < limits[0] <= limits[1] < float("inf"):
                text = " to ".join(f"{end:g}" for end in dict.fromkeys(limits))
                raise InputError(f"{name} is {text}: give numbers above 0, the smaller first")

    @property
    def told(self) -> Told | None:
        """Radius and ratio, if both are known exactly; else None."""
        if self.r is None or self.ratio is None:
            return None
        exact = self.r[0] == self.r[1] and self.ratio[0] == self.ratio[1]
        return Told(self.r[0], self.ratio[0]) if exact else None


@dataclass(frozen=True)
class Finding:
    """The answer of a localizer for one image.

    Args:
        x: column of the centre, px; x and y are NaN where there is no answer, or where the
            localizer answers with a score alone.
        y: row of the centre, px.
        r: radius, px; None where the localizer does not estimate it.
        ratio: factor of the code values; None where the localizer does not estimate it.
        score: how sure the localizer is that there is an anomaly; higher is surer.
        map: (H, W) float32, higher where the anomaly is likelier: see ``Localizer.map_marks``.
        gap_evidence: nats of the answer's logit that come from rounding gaps of a lossless file,
            not from visible edges; None where the localizer does not look for them.
    """

    x: float
    y: float
    r: float | None = None
    ratio: float | None = None
    score: float | None = None
    map: np.ndarray | None = field(default=None, repr=False, compare=False)
    gap_evidence: float | None = None


class Images(Protocol):
    """Images by number, (H, W, 3) uint8: a list, or a class that reads each when it is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


class Source:
    """Labelled images in a fixed order. A subclass defines the four methods that raise here.

    ``skipped`` holds the photos that cannot be used, by name, with the reasons; it grows while
    images are drawn. ``names`` are the names of all photos, where images are drawn from photos.
    """

    names: Sequence[str] = ()

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        """An image with its truth."""
        raise NotImplementedError

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of an image and the image's (width, height) px, without its pixels."""
        raise NotImplementedError

    def clean(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 images without an anomaly: label-0 rows, else the clean twins."""
        raise NotImplementedError

    def clean_images(self) -> Images:
        """The images of :meth:`clean`, to be indexed; a dataset reads each when it is indexed."""
        return list(self.clean())

    def anomalous_images(self) -> Images:
        """All images with an anomaly, to be indexed, also those whose place is not known."""
        return _AnomalousImages(self)

    def description(self) -> dict[str, Any]:
        """The data that determine the images, in JSON types, for ``model.json``."""
        return {"images": len(self)}

    def multi_region(self, index: int) -> tuple[np.ndarray, list[Anomaly]]:
        """-> an (H, W, 3) uint8 image with one or more regions of one ratio, and its anomalies.

        Raises:
            InputError: the image has no anomaly.
        """
        sample = self[index]
        if sample.truth is None:
            raise InputError(f"{sample.name} has no anomaly to learn from")
        return sample.image, [sample.truth]

    def resize(self, size: tuple[int, int], detail: float = 1.0) -> Source:
        """A source of whole photos at (width, height) px, if the images are drawn from photos.

        The images of a dataset keep their size.

        Args:
            detail: below 1, the photos are first reduced to this share of ``size``, so that they
                look like enlarged photos.
        """
        return self

    def schedule(self, images: int) -> Source:
        """The same source for a training run of ``images`` images.

        A stage of a recipe that ends at a share of the run then ends at a number of images.
        """
        return self


class _AnomalousImages:
    """The images of a source, each made when it is indexed."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= len(self):
            raise IndexError(index)
        return self._source[index].image


def check_labelled(train: Source, val: Source) -> None:
    """Raise InputError if no anomaly with a known place is there to train on or to validate on."""
    for name, source in (("training", train), ("validation", val)):
        if not len(source):
            raise InputError(
                f"the {name} split has no image with an anomaly at a known place to learn from"
            )


class Localizer:
    """Base class of all methods. A subclass overrides some attributes and defines :meth:`locate`.

    Attributes:
        told: names of the numbers that the localizer is given beside the image: none, or "r" and
            "discolor_ratio". Callers pass nothing else.
        learns: the images that ``fit`` learns from: "nothing", "clean" or "labelled".
        gives: the parts of an answer that it can give: "place" (x and y), "score", "map". Without
            "place", x and y are NaN, and location scores stay empty.
        note: text that every table shows beside the name; "" for none.
        score_kind: meaning of the score. "log odds": the natural logarithm of the odds that the
            image has an anomaly, where half of the images have one. "": any scale.
        map_marks: the pixels where the map is high: the possible "centre" of an anomaly, or every
            pixel of its "region".
        batch_size: largest number of images that a caller passes to ``locate`` at once.
        takes_ranges: whether ``seek`` uses a partly known radius or ratio.
    """

    told: frozenset[str] = frozenset()
    learns: Learns = "nothing"
    gives: frozenset[Part] = frozenset({"place"})
    note: str = ""
    score_kind: ScoreKind = ""
    map_marks: MapMarks = "centre"
    batch_size: int = 16
    takes_ranges: bool = False

    @property
    def parameters(self) -> int | None:
        """Number of learned values; 0 before fitting, None where it is unknown."""
        return None

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Learn from the images of ``train`` and write the run folder ``run``.

        ``learns`` determines which images are used. If the method has epochs, a call with the
        options and data of an interrupted one continues it. Afterwards ``locate`` can be called. A
        method that learns nothing does nothing and writes nothing.

        Args:
            train: images to learn from.
            val: images that choose the best epoch or set thresholds; never learned from.
            run: the folder, created if it does not exist. Its ``model.json``
                (:func:`localize.run_files.write_run`) names the method and is written last.

        Raises:
            InputError: the sources lack what the method learns from, or training failed.
        """

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings in the same order, px.

        The answer to an image does not depend on the other images, and no image is changed.

        Args:
            images: of any sizes, also different ones.
            told: for a told method, the radius and ratio of each image; None for an image-only one.

        Raises:
            InputError: ``told`` is missing for a told method, or there are no weights yet.
            Skipped: an image cannot be answered.
        """
        raise NotImplementedError

    def seek(self, image: np.ndarray, known: Known) -> Finding:
        """(H, W, 3) uint8 -> the likeliest region among those with a possible r and ratio, px.

        Only image-only methods with ``takes_ranges`` define it.

        Raises:
            InputError: the method does not use ranges, or there are no weights yet.
        """
        raise InputError("this method uses neither r nor ratio: leave them out, or use ringvote")

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Localizer:
        """A run folder that ``fit`` wrote -> the localizer, ready to locate.

        Args:
            run: the folder.
            which: "best" or "last": the epoch whose weights are loaded; ignored without epochs.
            device: auto, cpu, cuda or mps.

        Raises:
            InputError: the folder is damaged or belongs to another method.
        """
        raise InputError(f"{run}: this method learns nothing, so it has no run folders")

    def to_onnx(self) -> tuple[nn.Module, Sidecar]:
        """The computation of :meth:`locate` as a network for ``localize export``.

        Returns:
            the network, and how it is used. It takes (B, 3, h, w) uint8 images of the sidecar's
            ``size``, or one image of any size if that is None, then the inputs that the sidecar
            names, (B,) float32. It returns the outputs that the sidecar names: place (B, 2), score
            (B,), map (B, h, w).

        Raises:
            NotImplementedError: the method cannot be exported.
        """
        raise NotImplementedError


class _Adapter(Localizer):
    """A localizer of a foreign class, with the defaults of :class:`Localizer` where it has none."""

    _attributes: ClassVar = (
        "told", "learns", "gives", "note", "score_kind", "map_marks", "batch_size", "fit", "seek",
    )  # fmt: skip

    def __init__(self, localizer: Any) -> None:
        self.localizer = localizer
        self.takes_ranges = hasattr(localizer, "seek")
        for name in self._attributes:
            if hasattr(localizer, name):
                setattr(self, name, getattr(localizer, name))

    @property
    def parameters(self) -> int | None:
        parameters: int | None = getattr(self.localizer, "parameters", None)
        return parameters

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        findings: list[Finding] = self.localizer.locate(images, told)
        return findings


def as_localizer(localizer: Any) -> Localizer:
    """Any object with ``told``, ``learns`` and ``locate`` -> a :class:`Localizer`."""
    return localizer if isinstance(localizer, Localizer) else _Adapter(localizer)
