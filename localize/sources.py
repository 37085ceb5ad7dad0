"""Where samples come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synth import dataset, photos
from synth.anomaly import Anomaly
from synth.errors import InputError, Skipped
from synth.recipe import SPLITS
from synth.renderer import Sample


class Folder:
    """The rows of one split of a dataset on disk; ``split`` may be ``all``.

    ``len`` and indexing run over the rows with an anomaly; ``table`` holds those rows.

    Raises:
        InputError: there is no dataset, or its table cannot be right.
    """

    def __init__(self, folder: str | Path, split: str = "all") -> None:
        if split != "all" and split not in SPLITS:
            raise InputError(f"split '{split}' is unknown: use {', '.join(SPLITS)} or all")
        self.folder = Path(folder)
        self.split = split
        table = dataset.read(self.folder)
        rows = table if split == "all" else table[table["split"] == split]
        self.table = rows[rows["label"] == 1].reset_index(drop=True)
        self._blank = rows[rows["label"] == 0]["file_name"].tolist()
        self._rows = self.table.to_dict("records")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """The index-th row with an anomaly.

        Raises:
            InputError: its image cannot be read or has another size than the table says.
        """
        row = self._rows[index]
        image = self._image(row["file_name"])
        if image.shape[:2] != (row["height"], row["width"]):
            raise InputError(
                f"{self.folder / row['file_name']} is {image.shape[1]}x{image.shape[0]}, the "
                f"table says {row['width']}x{row['height']}: synth verify checks the dataset"
            )
        return Sample(image, dataset.truth(row), photo=row["photo"], name=row["file_name"])

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of the index-th row and its image's (width, height) px."""
        row = self._rows[index]
        anomaly = dataset.truth(row)
        assert anomaly is not None  # the rows kept here have label 1
        return anomaly, (int(row["width"]), int(row["height"]))

    def clean(self) -> Iterator[np.ndarray]:
        """Pictures without an anomaly: label-0 rows, else the twins."""
        names = self._blank or [n for n in self.table["clean_file_name"] if n]
        for name in names:
            yield self._image(name)

    def _image(self, name: str) -> np.ndarray:
        try:
            return photos.read(self.folder, name).pixels
        except Skipped as reason:
            raise InputError(f"{self.folder / name}: {reason}") from None
