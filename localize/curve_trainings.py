"""The trainings of learning curves: for each method, nested subsets of the images to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from localize import registry
from localize.data.folder import Folder
from localize.data.subset import (
    image_order,
    photos_of_images,
    select_labels,
    select_subset,
    validation_labels,
)
from localize.registry import Method
from synth.errors import InputError

SMALLEST = 50  # rows: the default numbers are this one and its doubles
Rows = Sequence[int | Literal["all"]]


@dataclass(frozen=True)
class Training:
    """One training of a method on a subset.

    Args:
        entry: the method.
        images: indices of the subset, as in :func:`localize.data.subset.image_order`.
        repeat: number of the repeat, from 0.
        seed: of the training.
        photos: number of photos in the subset.
        rows: the number in the tables: images of the subset, or labelled images.
        val_images: indices of the labelled images of the val split; None: the whole split.
    """

    entry: Method
    images: Sequence[int]
    repeat: int
    seed: int
    photos: int
    rows: int
    val_images: Sequence[int] | None = None

    @property
    def name(self) -> str:
        """The name of its folder and of its log of answers."""
        return f"rows-{self.rows:04}-repeat-{self.repeat}"

    @property
    def title(self) -> str:
        """Its name in messages."""
        kind = "rows" if self.val_images is None else "labels"
        return f"{self.entry.name}, {self.rows} {kind}, repeat {self.repeat}"

    def row(self) -> dict[str, Any]:
        """Its columns in ``learning_curve.csv``, without method and scores."""
        return {
            "rows": self.rows, "photos": self.photos, "repeat": self.repeat, "seed": self.seed,
        }  # fmt: skip

    def run(
        self, options: Mapping[str, Any], train: Folder, val: Folder, same_epochs: bool, run: Path
    ) -> None:
        """Train the method and write the run folder.

        Args:
            same_epochs: do not repeat the images of the subset within an epoch.
        """
        length = None if same_epochs else len(train)
        if self.val_images is None:
            subset = select_subset(train, self.entry.learns, self.images, length)
        else:
            subset = select_labels(train, self.images, length)
            val = select_labels(val, self.val_images)
        learner = registry.create(self.entry.name, **{**options, "seed": self.seed})
        learner.fit(subset, val, run)


def trainings_by_rows(
    entry: Method, train: Folder, rows: Rows | None, repeats: int, seed: int
) -> Iterator[Training]:
    """The trainings of a method on ever more of the images that it learns from."""
    photos = photos_of_images(train, entry.learns, "place" in entry.gives)
    orders = [image_order(train, photos, seed, repeat) for repeat in range(repeats)]
    kind = "clean images" if entry.learns == "clean" else "images with an anomaly"
    if not photos:
        hint = " (synth generate --twins makes some)" if entry.learns == "clean" else ""
        raise InputError(
            f"{entry.name} learns from {kind}, and the train split of {train.folder} has none{hint}"
        )
    where = f"the train split of {train.folder} has {len(photos)} {kind} for {entry.name}"
    for count in _counts("rows", rows, len(photos), 1, where):
        for repeat, order in enumerate(orders):
            chosen = order[:count]
            different = len({photos[image] for image in chosen})
            yield Training(entry, chosen, repeat, seed + repeat, different, count)


def trainings_by_labels(
    entry: Method, train: Folder, val: Folder, labels: Rows, repeats: int, seed: int
) -> Iterator[Training]:
    """The trainings of a method on all clean images and ever more labelled images.

    The labelled images are divided between train and val in proportion to the splits. A method
    that learns from clean images only is trained once; its number of labels is 0.

    Raises:
        InputError: a split has no images of a kind, or a number cannot be used.
    """
    need_place = "place" in entry.gives
    photos = [photos_of_images(source, "labelled", need_place) for source in (train, val)]
    for source, labelled in zip((train, val), photos, strict=True):
        kind = "an anomaly at a known place" if need_place else "an anomaly"
        for images, what in (
            (labelled, f"with {kind}"),
            (source.negatives(), "without an anomaly"),
        ):
            if not images and (entry.learns == "labelled" or images is not labelled):
                raise InputError(
                    f"labels: the {source.split} split of {source.folder} has no image {what}: "
                    f"a curve of {entry.name} over labels needs some in train and val"
                )
    if entry.learns == "clean":
        clean = photos_of_images(train, "clean")
        yield Training(entry, [], 0, seed, len(set(clean)), 0, [])
        return
    sizes = [len(each) for each in photos]
    where = f"train and val of {train.folder} have {sum(sizes)} images with an anomaly together"
    for count in _counts("labels", labels, sum(sizes), 2, where):
        for_val = validation_labels(count, *sizes)
        for repeat in range(repeats):
            chosen, val_images = (
                image_order(source, each, seed, repeat)[:part]
                for source, each, part in zip(
                    (train, val), photos, (count - for_val, for_val), strict=True
                )
            )
            different = len({photos[0][image] for image in chosen})
            yield Training(
                entry, chosen, repeat, seed + repeat, different, count, sorted(val_images)
            )


def _counts(name: str, given: Rows | None, most: int, least: int, where: str) -> list[int]:
    """The numbers of images of a method's subsets, ascending, each once.

    Raises:
        InputError: a number cannot be used.
    """
    if given is None:
        doubled = (SMALLEST * 2**power for power in range(most.bit_length()))
        return [*(count for count in doubled if count < most), most]
    if not given:
        raise InputError(f"{name} is empty: give numbers from {least} up, or all")
    counts = sorted({most if count == "all" else count for count in given})
    for count in counts:
        if not least <= count <= most:
            raise InputError(
                f"{name} is {count}: {where}: give numbers from {least} to {most}, or all"
            )
    return counts
