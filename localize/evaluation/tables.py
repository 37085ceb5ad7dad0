"""Reading and writing the tables and the JSON record of a result folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synth import dataset, folders, json_shapes, number_kinds, tables
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
    """Reads a CSV file with columns of text and of numbers; an empty table if there is no file.

    Args:
        needed: columns that must be there.
        texts: columns of text; an empty cell is "".
        numbers: the permitted values of the other columns. A needed column that is neither
            here nor in ``texts`` may hold any number.

    Raises:
        InputError: the file is damaged.
    """
    kinds = {**dict.fromkeys(needed, number_kinds.INFINITE), **(numbers or {})}
    kinds = {name: kind for name, kind in kinds.items() if name not in texts}
    if not path.is_file():
        return pd.DataFrame(columns=list(dict.fromkeys([*needed, *texts])))
    return tables.read(path, needed, advice=ADVICE).frame(kinds, texts, ADVICE)


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV, without NUL characters, which CSV readers refuse."""
    folders.write(path, dataset.to_csv(table).replace("\0", ""))


_METHOD = Object({"told": ([str], None), "gives": ([str], None), "parameters": (float, None)})
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
_RECORD = Object(
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


def read_record(path: Path) -> dict[str, Any]:
    """Reads ``comparison.json`` or ``sharpness.json`` and checks the types of its values.

    A ``dataset_recipe`` that is not a recipe is left out, since the report only displays it.

    Raises:
        InputError: the file is damaged; the message names the key.
    """
    try:
        record = parse_object(path.read_bytes())
    except (OSError, Damaged) as error:
        raise InputError(f"{path} is damaged ({error}): make it again") from None
    if wrong := json_shapes.fault(record, _RECORD):
        raise InputError(f"{path} is damaged ({wrong}): make it again")
    if json_shapes.fault(record.get("dataset_recipe"), _RECIPE):
        record.pop("dataset_recipe", None)
    return record
