"""The tables of a comparison: made of answers and scores, or read again from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import tables
from localize.evaluation.scoring import CLEAN, ERRORS, PREDICTIONS, SCORES, Answers
from localize.localizer import HISTORY
from synth import folders

FINISHED = "finished already; --overwrite makes it again"
TABLES: dict[str, tuple[str, ...]] = {  # by file name, without .csv
    "predictions": PREDICTIONS,
    "clean": CLEAN,
    "scores": SCORES,
    "history": ("method", *HISTORY),
    "scores-last-epoch": SCORES,
    "errors": ERRORS,
}
TEXTS = ("method", "file_name", "photo", "reason", "split")  # columns of text


@dataclass(frozen=True)
class Comparison:
    """The tables of one run: one row per method and image, per method, per method and epoch.

    ``clean`` has the images without an anomaly, for the methods that tell them apart.
    ``last`` has the scores of the last epoch's weights, where the best epoch's are scored.
    ``errors`` lists the images that a method failed on, with the reason.
    """

    predictions: pd.DataFrame
    clean: pd.DataFrame
    scores: pd.DataFrame
    history: pd.DataFrame
    last: pd.DataFrame
    errors: pd.DataFrame
    folder: Path


def gather(
    answers: Sequence[Answers],
    scores: Sequence[dict[str, Any]],
    folder: Path,
    history: Sequence[pd.DataFrame] = (),
    last: Sequence[dict[str, Any]] = (),
) -> Comparison:
    """The answers and scores of methods, one after the other, as tables."""
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
    """The tables of a run that is finished and was asked for the same; else None.

    Args:
        name: of the file in ``out`` that says what was asked for.
        scratch: what only a resumed run needs in it.
    """
    if not (out / name).is_file() or not folders.is_finished(out, scratch):
        return None
    about = tables.about(out / name)
    same = {**request, "command": command}
    if any(about.get(key) != value for key, value in same.items()):
        return None
    read = {
        name: tables.read(out / f"{name}.csv", columns, [each for each in columns if each in TEXTS])
        for name, columns in TABLES.items()
    }
    scores = read["scores"].astype({"parameters": "Int64"})
    return Comparison(
        read["predictions"], read["clean"], scores, read["history"], read["scores-last-epoch"],
        read["errors"], out,
    )  # fmt: skip
