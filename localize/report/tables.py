"""The files of a folder that we wrote, read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synth.errors import InputError


def read(path: Path, needed: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV -> its table; an empty one where there is no such file.

    Args:
        needed: columns without which it is refused.
        texts: columns that are text, whatever stands there; empty is "".

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return pd.DataFrame(columns=list(dict.fromkeys([*needed, *texts])))
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=True)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} is damaged ({reason}): make it again") from None
    if lacking := [name for name in needed if name not in table]:
        raise InputError(f"{path} lacks the column {', '.join(lacking)}: make it again")
    for name in texts:
        table[name] = table[name].fillna("") if name in table else ""
    return table


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
