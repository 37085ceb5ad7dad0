"""What makes an estimate of a90 impossible (refused) or doubtful (a warning), and what to add.

Source: MIL-HDBK-1823A (2009), section 4.5.2: at least 60 targets for hits and misses, 40 for a
signal, with sizes spread over the range in which POD rises.
"""

from __future__ import annotations

import math

import numpy as np

from localize.evaluation.verdicts import NEVER
from localize.sharpness.pod.limits import BEYOND, FAR
from localize.sharpness.pod.models import FALLS, GUESS_AND_LAPSE, Model, may_reach
from localize.sharpness.pod.pooling import MIN_SIGNALS, TOO_FEW, Pooling
from localize.sharpness.pod.signal import SignalModel
from localize.sharpness.pod.trials import Trials, count
from localize.sharpness.pod.units import Unit
from synth.errors import InputError

MIN_TARGETS = {"hits": 60, "signal": 40}
MIN_OVERLAP = 10  # targets between the smallest hit and the largest miss
MIN_SIZES = 3
MAX_SPREAD = 1.5  # factor between the a50 or a90 of parts that is not pooled without a warning
MIN_GROUPS = 20  # with fewer, a bootstrap over groups is too narrow


def refuse_unusable(targets: Trials, unit: Unit) -> None:
    """Checks that hits and misses determine a curve.

    Raises:
        InputError: they do not; the message says which targets to add.
    """
    sizes = np.unique(targets.size)
    if len(sizes) < MIN_SIZES:
        raise InputError(
            f"the targets have {len(sizes)} different sizes: add targets of other sizes, at least "
            f"{MIN_SIZES} sizes from hardly ever to nearly always found"
        )
    hits, misses = targets.size[targets.hit == 1], targets.size[targets.hit == 0]
    if not len(misses):
        raise InputError(
            f"all {len(hits)} trials are hits: a90 lies below all sizes, so add targets smaller "
            f"than {unit.text(sizes[0])}"
        )
    if not len(hits):
        raise InputError(
            f"all {len(misses)} trials are misses: a90 lies above all sizes, so add targets larger "
            f"than {unit.text(sizes[-1])}"
        )
    if misses.max() <= hits.min():
        raise InputError(
            f"hits and misses are separated: all targets up to {unit.text(misses.max())} were "
            f"missed and all from {unit.text(hits.min())} found, so the slope has no estimate; add "
            "targets of sizes around these, or repeat the inspection of them"
        )
    if hits.max() <= misses.min():
        raise InputError(_FALLS.format(unit.text(hits.max()), unit.text(misses.min())))


_FALLS = (
    "POD falls with size: hits reach up to {}, misses begin at {}; check that 1 means a hit and "
    "that the size is right, or leave out the sizes beyond which POD falls"
)


def refuse_falling(model: Model | SignalModel, targets: Trials, unit: Unit) -> None:
    """Checks that POD rises with size.

    Raises:
        InputError: it falls.
    """
    if model.verdict == FALLS:
        middle = unit.text(float(np.median(targets.size)))
        raise InputError(
            f"POD falls with size ({model.name}, around {middle}): check that 1 means a hit, or "
            "that a larger signal means a larger target, and that the size is right"
        )


def warnings(
    targets: Trials, model: Model | SignalModel, unit: Unit, group: str, pooling: Pooling | None
) -> list[str]:
    """Sentences about what makes the estimate doubtful, each with what to add."""
    kind = "signal" if isinstance(model, SignalModel) else "hits"
    found: list[str] = []
    least = MIN_TARGETS[kind]
    if targets.targets < least:
        found.append(
            f"{targets.targets} targets are few: the handbook asks for at least {least}, so add "
            f"{least - targets.targets}, of sizes near {unit.text(_middle(targets))}"
        )
    if isinstance(model, Model):
        found += _hit_warnings(targets, model, unit)
    largest = float(targets.size.max())
    beyond = f"{unit.text(FAR * largest)}, with targets up to {unit.text(largest)} only"
    if model.verdict == BEYOND:
        found.append(f"{BEYOND} (above {beyond}): add larger targets")
    if math.isinf(model.a90_95) and model.far:
        found.append(
            f"a90/95 lies beyond three times the largest target ({beyond}), so no number is given: "
            f"add targets, most of them around and above {unit.text(model.a90)}"
        )
    if math.isfinite(model.a90) and model.a90 > largest:
        found.append(
            f"a90 is extrapolated beyond the largest target ({unit.text(largest)}): add targets "
            f"from there to {unit.text(1.2 * model.a90)}"
        )
    elif math.isfinite(model.a90_95) and model.a90_95 > largest:
        found.append(
            f"a90/95 lies beyond the largest target ({unit.text(largest)}): add targets from there "
            f"to {unit.text(model.a90_95)}"
        )
    if group and targets.groups < MIN_GROUPS:
        found.append(
            f"the bootstrap has only {targets.groups} groups ({group}), so that its bound is too "
            f"small: add targets in other groups, at least {MIN_GROUPS} in all"
        )
    return found + (_pooling_warnings(pooling, least) if pooling else [])


def _pooling_warnings(pooling: Pooling, least: int) -> list[str]:
    """Whether the parts differ, significantly or by their separate curves."""
    alone = f"analyse each alone with --only {pooling.column}=VALUE"
    untested = [str(row["part"]) for row in pooling.rows if row["verdict"] == TOO_FEW]
    found = []
    if untested:
        found.append(
            f"the test of pooling leaves out {', '.join(untested)}, with fewer than {MIN_SIGNALS} "
            "signals that are not censored, or with equal sizes: add targets to them"
        )
    if pooling.differs:
        found.append(
            f"the parts by {pooling.column} differ significantly (p = {pooling.p:.2g}) and should "
            f"not be pooled: {alone}, and add targets to those with fewer than {least}"
        )
        return found
    smallest = min(row["targets"] for row in pooling.rows)
    if pooling.spread > MAX_SPREAD and smallest < least:
        found.append(
            f"the separate curves of the parts by {pooling.column} differ by a factor of "
            f"{pooling.spread:.1f} in a50 or a90, although not significantly (p = {pooling.p:.2g}):"
            f" with {smallest} targets in the smallest part the test has little power, so add "
            f"targets to each part, up to {least}, or {alone}"
        )
    return found


def _middle(targets: Trials) -> float:
    """The middle of the sizes between the smallest hit and the largest miss."""
    hits, misses = targets.size[targets.hit == 1], targets.size[targets.hit == 0]
    if not len(hits) or not len(misses):
        return float(np.median(targets.size))
    return float((hits.min() + misses.max()) / 2)


def _hit_warnings(targets: Trials, model: Model, unit: Unit) -> list[str]:
    """The warnings about hits and misses."""
    found = []
    hits, misses = targets.size[targets.hit == 1], targets.size[targets.hit == 0]
    low, high, largest = float(hits.min()), float(misses.max()), float(targets.size.max())
    between = targets.select((targets.size >= low) & (targets.size <= high)).targets
    if between < MIN_OVERLAP:
        found.append(
            f"hits and misses overlap in {between} targets only, from {unit.text(low)} to "
            f"{unit.text(high)}: add targets of these sizes, at least {MIN_OVERLAP - between}"
        )
    if model.verdict == NEVER:
        advice = "larger targets of this kind do not help, so find out why large ones are missed"
        if may_reach(count(targets), model, 0.9):
            advice = f"a limit above 0.9 is not excluded: add targets beyond {unit.text(largest)}"
        found.append(f"{NEVER}: its limit for large targets is {1 - model.lapse:.3f}; {advice}")
    elif math.isinf(model.a90_95) and not model.far:
        reason = (
            "a limit of POD below 0.9 is not excluded"
            if model.model == GUESS_AND_LAPSE
            else "a slope of 0 is not excluded"
        )
        found.append(
            f"a90/95 has no upper limit, because {reason}: add targets, most of them around and "
            f"above {unit.text(model.a90)}"
        )
    return found
