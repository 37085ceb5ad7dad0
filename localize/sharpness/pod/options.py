"""What `localize pod` is asked for: columns of the table, and the models that may be chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synth.errors import InputError

LINK_NAMES = ("auto", "logit", "probit", "cloglog", "loglog")
SCALE_NAMES = ("auto", "linear", "log")
SIGNAL_SCALES = ("linear", "log")
MODEL_NAMES = ("auto", "handbook", "guess-and-lapse")


@dataclass(frozen=True)
class PodOptions:
    """Columns of a table and choices of the analysis.

    Args:
        size: column with the sizes; "" means |log discolor_ratio| of a table of trials.
        hits: columns with 1 for a hit and 0 for a miss, one for each inspection of the targets.
        signal: column with a continuous signal, instead of hits.
        decision: a signal from this value up is a hit.
        censored_below, censored_above: signals at or beyond these limits are censored.
        signal_scale: linear, or log to regress the logarithm of the signal.
        by: column with the populations that may differ.
        group: column with the groups whose trials are not independent; "" means ``photo``.
        link: one of LINK_NAMES.
        scale: one of SCALE_NAMES: POD depends on the size or on its logarithm.
        model: one of MODEL_NAMES; auto chooses by likelihood ratio.
        only: (column, value) pairs; other rows of the table are left out.
    """

    size: str = ""
    hits: tuple[str, ...] = ()
    signal: str = ""
    decision: float | None = None
    censored_below: float = -math.inf
    censored_above: float = math.inf
    signal_scale: str = "linear"
    by: str = ""
    group: str = ""
    link: str = "auto"
    scale: str = "auto"
    model: str = "auto"
    only: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for flag, value, allowed in (
            ("--link", self.link, LINK_NAMES),
            ("--scale", self.scale, SCALE_NAMES),
            ("--model", self.model, MODEL_NAMES),
            ("--signal-scale", self.signal_scale, SIGNAL_SCALES),
        ):
            if value not in allowed:
                raise InputError(f"{flag} is '{value}': use {', '.join(allowed)}")
        if self.signal and self.hits:
            raise InputError(
                "--hit and --signal are both given: a table is analysed by one of them"
            )
        if self.signal and self.decision is None:
            raise InputError("--signal needs --decision: the value from which a signal is a hit")
        if self.signal and self.model != "auto":
            raise InputError(f"--model is {self.model}: it is for hits, leave it out with --signal")
        if self.signal and self.link not in ("auto", "probit"):
            raise InputError(
                f"--link is {self.link}: the POD of a signal is a probit curve, leave --link out"
            )
        if not self.signal:
            self._refuse_signal_options()
            return
        assert self.decision is not None
        if not self.censored_below < self.decision < self.censored_above:
            raise InputError(
                f"--decision is {self.decision:g}: give a number between the limits of censoring"
            )
        if not math.isfinite(self.decision):
            raise InputError(f"--decision is {self.decision}: give a finite number")
        positive = self.decision > 0 and (
            self.censored_below > 0 or math.isinf(self.censored_below)
        )
        if self.signal_scale == "log" and not positive:
            raise InputError("--signal-scale log needs a decision value and limits above 0")

    def _refuse_signal_options(self) -> None:
        for flag, given in (
            ("--decision", self.decision is not None),
            ("--censored-below", self.censored_below != -math.inf),
            ("--censored-above", self.censored_above != math.inf),
            ("--signal-scale", self.signal_scale != "linear"),
        ):
            if given:
                raise InputError(f"{flag} is for --signal: name the column of the signal")
