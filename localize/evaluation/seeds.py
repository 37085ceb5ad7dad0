"""Several seeds of one method in a comparison: one row for the method, and one for each seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.calls import CALL_SCORES
from localize.evaluation.results import OVER_SEEDS, SEEDS, Comparison
from localize.evaluation.scoring import SCORES
from localize.training.collapse import COLLAPSED
from synth.errors import InputError

SeedOf = Mapping[str, tuple[str, int]]  # name in the tables of a run -> method, seed


def seed_numbers(seeds: int, options: Mapping[str, Any]) -> list[int]:
    """The number of seeds, options -> the seeds: the option ``seed`` and those that follow it.

    Raises:
        InputError: the number is below 1.
    """
    if seeds < 1:
        raise InputError(f"seeds is {seeds}: give a whole number from 1 up")
    first = options.get("seed", 0)
    return list(range(first, first + seeds))


def label_of(method: str, seed: int) -> str:
    """The name of one seed of a method in the tables of a run."""
    return f"{method} seed {seed}"


def label_seeds(answers: Sequence[tuple[str, object, float]]) -> tuple[list[str], SeedOf]:
    """(method, image, seed) of each answer -> its name, and the method and seed behind the names.

    Answers of a method that answers an image more than once get the names of their seeds; other
    names are those of the methods. A seed of NaN is none.

    >>> label_seeds([("a", 1, 0.0), ("a", 1, 1.0), ("b", 1, 0.0)])
    (['a seed 0', 'a seed 1', 'b'], {'a seed 0': ('a', 0), 'a seed 1': ('a', 1)})
    """
    counts = Counter((method, image) for method, image, _ in answers)
    repeated = {method for (method, _), count in counts.items() if count > 1}
    names, seed_of = [], {}
    for method, _, seed in answers:
        named = method in repeated and float(seed).is_integer()
        names.append(label_of(method, int(seed)) if named else method)
        if named:
            seed_of[names[-1]] = method, int(seed)
    return names, seed_of


def merge_seeds(result: Comparison, seed_of: SeedOf) -> Comparison:
    """The tables of a run in which each seed has a name -> the same with one name per method.

    Predictions, clean images, history and false calls get a column ``seed``. A row of ``scores``
    and ``last`` is then the mean over the seeds of a method, with the columns ``OVER_SEEDS``;
    ``seeds`` has the scores of each seed. Errors keep the names of the seeds.

    Args:
        seed_of: the method and the seed behind a name; other names are left unchanged.
    """
    if not seed_of:
        return result
    predictions, clean, scores, history, last, false_calls = (
        _split_names(table, seed_of)
        for table in (
            result.predictions, result.clean, result.scores, result.history, result.last,
            result.false_calls,
        )
    )  # fmt: skip
    return replace(
        result,
        predictions=predictions,
        clean=clean,
        scores=_mean_scores(scores, predictions),
        history=history,
        last=_mean_scores(last, None),
        false_calls=false_calls,
        seeds=scores[scores["seed"].notna()]
        .reindex(columns=[*SEEDS, *_call_scores(scores)])
        .reset_index(drop=True),
    )


def _split_names(table: pd.DataFrame, seed_of: SeedOf) -> pd.DataFrame:
    """A table with names of seeds -> names of methods, and the column ``seed``."""
    pairs = [seed_of.get(name, (name, None)) for name in table["method"]]
    if all(seed is None for _, seed in pairs):
        return table
    split = table.assign(method=[method for method, _ in pairs])
    split.insert(1, "seed", pd.Series([seed for _, seed in pairs], table.index, dtype="Int64"))
    return split


def _mean_scores(scores: pd.DataFrame, predictions: pd.DataFrame | None) -> pd.DataFrame:
    """The scores of seeds -> one row per method; without predictions there are no intervals."""
    if "seed" not in scores:
        return scores
    rows: list[Mapping[Any, Any]] = []
    for method, group in scores.groupby("method", sort=False):
        if group["seed"].isna().all():
            rows.append(group.iloc[0].to_dict())
            continue
        of_method = None if predictions is None else predictions[predictions["method"] == method]
        rows.append(_mean_row(group, of_method))
    table = pd.DataFrame(rows, columns=[*SCORES, *OVER_SEEDS, *_call_scores(scores)])
    whole = ("parameters", "seeds", "collapsed_seeds")
    return table.astype(dict.fromkeys(whole, "Int64") | {"n": int})


def _call_scores(scores: pd.DataFrame) -> list[str]:
    """The columns about calls that a table has."""
    return [name for name in CALL_SCORES if name in scores]


def _mean_row(seeds: pd.DataFrame, predictions: pd.DataFrame | None) -> dict[Any, Any]:
    """The scores of one method's seeds -> means and standard deviations over the seeds.

    The interval of a distance is that of the mean over the seeds: photos are drawn, with the
    answers of all seeds. The median is over images and seeds.
    """
    columns = [*SCORES, *_call_scores(seeds)]
    row = seeds.iloc[0].to_dict() | seeds[columns].mean(numeric_only=True).to_dict()
    row |= {n: math.nan for n in columns if n.endswith(("_low", "_high", "call_threshold"))}
    for name in ("mean_distance", "normalised_distance", "hit@5", "hit@r"):
        row[f"{name}_sd"] = float(seeds[name].std())
    if predictions is not None:
        answered = predictions[predictions["distance"].notna()]
        for column, name in (("distance", "mean_distance"), ("normalised_distance",) * 2):
            ends = metrics.bootstrap(answered[column].to_numpy(), answered["photo"].tolist())
            row[f"{name}_low"], row[f"{name}_high"] = ends
        row["median_distance"] = float(np.median(answered["distance"])) if len(answered) else None
    collapsed = int((seeds["note"] == COLLAPSED).sum())
    row["seeds"], row["collapsed_seeds"] = len(seeds), collapsed
    row["note"] = f"{collapsed} of {len(seeds)} seeds {COLLAPSED}" if collapsed else ""
    return row


def describe_spread(values: list[float], unit: str = "px") -> str:
    """The values of a score for several seeds -> their mean, standard deviation and range.

    >>> describe_spread([1.0, 2.0, 3.0])
    '2.0 px, standard deviation 1.0 px, range 1.0 to 3.0 px'
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return (
        f"{np.mean(values):.1f} {unit}, standard deviation {deviation:.1f} {unit}, "
        f"range {min(values):.1f} to {max(values):.1f} {unit}"
    )
