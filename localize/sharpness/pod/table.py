"""Reads the table of an inspection: any CSV file with sizes, and hits or a signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.trials import Trials
from localize.sharpness.pod.units import Unit
from localize.sharpness.thresholds import STEP_DECIMALS
from synth import number_kinds, tables
from synth.errors import InputError
from synth.tables import Table

RATIO, HIT, PHOTO, METHOD, SIDE = "discolor_ratio", "hit", "photo", "method", "side"
BRIGHTNESS = "brightness"
KNOWN = (RATIO, HIT, PHOTO, METHOD, SIDE, BRIGHTNESS)  # columns of our own trials.csv
SIZE = replace(number_kinds.ABOVE_ZERO, empty=False)
POSITIVE = replace(number_kinds.POSITIVE, empty=False)
ANSWERS = {"1": 1, "true": 1, "yes": 1, "hit": 1, "0": 0, "false": 0, "no": 0, "miss": 0}


@dataclass(frozen=True, eq=False)
class Inspection:
    """A table as it was read.

    Args:
        trials: hits and misses; with a signal, whether it reaches the decision value.
        signal: (N,) signals of the same trials, or None.
        group: name of the column with the groups; without such a column, "target" for a signal and
            for repeated inspections of the same targets, else "".
        notes: what was left out or recognised, for the user.
        group_names: the name of each group, by its number; empty if groups are targets.
    """

    trials: Trials
    signal: np.ndarray | None
    unit: Unit
    group: str
    notes: tuple[str, ...]
    group_names: tuple[str, ...] = ()


def read(path: Path, options: PodOptions) -> Inspection:
    """Reads a table and picks the columns of the options.

    Raises:
        InputError: the file cannot be read, or a column is missing or has wrong cells.
    """
    named = [options.size, *options.hits, options.signal, options.by, options.group]
    named += [column for column, _ in options.only]
    table = tables.read(path, known=[*filter(None, named), *KNOWN])
    if not len(table):
        raise InputError(f"{path} has no rows: give a row for each target")
    for name in filter(None, named):
        _require(table, name)
    own = options.size == RATIO or (not options.size and RATIO in table.columns)
    if not own and not options.size:
        raise InputError(f"--size is missing: name the column with the sizes of {_columns(table)}")
    hits = options.hits or ((HIT,) if own and HIT in table.columns else ())
    if not hits and not options.signal:
        raise InputError(
            "--hit is missing: name the column with 1 for a hit and 0 for a miss (or a --signal) "
            f"of {_columns(table)}"
        )
    table = _select(table, options.only, own)
    if own and METHOD in table.columns:
        _require_one_method(table)
    sizes = _sizes(table, options.size, own)
    signal, answers = None, [_answers(table, name) for name in hits]
    if options.signal:
        signal = np.array(table.numbers({options.signal: number_kinds.FINITE})[options.signal])
        assert options.decision is not None
        answers = [np.where(np.isnan(signal), np.nan, signal >= options.decision)]
    group = options.group or (PHOTO if PHOTO in table.columns else "")
    trials, kept = _trials(table, sizes, answers, group, options.by)
    notes = [note] if (note := table.note(kept_columns(options, hits))) else []
    if left_out := int((~kept).sum()):
        notes.append(f"{left_out} empty cells of {', '.join(hits or [options.signal])} left out")
    unit = _unit(table, own, options.size)
    names = tuple(np.unique(np.array(table.column(group), dtype=str)).tolist()) if group else ()
    if not group and (options.signal or len(answers) > 1):
        group = "target"
    return Inspection(
        trials, None if signal is None else signal[kept], unit, group, tuple(notes), names
    )  # fmt: skip


def kept_columns(options: PodOptions, hits: tuple[str, ...]) -> list[str]:
    """The columns with numbers."""
    return [name for name in (options.size or RATIO, options.signal, *hits) if name]


def _columns(table: Table) -> str:
    return ", ".join(name for name in table.columns if name)


def _require(table: Table, name: str) -> None:
    if name not in table.columns:
        raise InputError(f"{table.path} lacks the column {name}: it has {_columns(table)}")


def _select(table: Table, only: tuple[tuple[str, str], ...], own: bool) -> Table:
    """The rows with the given values; of our own trials, those without a change have any side."""
    kept = list(range(len(table)))
    for column, value in only:
        cells = table.column(column)
        if value not in cells:
            values = list(dict.fromkeys(cells))
            shown = ", ".join(values[:10]) + (", …" if len(values) > 10 else "")
            raise InputError(f"--only {column}={value}: {column} is {shown}")
        values_kept = {value, "none"} if own and column == SIDE else {value}
        kept = [row for row in kept if cells[row] in values_kept]
    if not kept:
        raise InputError("no row has all the values of --only: leave one out")
    return replace(
        table, rows=[table.rows[i] for i in kept], lines=[table.lines[i] for i in kept]
    )  # fmt: skip


def _require_one_method(table: Table) -> None:
    methods = list(dict.fromkeys(table.column(METHOD)))
    if len(methods) > 1:
        raise InputError(
            f"{table.path} holds the trials of {', '.join(methods)}: choose one with "
            f"--only {METHOD}={methods[-1]}"
        )


def _sizes(table: Table, column: str, own: bool) -> np.ndarray:
    if own:
        ratios = np.array(table.numbers({RATIO: POSITIVE})[RATIO])
        steps: np.ndarray = np.abs(np.log(ratios)).round(STEP_DECIMALS)
        return steps
    return np.array(table.numbers({column: SIZE}, "give a size from 0 (0: no target)")[column])


def _answers(table: Table, column: str) -> np.ndarray:
    """(R,) 1 for a hit, 0 for a miss, NaN for an empty cell."""
    answers = np.full(len(table), np.nan)
    for row, cell in enumerate(table.column(column)):
        if not cell:
            continue
        word = cell.casefold()
        answer = ANSWERS.get(word.removesuffix(".0"))
        if answer is None:
            raise InputError(
                f"{table.place(row)}: {column} is '{number_kinds.shorten(cell)}': write 1 for a "
                "hit and 0 for a miss"
            )
        answers[row] = answer
    return answers


def _trials(
    table: Table, sizes: np.ndarray, answers: list[np.ndarray], group: str, by: str
) -> tuple[Trials, np.ndarray]:
    """The trials of all inspections, and which of all cells they are."""
    rows = np.tile(np.arange(len(table)), len(answers))
    hits = np.concatenate(answers)
    kept = np.isfinite(hits)
    rows, hits = rows[kept], hits[kept].astype(int)
    if not len(rows):
        raise InputError(f"{table.path} has no answer in these columns: give hits and misses")
    groups = rows
    if group:
        groups = np.unique(np.array(table.column(group), dtype=str), return_inverse=True)[1][rows]
    part = np.array(table.column(by), dtype=object)[rows] if by else None
    return Trials(sizes[rows], hits, rows, groups, part), kept


def _unit(table: Table, own: bool, size: str) -> Unit:
    if not own:
        return Unit(size)
    ratios = np.array(table.numbers({RATIO: POSITIVE})[RATIO])
    brighter, darker = (ratios > 1).any(), (ratios < 1).any()
    side = "both" if brighter and darker else "darker" if darker else "brighter"
    grey = np.array(table.numbers({BRIGHTNESS: number_kinds.FINITE}).get(BRIGHTNESS, [np.nan]))
    known = grey[np.isfinite(grey)]
    return Unit("|log ratio|", side, float(known.mean()) if len(known) else float("nan"))
