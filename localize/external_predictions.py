"""Scores predictions of other programs or of people, given as a CSV file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize import comparison, registry
from localize.comparison import MARKER
from localize.data.folder import Folder
from localize.evaluation import call_scores, calls, provenance, scoring
from localize.evaluation.results import Comparison, collect_results
from localize.evaluation.scoring import CLEAN, ERRORS, Answers
from localize.evaluation.validity import NO_ANSWER, validate
from localize.localizer import Finding
from localize.names import plain
from synth import coordinate_units, folders, number_kinds, paths, tables
from synth import dataset as datasets
from synth.errors import InputError
from synth.file_names import FileNames
from synth.paths import path_of
from synth.storage import place_of

NEEDED = ("file_name", "x_pred", "y_pred")
NEEDED_CLEAN = ("file_name", "score")  # columns that a file with clean images only needs
OPTIONAL = ("r_pred", "ratio_pred", "score", "discolor_ratio", "seconds")
PLACE_NUMBERS = {
    "x_pred": number_kinds.FINITE,
    "y_pred": number_kinds.FINITE,
    "r_pred": number_kinds.FINITE,
}
OTHER_NUMBERS = {
    "ratio_pred": number_kinds.FINITE,
    "score": number_kinds.INFINITE,
    "discolor_ratio": number_kinds.POSITIVE,
    "seconds": number_kinds.FINITE,
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """A row of the file; empty cells and missing columns are NaN or ""."""

    line: int
    method: str
    file_name: str
    trial: str
    x_pred: float = math.nan
    y_pred: float = math.nan
    r_pred: float = math.nan
    ratio_pred: float = math.nan
    score: float = math.nan
    discolor_ratio: float = math.nan
    seconds: float = math.nan

    @property
    def finding(self) -> Finding:
        r, ratio, score = (
            None if math.isnan(value) else value
            for value in (self.r_pred, self.ratio_pred, self.score)
        )
        return Finding(self.x_pred, self.y_pred, r, ratio, score)


def score(
    predictions: str | Path,
    dataset: str | Path,
    out: str | Path,
    *,
    clean: str | Path | None = None,
    split: str | None = None,
    unit: coordinate_units.Unit | None = None,
    false_calls: float | None = None,
    overwrite: bool = False,
    say: Say = lambda line: None,
) -> Comparison:
    """Scores a CSV of predictions on a dataset; writes the same files as ``evaluate``.

    An image of the split that is not in the file, or has no place, counts as a miss. A file with
    a column ``trial`` holds trials: only its rows count, and images may be repeated.

    Args:
        predictions: columns file_name, x_pred, y_pred (px; both empty: no answer), and optionally
            method, r_pred, ratio_pred, score, discolor_ratio, seconds, trial. Rows of clean
            images need only a score, as do all rows of a dataset without places. A method with
            scores and without any place is scored as one that gives no place.
        clean: a second CSV with rows of clean images, such as ``clean.csv``.
        split: test, val, train or all. None: the split of all rows, or all.
        unit: of x_pred, y_pred and r_pred: ``px``, or ``fraction`` or ``percent`` of the
            image's size. None: px, but a file that looks like fractions is refused.
        false_calls: wanted rate of false calls, at which scores become calls; None: no calls.
        say: called with messages about rows that are left out or missing.

    Raises:
        InputError: the file is invalid; nothing is written.
    """
    path, out = path_of(predictions), path_of(out)
    table = datasets.read(dataset)
    coordinate_units.check(unit)
    needed = NEEDED if _has_places(table) else NEEDED_CLEAN
    calls.check_rate(false_calls)
    rows = _to_px(
        _with_dataset_names(path, read(path, needed, unit, say), table, dataset), table, unit
    )
    if clean is not None:
        clean = path_of(clean)
        rows += _with_dataset_names(clean, read(clean, NEEDED_CLEAN, "px", say), table, dataset)
    _check_unique(rows)
    source = comparison.choose_split(dataset, split or _split_of(table, rows))
    images = _Images(source)
    of_split = [row for row in rows if row.file_name in images]
    if len(of_split) < len(rows):
        say(f"{len(rows) - len(of_split)} rows are not of split {source.split}: left out")
    kept = [row for row in of_split if row.method != registry.BASELINE]
    if len(kept) < len(of_split):
        say(f"{registry.BASELINE}: computed again, its rows in the file are left out")
    trials = any(row.trial for row in rows)
    answered_names = {row.file_name for row in of_split}
    row_numbers = sorted(images.anomalous[name] for name in answered_names & set(images.anomalous))
    unplaced = images.unplaced.keys() if not trials else set()  # trials are answers to places
    if not row_numbers and not answered_names & unplaced:
        raise InputError(f"{path} answers no image of split {source.split}: choose --split")
    scored = source.select(row_numbers) if trials else source
    if trials:
        say(f"trials of {len(scored)} of the {len(source)} images of split {source.split}")

    baseline = registry.load(registry.BASELINE)
    answers = [scoring.predict(baseline, registry.BASELINE, scored)]
    scores = [scoring.score(answers[0], scored, baseline.parameters)]
    anomalous_names = images.anomalous.keys() | unplaced
    entries: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row.method for row in kept if row.file_name in anomalous_names):
        own = [row for row in kept if row.method == method]
        answered, its_source = _answers(method, own, source, images, trials)
        if len(answered.errors):
            say(f"{method}: {_error_counts(answered.errors)}")
        if not answered.places:
            entries[method] = {"gives": ["score"]}
        answers.append(answered)
        scores.append(scoring.score(answered, its_source, None))
    reads = paths.inputs(predictions, dataset, clean)
    with folders.stage(Path(out), MARKER, reads=reads, overwrite=overwrite) as building:
        result = call_scores.add(collect_results(answers, scores, building), false_calls)
        call_scores.require(result)
        command_words = provenance.command(
            "score", predictions, dataset, clean=clean, split=split, unit=unit,
            false_calls=false_calls, out=out,
        )  # fmt: skip
        options: dict[str, object] = {"predictions": path.name}
        if false_calls is not None:
            options["false_calls"] = false_calls
        about = {"command": command_words} | ({"methods": entries} if entries else {})
        comparison.write(result, scored, options, about)
    return replace(result, folder=Path(out))


def _has_places(table: pd.DataFrame) -> bool:
    return bool(((table["label"] == 1) & ~datasets.unplaced(table)).any())


class _Images:
    """The images of a split by file name.

    ``anomalous`` maps those with a place to their row number, ``unplaced`` the others to theirs,
    and ``clean`` maps to the photo. ``kinds`` has the clean
    images that are rows with label 0, and those that are clean twins.
    """

    def __init__(self, source: Folder) -> None:
        self.anomalous = {name: i for i, name in enumerate(source.table["file_name"])}
        self.unplaced = {each.name: i for i, each in enumerate(source.unplaced)}
        twins = source.negatives(told=True)
        blank = [each for each in source.negatives() if each.partner is None]
        self.kinds = [{each.name: each.photo for each in kind} for kind in (blank, twins)]
        self.clean = self.kinds[0] | self.kinds[1]

    def __contains__(self, name: str) -> bool:
        return name in self.anomalous or name in self.unplaced or name in self.clean


def read(
    path: Path, needed: Sequence[str] = NEEDED, unit: str | None = None, say: Say = print
) -> list[Row]:
    """Reads a CSV of predictions, with places in the file's own unit.

    Raises:
        InputError: the file is no such CSV; the message names the first invalid line.
    """
    table = tables.read(path, needed, (*NEEDED, *OPTIONAL, "method", "trial"))
    if not table.rows:
        raise InputError(f"{path} has a header and no rows: nothing to score")
    advice = "correct it, or leave it empty if there is no answer"
    numbers = coordinate_units.numbers(table, PLACE_NUMBERS, unit, advice) | table.numbers(
        OTHER_NUMBERS, advice
    )
    if note := table.note(numbers):
        say(note)
    names, methods, trials = map(table.column, ("file_name", "method", "trial"))
    rows = []
    for i, line in enumerate(table.lines):
        if not names[i]:
            raise InputError(f"{table.place(i)}: file_name is empty")
        cells = {name: column[i] for name, column in numbers.items()}
        x, y = cells.get("x_pred", math.nan), cells.get("y_pred", math.nan)
        if math.isnan(x) != math.isnan(y):
            empty = "x_pred" if math.isnan(x) else "y_pred"
            raise InputError(f"{table.place(i)}: {empty} is empty: give both or neither")
        rows.append(Row(line, plain(methods[i] or path.stem), names[i], trials[i], **cells))
    if unit is None:
        places = [numbers.get(name, []) for name in PLACE_NUMBERS]
        coordinate_units.refuse_fractions(path, places[0], places[1], places[2])
    return rows


def _to_px(rows: list[Row], table: pd.DataFrame, unit: str | None) -> list[Row]:
    """Converts rows in another unit to px of their image."""
    if unit in (None, "px"):
        return rows
    sizes = zip(table["width"].astype(int), table["height"].astype(int), strict=True)
    size_of = dict(zip(table["file_name"], sizes, strict=True))
    converted = []
    for row in rows:
        width, height = size_of.get(row.file_name, (0, 0))  # clean images have no place
        converted.append(
            replace(
                row,
                x_pred=coordinate_units.to_px(row.x_pred, width, unit) - 0.5,
                y_pred=coordinate_units.to_px(row.y_pred, height, unit) - 0.5,
                r_pred=coordinate_units.to_px(row.r_pred, width, unit),
            )
        )
    return converted


def _with_dataset_names(
    path: Path, rows: list[Row], table: pd.DataFrame, dataset: str | Path
) -> list[Row]:
    """The rows with the dataset's spelling of the file names; unknown names are refused."""
    place = place_of(dataset)
    folder = place if isinstance(place, Path) else str(place)
    known = FileNames({*table["file_name"], *table["clean_file_name"]} - {""}, folder)
    spelling = {name: known.find(name) for name in {row.file_name for row in rows}}
    unknown = [row for row in rows if spelling[row.file_name] is None]
    if unknown:
        others = f" (nor are {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise InputError(
            f"{path}, line {unknown[0].line}: {unknown[0].file_name} is no image of {dataset}"
            f"{others}; its file names are like {table['file_name'].iloc[0]}"
        )
    return [replace(row, file_name=spelling[row.file_name] or "") for row in rows]


def _check_unique(rows: list[Row]) -> None:
    """Refuses two answers of one method to the same image, unless they are trials."""
    first: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        other = first.setdefault((row.method, row.file_name, row.trial), row)
        if other is not row:
            raise InputError(
                f"{row.method} answers {row.file_name} twice, in lines {other.line} and "
                f"{row.line}: keep one, or number them in a column trial"
            )


def _split_of(table: pd.DataFrame, rows: list[Row]) -> str:
    """The split of all rows, or ``all`` if they are of several."""
    names = {row.file_name for row in rows}
    in_rows = table["file_name"].isin(names) | table["clean_file_name"].isin(names)
    splits = set(table["split"][in_rows])
    return str(splits.pop()) if len(splits) == 1 else "all"


def _answers(
    method: str, rows: list[Row], source: Folder, images: _Images, trials: bool
) -> tuple[Answers, Folder]:
    """One method's rows of a split -> its answers, and the images that they belong to."""
    anomalous = [row for row in rows if row.file_name in images.anomalous]
    unplaced = [row for row in rows if row.file_name in images.unplaced] if not trials else []
    scored_only = all(math.isnan(row.x_pred) for row in rows) and any(
        not math.isnan(row.score) for row in anomalous + unplaced
    )
    errors = [
        (method, row.file_name, "the file gives no place")
        for row in anomalous
        if math.isnan(row.x_pred) and not scored_only
    ]
    errors += [
        (method, row.file_name, reason)
        for row in anomalous
        if not math.isnan(row.x_pred) and (reason := validate(row.finding)[1])
    ]
    if not trials:
        row_of_name = {row.file_name: row for row in anomalous + unplaced}
        # Told methods answer no unplaced image.
        names = [*images.anomalous, *(images.unplaced if unplaced else ())]
        errors += [(method, name, "not in the file") for name in names if name not in row_of_name]
        answered_source = source if unplaced else source.select_unplaced([])
        given_rows = [row_of_name.get(name) for name in names]
    else:
        given_rows = list(anomalous)
        answered_source = source.select([images.anomalous[row.file_name] for row in anomalous])
    predictions = scoring.prediction_table(
        method,
        answered_source,
        [validate(row.finding)[0] if row else NO_ANSWER for row in given_rows],
        [row.seconds if row else math.nan for row in given_rows],
    )
    own_ratios = np.array([row.discolor_ratio if row else math.nan for row in given_rows])
    predictions["discolor_ratio"] = np.where(
        np.isnan(own_ratios), predictions["discolor_ratio"], own_ratios
    )
    clean = [row for row in rows if row.file_name in images.clean and not math.isnan(row.score)]
    clean_rows = [(method, row.file_name, images.clean[row.file_name], row.score) for row in clean]
    scored = {row.file_name for row in clean}
    if not trials:  # a missing clean image counts as the worst answer, as in evaluate
        for kind in images.kinds:
            if scored & kind.keys():
                missing = [name for name in kind if name not in scored]
                clean_rows += [(method, name, kind[name], math.nan) for name in missing]
                errors += [(method, name, "a clean image not in the file") for name in missing]
    return (
        Answers(
            predictions,
            pd.DataFrame(clean_rows, columns=list(CLEAN)).astype({"score": float}),
            pd.DataFrame(errors, columns=list(ERRORS)),
            places=not scored_only,
        ),
        answered_source,
    )


def _error_counts(errors: pd.DataFrame) -> str:
    counts = errors["reason"].value_counts(sort=False)
    return ", ".join(f"{reason}: {count}" for reason, count in counts.items())
