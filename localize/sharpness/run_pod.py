"""The probability of detection of a sharpness run: each method, side and answer by itself.

All radii and conditions of a side are analysed together, as for the thresholds; where there are
several radii, the test of pooling compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from localize.sharpness import thresholds
from localize.sharpness.pod import analysis
from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.results import PodResult
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.trials import Trials
from localize.sharpness.pod.units import Unit
from localize.sharpness.trial_calls import ANSWERS, trials_of_answer
from synth.errors import InputError

COLUMNS = (
    "method", "side", "answer", "n", "hits", "model", "link", "scale", "a50", "a90", "a90_95",
    "a90_95_larger", "verdict",
)  # fmt: skip
KEYS = ("method", "side", "answer")
SIDES = ("brighter", "darker")
MAX_RADII = 12  # more are drawn at random, for instance for people, and not compared


@dataclass(frozen=True, eq=False)
class Analysis:
    """The POD of one method on one side for one answer.

    Args:
        answer: ``place``, ``detected`` or ``called``; see :mod:`localize.sharpness.trial_calls`.
        result: None if the trials do not determine a curve.
        fault: why there is no result, and what to add, or "".
    """

    method: str
    side: str
    answer: str
    inspection: Inspection
    result: PodResult | None
    fault: str = ""

    @property
    def keys(self) -> dict[str, str]:
        """Method, side and answer, the first columns of all tables."""
        return {name: getattr(self, name) for name in KEYS}

    def row(self) -> dict[str, Any]:
        """The row of ``pod.csv``; sizes are ratios, below 1 for darker regions."""
        targets = self.inspection.trials.on_targets
        row: dict[str, Any] = self.keys | {"n": len(targets.hit), "hits": int(targets.hit.sum())}
        if self.result is None:
            return row | {"verdict": self.fault.partition(":")[0].partition(" (")[0]}
        chosen = self.result.chosen
        names = ("a50", "a90", "a90_95", "a90_95_larger")  # a size below 0 is found more often
        row |= {name: self.inspection.unit.ratio(np.maximum(chosen[name], 0)) for name in names}
        return row | {name: chosen[name] for name in ("model", "link", "scale", "verdict")}


def analyse(
    trials: pd.DataFrame, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Analysis]:
    """All trials of a run -> the analyses, by method, side and answer."""
    parts = list(_parts(trials))
    analyses = []
    for done, (method, side, answer, own) in enumerate(parts):
        analyses.append(_analyse_part(method, side, answer, own))
        progress(done + 1, len(parts))
    return analyses


def _parts(trials: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    for method, of_method in trials.groupby("method", sort=False):
        for side in SIDES:
            for answer in ANSWERS:
                own = trials_of_answer(of_method, answer)
                if (own["side"] == side).any():
                    yield str(method), side, answer, thresholds.trials_of_side(own, side)


def _analyse_part(method: str, side: str, answer: str, trials: pd.DataFrame) -> Analysis:
    radii = trials["r"].nunique()
    options = PodOptions(
        hits=(ANSWERS[answer],), by="r" if 1 < radii <= MAX_RADII else "",
        only=(("method", method), ("side", side)),
    )  # fmt: skip
    inspection = inspection_of(trials, side)
    try:
        return Analysis(method, side, answer, inspection, analysis.analyse(inspection, options))
    except InputError as fault:
        return Analysis(method, side, answer, inspection, None, str(fault))


def inspection_of(trials: pd.DataFrame, side: str) -> Inspection:
    """The trials of one method and side, and those at ratio 1 -> the same as an inspection."""
    radii = np.array([f"{r:g}" for r in trials["r"]], dtype=object)
    _, photo = np.unique(trials["photo"].astype(str), return_inverse=True)
    return Inspection(
        Trials(
            thresholds.steps(trials["discolor_ratio"]), trials["hit"].to_numpy(int),
            np.arange(len(trials)), photo, radii,
        ),
        None, Unit("|log ratio|", side, float(trials["brightness"].mean())), "photo", (),
    )  # fmt: skip


def table(analyses: list[Analysis]) -> pd.DataFrame:
    """The rows of ``pod.csv``."""
    return pd.DataFrame([each.row() for each in analyses], columns=list(COLUMNS))


def panels(analyses: list[Analysis]) -> dict[str, list[tuple[str, PodResult, Inspection]]]:
    """Method -> its panels for a figure: each side, detected or else the right place."""
    found: dict[str, list[tuple[str, PodResult, Inspection]]] = {}
    with_calls = {each.method for each in analyses if each.answer == "detected"}
    for each in analyses:
        shown = "detected" if each.method in with_calls else "place"
        if each.answer == shown and each.result is not None:
            found.setdefault(each.method, []).append((each.side, each.result, each.inspection))
    return found


def details(analyses: list[Analysis]) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Any]]]:
    """All models (``pod-models.csv``), all radii (``pod-parts.csv``) and the records."""
    models, parts, records = [pd.DataFrame()], [pd.DataFrame()], []
    for each in analyses:
        if each.result is None:
            records.append(each.keys | {"fault": each.fault})
            continue
        records.append(each.keys | {"table": "trials.csv"} | each.result.about)
        for tables, own in ((models, each.result.models), (parts, each.result.parts)):
            tables.append(pd.DataFrame(each.keys, index=own.index).join(own))
    return (
        pd.concat(models, ignore_index=True), pd.concat(parts, ignore_index=True), records
    )  # fmt: skip
