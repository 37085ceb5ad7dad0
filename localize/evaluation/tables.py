"""The files of a folder that we wrote, read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synth import json_shapes, number_kinds, tables
from synth.errors import InputError
from synth.json_files import Damaged, parse_object
from synth.json_shapes import Object
from synth.number_kinds import Number

ADVICE = "make it again"


def read(
    path: Path,
    needed: Sequence[str] = (),
    texts: Sequence[str] = (),
    numbers: Mapping[str, Number] | None = None,
) -> pd.DataFrame:
    """A CSV -> its columns of text and of numbers; an empty table where there is no such file.

    Args:
        needed: columns without which it is refused.
        texts: columns that are text, whatever stands there; empty is "".
        numbers: what the others may hold; a needed column that is named nowhere is a number.

    Raises:
        InputError: it is damaged.
    """
    kinds = {**dict.fromkeys(needed, number_kinds.INFINITE), **(numbers or {})}
    kinds = {name: kind for name, kind in kinds.items() if name not in texts}
    if not path.is_file():
        return pd.DataFrame(columns=list(dict.fromkeys([*needed, *texts])))
    return tables.read(path, needed, advice=ADVICE).frame(kinds, texts, ADVICE)


_METHOD = Object({"told": ([str], None), "parameters": (float, None)})
_CONDITION = Object(
    {"codec": str, "rounding": str, "feather": float}, needed=("codec", "rounding", "feather")
)
_DESIGN = Object(
    {
        "ratios": [float],
        "radii": [float],
        "sides": [str],
        "conditions": [_CONDITION],
        "size": ([float], str),
    }
)
_ABOUT = Object(
    {
        "methods": (Object(others=_METHOD), None),
        "versions": (Object(), None),
        "options": (Object(), None),
        "command": ([object], None),
        "definitions": (Object(others=str), None),
        "design": (_DESIGN, None),
        "specs": (Object(), None),
        "skipped": (Object(), None),
    }
)
_RECIPE = Object({"recipe": Object({"size": ([float], str), "feather": float})})


def about(path: Path) -> dict[str, Any]:
    """The JSON object in ``comparison.json`` or ``sharpness.json``, its values of the right types.

    A recipe of the dataset that is none of ours is left out: it is shown, and no more.

    Raises:
        InputError: it is damaged; the line names the key.
    """
    try:
        found = parse_object(path.read_bytes())
    except (OSError, Damaged) as error:
        raise InputError(f"{path} is damaged ({error}): make it again") from None
    if wrong := json_shapes.fault(found, _ABOUT):
        raise InputError(f"{path} is damaged ({wrong}): make it again")
    if json_shapes.fault(found.get("dataset_recipe"), _RECIPE):
        found.pop("dataset_recipe", None)
    return found
