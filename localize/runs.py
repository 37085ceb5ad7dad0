"""The run folder that training writes, whatever trains.

It holds ``best.safetensors`` (lowest validation distance or loss), ``last.safetensors``,
``history.csv``, ``last.ckpt`` and ``start.json`` (to resume; removed when training is done) and,
once training is done, ``model.json``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from localize.localizer import HISTORY, RUN_FILE
from synth import folders, tables
from synth.errors import InputError

CHECKPOINT = "last.ckpt"
START = "start.json"  # what the run was asked for


def begin(run: Path, about: dict[str, Any]) -> bool:
    """Note what a run is asked for -> whether there is a checkpoint of the same to go on from.

    Raises:
        InputError: there is one, of other settings or data.
    """
    settings = json.loads(json.dumps(about))
    start = run / START
    if not (start.is_file() and (run / CHECKPOINT).is_file()):
        folders.write(start, json.dumps(settings))
        return False
    if json.loads(start.read_text(encoding="utf-8")) != settings:
        raise InputError(
            f"{run} holds an unfinished run with other settings or data: name another --out"
        )
    return True


def finish(run: Path, about: dict[str, Any], best_by: str) -> None:
    """Write ``model.json``: what was asked for and how the epoch with the least ``best_by`` did.

    Raises:
        InputError: that is no number any more.
    """
    history = read_history(run)
    best = min(history, key=lambda row: row[best_by])
    if not math.isfinite(best[best_by]):
        raise InputError(f"training in {run} diverged: try a lower learning rate")
    about |= {
        "best_epoch": int(best["epoch"]),
        "last_epoch": int(history[-1]["epoch"]),
        "val_distance": best["val_distance"],
        "torch": torch.__version__,
    }
    folders.write(run / RUN_FILE, json.dumps(about, indent=2) + "\n")
    for name in (CHECKPOINT, START):
        (run / name).unlink()


def read_history(run: Path) -> list[dict[str, float]]:
    """The epochs of a run so far: dicts of :data:`HISTORY`, epochs counted from 1.

    Raises:
        InputError: the table is damaged.
    """
    path = run / "history.csv"
    if not path.is_file():
        return []
    loss = replace(tables.INFINITE, nan=True)  # of a training that diverges
    kinds = dict.fromkeys(HISTORY[1:], loss) | {"epoch": tables.FINITE}
    table = tables.read(path, ("epoch",), HISTORY, advice="train again")
    columns = table.numbers(kinds, "train again")
    return [
        {name: columns[name][i] for name, cell in zip(table.columns, row, strict=True) if cell}
        for i, row in enumerate(table.rows)
    ]


def write_history(run: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"epoch": int(row["epoch"])} for row in rows)
    folders.write(run / "history.csv", text.getvalue())


def load_weights(network: nn.Module, run: Path, which: str = "best") -> None:
    """Fill a network with a run's ``best`` or ``last`` weights.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    path = run / f"{which}.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: train again") from None
    except Exception as error:  # safetensors and torch raise many kinds
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} does not fit this method ({reason}): train again") from None
