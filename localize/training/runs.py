"""The run folder of a network that is trained in epochs.

It holds ``best.safetensors`` (lowest validation distance or loss), ``last.safetensors``,
``history.csv`` and, once training is done, ``model.json``. Until then, ``last.ckpt`` is the
checkpoint of the last epoch. It has a checksum and contains everything that a resumed run needs,
also weights and history. ``earlier.ckpt`` is the checkpoint before it, in case the last one is
damaged, and ``start.json`` holds the request of the run.
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
from localize.run_files import (
    RUN_FILE,
    read_file,
    read_with_checksum,
    write_run,
    write_with_checksum,
)
from localize.training.collapse import constant_since
from synth import folders, number_kinds, tables
from synth.errors import InputError, Interrupted
from synth.json_files import Damaged, parse_object
from synth.run_request import check_same_request

CHECKPOINT = "last.ckpt"
EARLIER = "earlier.ckpt"  # the checkpoint of the epoch before
START = "start.json"  # the request of the run
OTHER_REQUEST = (
    "{folder} holds an unfinished run with other settings or data ({names}): name another --out"
)
BEST, LAST, ROWS = "best.safetensors", "last.safetensors", "history.csv"
PROGRESS = "acuity"  # key of a checkpoint: the run's settings, and its Progress as a dict
Weights = Mapping[str, Tensor]


@dataclass
class Progress:
    """The results of training so far.

    Args:
        rows: one dict of :data:`HISTORY` per finished epoch; epochs are counted from 1.
        best: the weights of the epoch with the least validation distance or loss, on the CPU.
        last: the weights of the last epoch.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best: Weights = field(default_factory=dict)
    last: Weights = field(default_factory=dict)

    def add(self, row: dict[str, float], by: str, network: nn.Module) -> None:
        """Add an epoch; its weights are the best if its value of ``by`` is the least so far."""
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
    """Write the request of a run -> the checkpoint to resume from, if there is one.

    The weights and history in the folder are replaced by those of the checkpoint.

    Raises:
        InputError: the checkpoint has another request, or both checkpoints are damaged.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training
    damaged = []
    for path in (run / CHECKPOINT, run / EARLIER):
        if not path.is_file():
            continue
        try:
            saved = read_checkpoint(path)[PROGRESS]
        except Damaged:
            damaged.append(path)
            continue
        check_same_request(json.loads(saved["settings"]), about, run, OTHER_REQUEST)
        if damaged:
            epoch = int(saved["rows"][-1]["epoch"])
            print(f"{damaged[0]} is damaged: resuming from epoch {epoch}", file=sys.stderr)
        folders.write(run / START, json.dumps(about))
        Progress(saved["rows"], saved["best"], saved["last"]).write(run)
        return path
    if damaged:
        if (request := _read_request(run)) is not None:
            check_same_request(request, about, run, OTHER_REQUEST)
        names, pronoun = " and ".join(map(str, damaged)), "them" if len(damaged) > 1 else "it"
        raise InputError(
            f"{names} cannot be resumed from: damaged, or of an earlier version: "
            f"delete {pronoun} to train from the start with --resume"
        )
    folders.write(run / START, json.dumps(about))
    return None


def _read_request(run: Path) -> dict[str, Any] | None:
    """The request of an unfinished run; None if it cannot be read."""
    try:
        return parse_object((run / START).read_bytes())
    except (OSError, Damaged):
        return None


def progress_entry(about: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The entry PROGRESS of a checkpoint: the request of the run and its results so far."""
    return {
        "settings": json.dumps(about),
        "rows": progress.rows,
        "best": dict(progress.best),
        "last": dict(progress.last),
    }


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its target and rename it; the previous one is kept as EARLIER.

    Args:
        state: the state of the trainer, and under PROGRESS a :func:`progress_entry`.
    """
    content = io.BytesIO()
    torch.save(state, content)  # tensors that occur twice are stored once
    write_with_checksum(path, content.getbuffer(), earlier=path.with_name(EARLIER))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that :func:`write_checkpoint` wrote, with the progress under PROGRESS.

    Raises:
        Damaged: it is no checkpoint, or its content has changed.
    """
    content = io.BytesIO(read_with_checksum(path))
    try:
        state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise Damaged(f"is not read by this torch ({type(error).__name__})") from None
    return state


def to_interruption(run: Path, error: InputError) -> InputError:
    """An error -> an Interrupted, which keeps the run folder, if the run has a checkpoint."""
    if isinstance(error, Interrupted) or not (run / CHECKPOINT).is_file():
        return error
    return Interrupted(f"{error}; what was trained is kept: correct this, then use --resume")


def finish(run: Path, about: dict[str, Any], best_by: str) -> None:
    """Write ``model.json``: the request, and the epoch with the least value of ``best_by``.

    Where the history has the spread of the answers, ``collapsed_at`` is the first epoch since when
    they were constant, or None.

    Raises:
        InputError: the value is not finite.
    """
    history = read_history(run)
    best = min(history, key=lambda row: row[best_by])
    if not math.isfinite(best[best_by]):
        raise InputError(f"training in {run} diverged: try a lower learning rate")
    about |= {
        "best_epoch": int(best["epoch"]),
        "last_epoch": int(history[-1]["epoch"]),
        **{name: best[name] for name in ("val_distance", best_by) if name in best},
        "torch": torch.__version__,
    }
    if "val_spread" in best:
        about["collapsed_at"] = constant_since(history, int(best["epoch"]))
    write_run(run, about, (BEST, LAST, ROWS))
    remove_checkpoints(run)


def is_trained(run: Path) -> bool:
    """Whether an interrupted command has finished the training in ``run``.

    If so, removes checkpoints, which are left if it was killed at its very end.
    """
    trained = (run / RUN_FILE).is_file()
    if trained:
        remove_checkpoints(run)
    return trained


def remove_checkpoints(run: Path) -> None:
    """Remove the files of a finished run that only an unfinished one needs."""
    for name in (EARLIER, CHECKPOINT, START):
        (run / name).unlink(missing_ok=True)


def read_history(run: Path) -> list[dict[str, float]]:
    """The finished epochs of a run: dicts of :data:`HISTORY`; epochs are counted from 1.

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
    """Write the epochs of a run as ``history.csv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"epoch": int(row["epoch"])} for row in rows)
    folders.write(run / ROWS, text.getvalue())


def load_weights(network: nn.Module, run: Path, which: str = "best") -> None:
    """Fill a network with a run's ``best`` or ``last`` weights.

    Raises:
        InputError: the file is missing or damaged, or belongs to another network.
    """
    name = f"{which}.safetensors"
    data = read_file(run, name)
    try:
        network.load_state_dict(load(data))
    except Exception as error:  # safetensors and torch raise many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{run / name} does not fit this method ({reason}): train again") from None
