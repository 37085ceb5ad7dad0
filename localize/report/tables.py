"""The files of a folder that we wrote, read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synth import number_kinds, tables
from synth.errors import InputError
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


def about(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}): make it again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged (no object): make it again")
    return found
