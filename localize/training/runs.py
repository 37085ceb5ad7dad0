"""The run folder that training writes, whatever trains.

It holds ``best.safetensors`` (lowest validation distance or loss), ``last.safetensors``,
``history.csv`` and, once training is done, ``model.json``. Until then ``last.ckpt`` holds all that
a resumed run needs, the other three included, with a checksum; ``earlier.ckpt`` is the one before,
in case the last one gets damaged, and ``start.json`` what the run was asked for.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from localize.localizer import HISTORY
from localize.run_files import RUN_FILE, read_file, read_sealed, write_run, write_sealed
from synth import folders, number_kinds, tables
from synth.errors import InputError, Interrupted
from synth.json_files import Damaged, parse_object

CHECKPOINT = "last.ckpt"
EARLIER = "earlier.ckpt"  # the checkpoint before it
START = "start.json"  # what the run was asked for
BEST, LAST, ROWS = "best.safetensors", "last.safetensors", "history.csv"
PROGRESS = "acuity"  # key of a checkpoint: the run's settings, and its Progress as a dict
Weights = Mapping[str, Tensor]


@dataclass
class Progress:
    """What training has reached.

    Args:
        rows: the epochs so far: dicts of :data:`HISTORY`, epochs counted from 1.
        best: the weights of the epoch with the least validation distance or loss, on the CPU.
        last: the weights of the last epoch.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best: Weights = field(default_factory=dict)
    last: Weights = field(default_factory=dict)

    def add(self, row: dict[str, float], by: str, network: nn.Module) -> None:
        """Add an epoch; its weights are the best if its ``by`` is the least so far."""
        earlier = [each for each in self.rows if each["epoch"] < row["epoch"]]
        self.rows = [*earlier, row]
        self.last = network.state_dict()
        if row[by] < min((each[by] for each in earlier), default=math.inf):
            self.best = {name: value.cpu().clone() for name, value in self.last.items()}

    def write(self, run: Path) -> None:
        """Write weights and history, each whole or not at all."""
        for name, weights in ((BEST, self.best), (LAST, self.last)):
            if weights:
                folders.write(run / name, to_bytes(weights))
        write_history(run, self.rows)


def to_bytes(weights: Weights) -> bytes:
    """Weights as the content of a safetensors file."""
    return save({name: value.contiguous() for name, value in weights.items()})


def begin(run: Path, about: dict[str, Any]) -> Path | None:
    """Note what a run is asked for -> a checkpoint of the same to go on from, if there is one.

    The run's weights and history are written as they were at that checkpoint.

    Raises:
        InputError: there is one of other settings or data, or each one is damaged.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
    settings = json.loads(json.dumps(about))
    damaged = []
    for path in (run / CHECKPOINT, run / EARLIER):
        if not path.is_file():
            continue
        try:
            reached = read_checkpoint(path)[PROGRESS]
        except Damaged:
            damaged.append(path)
            continue
        if json.loads(reached["settings"]) != settings:
            raise _other_settings(run)
        if damaged:
            epoch = int(reached["rows"][-1]["epoch"])
            print(f"{damaged[0]} is damaged: going on from epoch {epoch}", file=sys.stderr)
        folders.write(run / START, json.dumps(settings))
        Progress(reached["rows"], reached["best"], reached["last"]).write(run)
        return path
    if damaged:
        if _start(run) not in (None, settings):
            raise _other_settings(run)
        names, those = " and ".join(map(str, damaged)), "them" if len(damaged) > 1 else "it"
        raise InputError(
            f"{names} cannot be gone on from, being damaged or of an earlier version: "
            f"delete {those} to train from the start with --resume"
        )
    folders.write(run / START, json.dumps(settings))
    return None


def _other_settings(run: Path) -> InputError:
    return InputError(
        f"{run} holds an unfinished run with other settings or data: name another --out"
    )


def _start(run: Path) -> dict[str, Any] | None:
    """What an unfinished run was asked for, where that can be read."""
    try:
        return parse_object((run / START).read_bytes())
    except (OSError, Damaged):
        return None


def progress_entry(about: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """What stands under PROGRESS in a checkpoint: what the run was asked for and has reached."""
    return {
        "settings": json.dumps(about),
        "rows": progress.rows,
        "best": dict(progress.best),
        "last": dict(progress.last),
    }


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its target and rename it; the one before is kept as EARLIER.

    Args:
        state: what the trainer resumes from, and under PROGRESS a :func:`progress_entry`.
    """
    content = io.BytesIO()
    torch.save(state, content)  # tensors that occur twice are stored once
    write_sealed(path, content.getbuffer(), earlier=path.with_name(EARLIER))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`write_checkpoint` wrote: the state, and the progress under PROGRESS.

    Raises:
        Damaged: it is no such file, or not as it was written.
    """
    content = io.BytesIO(read_sealed(path))
    try:
        state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise Damaged(f"is not read by this torch ({type(error).__name__})") from None
    return state


def resumable(run: Path, error: InputError) -> InputError:
    """An error as an interruption, if the run has a checkpoint: bad input would drop the run."""
    if isinstance(error, Interrupted) or not (run / CHECKPOINT).is_file():
        return error
    return Interrupted(f"{error}; what was trained is kept: mend this and go on with --resume")


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
    write_run(run, about, (BEST, LAST, ROWS))
    for name in (EARLIER, CHECKPOINT, START):
        (run / name).unlink(missing_ok=True)


def read_history(run: Path) -> list[dict[str, float]]:
    """The epochs of a run so far: dicts of :data:`HISTORY`, epochs counted from 1.

    Raises:
        InputError: the table is damaged.
    """
    path = run / ROWS
    if not path.is_file():
        return []
    loss = replace(number_kinds.INFINITE, nan=True)  # of a training that diverges
    kinds = dict.fromkeys(HISTORY[1:], loss) | {"epoch": number_kinds.FINITE}
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
    folders.write(run / ROWS, text.getvalue())


def load_weights(network: nn.Module, run: Path, which: str = "best", ignore: str = "") -> None:
    """Fill a network with a run's ``best`` or ``last`` weights.

    Args:
        ignore: prefix of names in the file that the network no longer has.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    name = f"{which}.safetensors"
    data = read_file(run, name)
    try:
        weights = load(data)
        if ignore:
            weights = {k: v for k, v in weights.items() if not k.startswith(ignore)}
        network.load_state_dict(weights)
    except Exception as error:  # safetensors and torch raise many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{run / name} does not fit this method ({reason}): train again") from None
