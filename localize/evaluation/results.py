"""The tables of a comparison: built from answers and scores, or read from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import calls, tables
from localize.evaluation.scoring import CLEAN, ERRORS, PREDICTIONS, SCORES, Answers
from localize.localizer import HISTORY
from synth import folders
from synth.number_kinds import INFINITE

FINISHED = "finished already; --overwrite makes it again"
# Further columns of scores.csv where methods were trained with several seeds.
OVER_SEEDS = (
    "seeds", "collapsed_seeds", "mean_distance_sd", "normalised_distance_sd", "hit@5_sd",
    "hit@r_sd",
)  # fmt: skip
SEEDS = ("method", "seed", *SCORES[1:])
TABLES: dict[str, tuple[str, ...]] = {  # by file name, without .csv
    "predictions": PREDICTIONS,
    "clean": CLEAN,
    "scores": SCORES,
    "history": ("method", *HISTORY),
    "scores-last-epoch": SCORES,
    "errors": ERRORS,
    "seeds": SEEDS,
    calls.FILE: calls.COLUMNS,
}
TEXTS = ("method", "file_name", "photo", "reason", "split", "note", "answer")  # columns of text
# Columns that tables of earlier versions lack.
LATER = ("val_spread", "gap_evidence", "answer_spread", "note", "n_anomalous", *calls.LATER)
# Columns that tables of runs with one seed or without calls lack.
OPTIONAL = ("seed", *OVER_SEEDS, *calls.CALL_SCORES)


@dataclass(frozen=True)
class Comparison:
    """The tables of one run.

    Args:
        predictions: one row per method and image with an anomaly.
        clean: one row per method and clean image, for methods that give a score or a map.
        scores: one row per method; of a trained method, the weights of its best epoch.
        history: one row per trained method and epoch.
        last: like ``scores``, with the weights of the last epoch.
        errors: the images that a method failed on, with the reason.
        seeds: like ``scores``, one row per method and seed, of methods with several seeds.
        false_calls: one row per method, if answers are called (:mod:`localize.evaluation.calls`).
    """

    predictions: pd.DataFrame
    clean: pd.DataFrame
    scores: pd.DataFrame
    history: pd.DataFrame
    last: pd.DataFrame
    errors: pd.DataFrame
    folder: Path
    seeds: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SEEDS)))
    false_calls: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(calls.COLUMNS))
    )


def collect_results(
    answers: Sequence[Answers],
    scores: Sequence[dict[str, Any]],
    folder: Path,
    history: Sequence[pd.DataFrame] = (),
    last: Sequence[dict[str, Any]] = (),
) -> Comparison:
    """Answers and scores, one entry per method -> the tables of the run."""
    clean = [each.clean for each in answers if len(each.clean)]
    return Comparison(
        pd.concat([each.predictions for each in answers], ignore_index=True),
        pd.concat(clean, ignore_index=True) if clean else pd.DataFrame(columns=list(CLEAN)),
        pd.DataFrame(scores, columns=list(SCORES)).astype({"parameters": "Int64"}),
        pd.concat(history, ignore_index=True)
        if history
        else pd.DataFrame(columns=["method", *HISTORY]),
        pd.DataFrame(last, columns=list(SCORES)),
        pd.concat([each.errors for each in answers], ignore_index=True),
        folder,
    )


def read_comparison(
    out: Path, name: str, request: dict[str, Any], command: list[str], scratch: Sequence[str] = ()
) -> Comparison | None:
    """The tables of a finished run with the same request; None if there is no such run.

    Args:
        name: the file in ``out`` that holds the request.
        scratch: files in ``out`` that only an unfinished run needs.
    """
    if not (out / name).is_file() or not folders.is_finished(out, scratch):
        return None
    record = tables.read_record(out / name)
    same = {**request, "command": command}
    if any(record.get(key) != value for key, value in same.items()):
        return None
    frames = {name: _read_table(out / f"{name}.csv", TABLES[name]) for name in TABLES}
    scores = frames["scores"].astype({"parameters": "Int64"})
    return Comparison(
        frames["predictions"], frames["clean"], scores, frames["history"],
        frames["scores-last-epoch"], frames["errors"], out, frames["seeds"],
        frames[calls.FILE],
    )  # fmt: skip


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table of a run; columns that it lacks because it is older are empty."""
    needed = [each for each in columns if each not in LATER]
    texts = [each for each in columns if each in TEXTS]
    numbers = dict.fromkeys({*LATER, *OPTIONAL} - set(texts), INFINITE)
    table = tables.read(path, needed, texts, numbers)
    lacking = [each for each in columns if each not in table]
    return table.reindex(columns=[*table.columns, *lacking])
