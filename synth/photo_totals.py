"""What a run of ``synth generate`` keeps in memory of its photos, and what it reports of them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from synth import dataset, photos
from synth.card import Summary
from synth.near_duplicates import DetailTable, decode_detail
from synth.recipe import Recipe
from synth.text_escapes import escape_surrogates


@dataclass(frozen=True)
class BuildResult:
    """Result of a run, without the table, which is in the dataset.

    Args:
        unlisted: number of photos that ``photos.csv`` does not name; 0 without ``photos.csv``.
    """

    summary: Summary
    skipped: dict[str, str]  # reason by photo
    passed_over: dict[str, str]  # reason by name of a file or folder
    unlisted: int = 0


class PhotoTotals:
    """What the generator keeps in memory of all photos: a few bytes per photo.

    Args:
        wanted: total number of rows to keep.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted, self.rows = wanted, 0
        self.kept = array("Q")  # number of rows kept of each photo
        self.hashes = array("Q")  # dHash of each photo with rows
        self.details = DetailTable()  # details of plain pictures, by index in hashes
        self.copy_of: dict[
            int, int
        ] = {}  # index of a photo -> index of an earlier photo with the same bytes
        self._first: dict[int, int] = {}

    def add(self, sha256: str, dhash: int, detail: str, rows: int) -> None:
        """Counts the next photo: its rows up to ``wanted``, unless its file is a repeated one."""
        number = len(self.kept)
        if rows:
            # Half of the digest's bits: whole digests would need the most memory here.
            first = self._first.setdefault(int(sha256[:32], 16), number)
            if first != number:
                self.copy_of[number] = first
                rows = 0
        rows = min(rows, self.wanted - self.rows)
        self.kept.append(rows)
        self.rows += rows
        if rows:
            self.details.add(len(self.hashes), decode_detail(detail))
            self.hashes.append(dhash)

    def splits(self, recipe: Recipe) -> list[int]:
        """Index of the split of each photo with rows; near-duplicates are in the same split."""
        groups = (
            range(len(self.hashes))
            if recipe.keep_duplicates
            else photos.groups(self.hashes, details=self.details)
        )
        return photos.assign_splits(groups, recipe.split, recipe.seed)


def skipped_csv(skipped: dict[str, str], passed_over: dict[str, str]) -> str:
    """Reasons by photo, and by file or folder -> text of ``skipped.csv``."""
    import pandas as pd

    reason_of = skipped | passed_over
    reasons = [(escape_surrogates(name), reason_of[name]) for name in sorted(reason_of)]
    return dataset.to_csv(pd.DataFrame(reasons, columns=["photo", "reason"]))
