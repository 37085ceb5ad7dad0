"""Whether a run is no worse than another one: non-inferiority with a margin.

A run is no worse if the 95 % interval of its difference from the baseline excludes that it is worse
by more than the margin. That the difference is not significant does not suffice: with few trials
hardly any difference is significant.

Source: Piaggio et al., JAMA 308 (2012), the CONSORT statement on non-inferiority trials.
"""

from __future__ import annotations

from decimal import Decimal

from localize.gate import paired_images, paired_targets, paired_trials
from localize.gate.estimate import Estimate
from localize.gate.pod_run import PodRun
from localize.gate.quantities import A90, COMMANDS, THRESHOLD
from localize.gate.requirement import HIGH, LOW
from localize.gate.result import Result
from localize.gate.runs import Run
from localize.gate.score_run import ScoreRun
from localize.gate.sharpness_run import SharpnessRun
from synth.errors import InputError
from synth.number_kinds import NUMBER
from synth.paths import name_of

QUOTIENTS = (THRESHOLD, A90, paired_images.DISTANCE)  # of which smaller is better; the others are
# differences of shares, of which larger is better


def compare(
    run: Run, method: str, baseline: Run, baseline_method: str, margin: Decimal
) -> tuple[list[Result], list[str]]:
    """The checks that a run is no worse than the baseline by more than the margin, and notes.

    Args:
        margin: 0.05 allows 1.05 times the step or the distance, and a share that is less by 0.05.

    Raises:
        InputError: the two cannot be compared.
    """
    if isinstance(run, SharpnessRun) and isinstance(baseline, SharpnessRun):
        of_sides, notes = paired_trials.compare(run, method, baseline, baseline_method)
        estimates = {" ".join(key): each for key, each in of_sides.items()}
    elif isinstance(run, ScoreRun) and isinstance(baseline, ScoreRun):
        estimates, notes = paired_images.compare(run, method, baseline, baseline_method)
    elif isinstance(run, PodRun) and isinstance(baseline, PodRun):
        estimates, notes = paired_targets.compare(run, baseline)
    else:
        raise InputError(
            f"{run.folder} was written by {COMMANDS[run.kind]} and {baseline.folder} by "
            f"{COMMANDS[baseline.kind]}: give a baseline of the same command"
        )
    name = name_of(baseline.folder)
    if baseline_method != method or baseline.folder == run.folder:
        name = f"{baseline_method} of {name}"
    return [_result(what, each, method, name, margin) for what, each in estimates.items()], notes


def _result(what: str, estimate: Estimate, method: str, name: str, margin: Decimal) -> Result:
    check = f"{what} no worse than {name} by {(100 * margin).normalize():f}%"
    if what.split()[0] in QUOTIENTS:
        subject = f"{what} / that of {name}, {HIGH}"
        return Result(check, subject, HIGH, "<=", 1 + margin, method, estimate)
    subject = f"{what} - that of {name}, {LOW}"
    return Result(check, subject, LOW, ">=", -margin, method, estimate)


def parse_margin(text: str) -> Decimal:
    """``5%`` or ``0.05`` -> 0.05.

    >>> parse_margin("5%"), parse_margin("0.05")
    (Decimal('0.05'), Decimal('0.05'))

    Raises:
        InputError: it is no share below 1.
    """
    digits = text.strip().removesuffix("%").rstrip()
    value = Decimal(digits) if NUMBER.fullmatch(digits) else Decimal("NaN")
    value = value / 100 if text.strip().endswith("%") else value
    if value.is_nan() or not 0 <= value < 1:
        raise InputError(f"--by is '{text}': give a margin from 0 to below 100 %, as in 5%")
    return value
