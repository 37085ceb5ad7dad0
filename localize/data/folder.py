"""A dataset as a source of labelled images: a folder, or shards in a folder or at a URL."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from localize.localizer import Source
from synth import dataset, photos
from synth.anomaly import Anomaly
from synth.errors import InputError, Skipped
from synth.files import Files
from synth.files import where as where_of
from synth.recipe import SPLITS
from synth.renderer import Sample
from synth.storage import Place


@dataclass(frozen=True)
class Negative:
    """An image without an anomaly in a dataset.

    Args:
        photo: the name of its photo, or of its own file where that is not known.
        partner: of a clean twin, the index of the row that it is the twin of.
    """

    name: str
    photo: str
    partner: int | None = None


@dataclass(frozen=True)
class Unplaced:
    """An image with an anomaly whose place is not known.

    Args:
        photo: the name of its photo, or of its own file where that is not known.
        row: its row of the table.
    """

    name: str
    photo: str
    mask_file_name: str
    row: Mapping[Any, Any]


class _Images:
    """A sequence of images that are read when they are indexed.

    Python's iterator over a sequence has a length hint: the number of images that are left.
    """

    def __init__(self, source: Folder, names: list[str]) -> None:
        self._source, self._names = source, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._source.read_image(self._names[index])


class Folder(Source):
    """The rows of one split of a dataset; ``split`` may be ``all``.

    ``folder`` is the path or URL of the dataset, and ``files`` reads its files by name. ``len``
    and indexing run over the rows with an anomaly at a known place; ``table`` holds those rows,
    and ``unplaced`` the images whose anomaly has no known place.

    Raises:
        InputError: there is no dataset, or its table is faulty.
    """

    def __init__(self, folder: str | Place | Files, split: str = "all") -> None:
        super().__init__()
        if split != "all" and split not in SPLITS:
            raise InputError(f"split '{split}' is unknown: use {', '.join(SPLITS)} or all")
        self.files = dataset.open_files(folder)
        self.folder = self.files.place
        self.split = split
        table = dataset.read(self.files)
        rows = table if split == "all" else table[table["split"] == split]
        unplaced = dataset.unplaced(rows)
        self.table = rows[(rows["label"] == 1) & ~unplaced].reset_index(drop=True)
        self.unplaced = [
            Unplaced(row["file_name"], _photo(row), row["mask_file_name"], row)
            for row in rows[unplaced].to_dict("records")
        ]
        self._clean_rows = rows[rows["label"] == 0].to_dict("records")
        self._rows = self.table.to_dict("records")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """The index-th row with an anomaly at a known place.

        Raises:
            InputError: its image cannot be read or has another size than the table says.
        """
        row = self._rows[index]
        image = self.read_row(row)
        return Sample(image, dataset.truth(row), photo=row["photo"], name=row["file_name"])

    def read_row(self, row: Mapping[Any, Any]) -> np.ndarray:
        """The image of a row of the table, (H, W, 3) uint8.

        Raises:
            InputError: it cannot be read or has another size than the table says.
        """
        image = self.read_image(row["file_name"])
        if image.shape[:2] != (row["height"], row["width"]):
            raise InputError(
                f"{self.where(row['file_name'])} is {image.shape[1]}x{image.shape[0]}, the "
                f"table says {row['width']}x{row['height']}: synth verify checks the dataset"
            )
        return image

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of the index-th row and its image's (width, height) px."""
        row = self._rows[index]
        anomaly = dataset.truth(row)
        assert anomaly is not None  # the rows kept here have a place
        return anomaly, (int(row["width"]), int(row["height"]))

    def select(self, rows: Sequence[int]) -> Folder:
        """The rows with these indices in this order; a row may occur more than once.

        Args:
            rows: indices; the unplaced rows come after the others.
        """
        count = len(self)
        placed = [row for row in rows if row < count]
        selection = self.select_unplaced([row - count for row in rows if row >= count])
        selection.table = self.table.iloc[placed].reset_index(drop=True)
        selection._rows = [self._rows[row] for row in placed]
        return selection

    def select_unplaced(self, images: Sequence[int]) -> Folder:
        """A source whose unplaced rows are those with these indices; the others are the same."""
        selection = copy.copy(self)
        selection.unplaced = [self.unplaced[index] for index in images]
        return selection

    def select_labels(self, rows: Sequence[int]) -> Folder:
        """The rows with these indices, as :meth:`select`, and all images of :meth:`negatives`."""
        selection = self.select(rows)
        selection._clean_rows = [
            {"file_name": each.name, "photo": each.photo} for each in self.negatives()
        ]
        return selection

    def select_clean(self, images: Sequence[int]) -> Folder:
        """A source whose clean images are those of :meth:`negatives` with these indices."""
        negatives = self.negatives()
        chosen = [negatives[index] for index in images]
        selection = self.select([each.partner for each in chosen if each.partner is not None])
        if self._clean_rows:
            selection._clean_rows = [self._clean_rows[index] for index in images]
        return selection

    @property
    def groups(self) -> list[str]:
        """The photo of each row with a place; rows of one photo are not independent."""
        return [_photo(row) for row in self._rows]

    def negatives(self, told: bool = False) -> list[Negative]:
        """The images without an anomaly: label-0 rows, else the clean twins.

        Args:
            told: only the clean twins: a told method is given the r and ratio of the partner.
        """
        if self._clean_rows and not told:
            return [Negative(row["file_name"], _photo(row)) for row in self._clean_rows]
        twins = [
            Negative(row["clean_file_name"], _photo(row), i)
            for i, row in enumerate(self._rows)
            if row["clean_file_name"]
        ]
        return twins if told else list({twin.name: twin for twin in twins}.values())

    def clean(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 images without an anomaly: label-0 rows, else the clean twins.

        Each is read when the iterator reaches it; ``operator.length_hint`` gives the number left.
        """
        return iter(self.clean_images())

    def clean_images(self) -> _Images:
        """The images of :meth:`clean`, each read when it is indexed."""
        return _Images(self, [negative.name for negative in self.negatives()])

    def anomalous_images(self) -> _Images:
        """All images with an anomaly, each once, read when it is indexed; unplaced ones last."""
        names = [row["file_name"] for row in self._rows] + [each.name for each in self.unplaced]
        return _Images(self, list(dict.fromkeys(names)))

    def region(self, unplaced: Unplaced) -> np.ndarray | None:
        """-> (H, W) bool: the pixels of an unplaced anomaly, by its mask; None without a mask.

        Raises:
            InputError: the mask cannot be used.
        """
        try:
            return dataset.region(unplaced.row, self.files)
        except Skipped as reason:
            raise InputError(f"{self.where(unplaced.name)}: {reason}") from None

    def where(self, name: str) -> str:
        """Path or URL of a file of the dataset, for messages."""
        return where_of(self.files, name)

    def read_image(self, name: str) -> np.ndarray:
        """A file of the dataset -> (H, W, 3) uint8.

        Raises:
            InputError: it cannot be read.
        """
        try:
            return photos.read(self.files, name, keep_profile=True).pixels
        except Skipped as reason:
            raise InputError(f"{self.where(name)}: {reason}") from None


def _photo(row: Mapping[Any, Any]) -> str:
    """The name of the photo of a row, or of its image where that is not known."""
    return str(row["photo"] or row["file_name"])
