"""The split of a dataset that is scored, and the methods that can be used on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from localize.data.folder import Folder
from localize.registry import Method
from synth.errors import InputError
from synth.storage import Place


def choose_split(dataset: str | Place, requested: str | None) -> Folder:
    """The split to score: the requested one; without one test, or val if there is no test split.

    Raises:
        InputError: it has no image with an anomaly.
    """
    for split in (requested,) if requested else ("test", "val"):
        source = Folder(dataset, split)
        if len(source) or source.unplaced:
            return source
    description = f"split {requested}" if requested else "test or val split"
    raise InputError(
        f"{dataset} has no image with an anomaly in its {description}: choose --split all"
    )


def usable_methods(
    entries: Sequence[Method], source: Folder, say: Callable[[str], None] | None
) -> list[Method]:
    """The methods that can be trained on a dataset and scored on one of its splits.

    Args:
        source: the split to score.
        say: called with a line about each of the others. None: the user named the methods.

    Raises:
        InputError: a method that the user named needs places, and there are none.
    """
    train, val = Folder(source.folder, "train"), Folder(source.folder, "val")
    has_unplaced = any(part.unplaced for part in (source, train, val))
    usable = []
    for entry in entries:
        reason = ""
        if say is None:
            check_told(entry.name, entry.told, source)
        elif entry.told and not len(source):
            reason = _needs_places(source)
        elif entry.learns == "clean" and not train.negatives():
            reason = "there are no clean images (synth generate --twins)"
        if has_unplaced and _learns_places(entry) and not (len(train) and len(val)):
            reason = f"it learns from places, and {_without_places(val if len(train) else train)}"
            if say is None:
                raise InputError(f"{entry.name}: {reason}: leave it out")
        if reason and say:
            say(f"{entry.name}: left out, {reason}")
        else:
            usable.append(entry)
    return usable


def check_told(name: str, told: Collection[str], source: Folder) -> None:
    """Raises InputError if a told method is to answer a split without places."""
    if told and not len(source):
        raise InputError(f"{name}: {_needs_places(source)}: leave it out")


def check_gives_place(name: str, gives: Collection[str], what: str) -> None:
    """Raises InputError if a method gives no place, for a measurement (``what``) of places."""
    if "place" not in gives:
        raise InputError(f"{name} gives no place, and {what} measures places: leave it out")


def _learns_places(entry: Method) -> bool:
    """Whether a method is trained on anomalies whose place is known."""
    return entry.learns == "labelled" and "place" in entry.gives and not entry.weights


def _needs_places(source: Folder) -> str:
    return f"it is told r and the ratio, and {_without_places(source)}"


def _without_places(source: Folder) -> str:
    what = source.folder if source.split == "all" else f"split {source.split} of {source.folder}"
    return f"{what} has no row with a known place"
