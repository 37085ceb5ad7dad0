"""Checks a run against requirements and against a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from localize.gate import noninferiority, output, quantities, requirement, result, runs
from localize.gate.result import Result
from synth.errors import InputError


@dataclass(frozen=True)
class Verdict:
    """The results of all checks of a run.

    Args:
        notes: what was not compared, and why.
    """

    run: Path
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all requirements hold."""
        return all(each.passed for each in self.results)

    @property
    def lines(self) -> list[str]:
        """A line for each result and note, and the sum."""
        return output.lines(self.results, self.notes)


def decide(
    run: str | Path,
    expressions: Sequence[str] = (),
    *,
    method: str | None = None,
    no_worse_than: str | Path | None = None,
    margin: Decimal | None = None,
    baseline_method: str | None = None,
) -> Verdict:
    """Checks a run; see :func:`check` for the arguments.

    Raises:
        InputError: as :func:`check`.
    """
    requirements = [requirement.parse(text) for text in expressions]
    if not requirements and no_worse_than is None:
        raise InputError("nothing to check: give --require or --no-worse-than")
    for flag, given, needs, other in (
        ("--by", margin, no_worse_than, "--no-worse-than"),
        ("--no-worse-than", no_worse_than, margin, "--by, the margin, as in --by 5%"),
        ("--baseline-method", baseline_method, no_worse_than, "--no-worse-than"),
    ):
        if given is not None and needs is None:
            raise InputError(f"{flag} needs {other}")
    opened = runs.open_run(run)
    for each in requirements:
        quantities.check_name(each, opened.kind, opened.folder)
    name = runs.choose_method(opened, method)
    results = [
        result.of_requirement(each, name, opened.estimate(each, name)) for each in requirements
    ]
    notes: list[str] = []
    if no_worse_than is not None:
        assert margin is not None
        baseline = runs.open_run(no_worse_than)
        base = baseline_method or (name if name in baseline.methods else None)
        base = runs.choose_method(baseline, base, "--baseline-method")
        compared, notes = noninferiority.compare(opened, name, baseline, base, margin)
        results += compared
    return Verdict(opened.folder, tuple(results), tuple(notes))


def check(
    run: str | Path,
    requirements: Sequence[str] = (),
    *,
    method: str | None = None,
    no_worse_than: str | Path | None = None,
    by: float | str | None = None,
    baseline_method: str | None = None,
) -> list[Result]:
    """Checks the results of a run against requirements; for a test suite.

    Args:
        run: a folder that sharpness, evaluate, compare, score or pod wrote.
        requirements: expressions such as ``a90/95 brighter <= 1.10`` or ``hit@5 low >= 0.8``.
        method: its name in the run; None if the run has one beside the centre guess.
        no_worse_than: another run on the same trials or images, the baseline.
        by: the margin by which the run may be worse than the baseline, such as 0.05 or "5%".
        baseline_method: the method of the baseline [the same name].

    Raises:
        AssertionError: a requirement does not hold; the message has a line for each.
        InputError: a requirement or a folder cannot be used.
    """
    verdict = decide(
        run, requirements, method=method, no_worse_than=no_worse_than,
        margin=None if by is None else noninferiority.parse_margin(str(by)),
        baseline_method=baseline_method,
    )  # fmt: skip
    if not verdict.passed:
        raise AssertionError("\n".join(verdict.lines))
    return list(verdict.results)
