"""The names of the augmentations of datasets on disk, without the packages that apply them."""

from __future__ import annotations

from collections.abc import Sequence

from synth.errors import InputError

NAMES = ("flip", "turn", "crop", "noise", "gain")


def check_augmentations(names: Sequence[str]) -> None:
    """Check that names of augmentations are in :data:`NAMES`.

    Raises:
        InputError: a name is unknown.
    """
    for name in names:
        if name not in NAMES:
            raise InputError(f"augmentation '{name}' is unknown: use {', '.join(NAMES)}")
