"""A folder that ``localize pod`` wrote: sizes of its chosen model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localize.evaluation import tables
from localize.gate import quantities
from localize.gate.estimate import Estimate
from localize.gate.quantities import A50, A90, A90_95
from localize.gate.requirement import Requirement
from localize.sharpness.pod.options import PodOptions
from synth import json_shapes, number_kinds
from synth.errors import InputError
from synth.json_shapes import Object

COLUMNS = {A50: "a50", A90: "a90", A90_95: "a90_95_larger"}  # of pod.csv
NO_LIMIT = "a90/95 has no upper limit"
FAR_LIMIT = "a90/95 lies beyond three times the largest target"
METHOD = "method="
_SHAPE = Object(
    {
        "side": str,
        "targets": float,
        "trials": float,
        "table": str,
        "warnings": [str],
        "group": str,
        "options": Object(
            {
                "only": [str],
                "signal": str,
                "signal-scale": str,
                **dict.fromkeys(("decision", "censored-below", "censored-above"), float),
            }
        ),
    },
    needed=("side", "targets", "trials", "warnings"),
)
_TEXTS = ("model", "link", "scale", "verdict")
_NUMBERS = {
    **dict.fromkeys(COLUMNS.values(), number_kinds.INFINITE),
    **dict.fromkeys((f"{name}_ratio" for name in COLUMNS.values()), number_kinds.INFINITE),
    **dict.fromkeys(("chosen", "far"), number_kinds.SHARE),
}


def no_limit(chosen: Mapping[Any, Any]) -> str:
    """Why the bound of a chosen model is infinite."""
    return FAR_LIMIT if chosen.get("far") == 1 else NO_LIMIT


@dataclass(frozen=True)
class PodRun:
    """A POD analysis.

    Args:
        chosen: the row of the chosen model in ``pod.csv``.
    """

    folder: Path
    record: dict[str, Any]
    chosen: dict[Any, Any]
    kind: str = "pod"

    @classmethod
    def read(cls, folder: Path) -> PodRun:
        """A folder -> its run.

        Raises:
            InputError: a file is damaged.
        """
        path = folder / "pod.json"
        record = tables.read_record(path)
        if wrong := json_shapes.fault(record, _SHAPE):
            raise InputError(f"{path} is damaged ({wrong}): make it again")
        table = tables.read(
            folder / "pod.csv", [*COLUMNS.values(), "chosen", *_TEXTS], _TEXTS, _NUMBERS
        )
        chosen = table[table["chosen"] == 1]
        if len(chosen) != 1:
            raise InputError(f"{folder / 'pod.csv'} has no chosen model: make it again")
        return cls(folder, record, chosen.to_dict("records")[0])

    @property
    def methods(self) -> tuple[str, ...]:
        """The method of ``--only method=NAME``, else the name of the table."""
        names = [each.removeprefix(METHOD) for each in self._only if each.startswith(METHOD)]
        return (names[0] if names else str(self.record.get("table") or "pod"),)

    @property
    def parts(self) -> list[str]:
        """The parts of the table that were analysed, ``COLUMN=VALUE``, without the method."""
        return sorted(each for each in self._only if not each.startswith(METHOD))

    @property
    def _only(self) -> list[str]:
        only: list[str] = self.record.get("options", {}).get("only", [])
        return only

    @property
    def signal_options(self) -> PodOptions:
        """The options of an analysis of a signal.

        Raises:
            InputError: the record does not have them.
        """
        options = self.record.get("options", {})
        return PodOptions(
            signal=options.get("signal", ""), decision=options.get("decision"),
            signal_scale=options.get("signal-scale", "linear"),
            censored_below=options.get("censored-below", -math.inf),
            censored_above=options.get("censored-above", math.inf),
        )  # fmt: skip

    def estimate(self, requirement: Requirement, method: str) -> Estimate:
        """The size in the unit of the table; a ratio for trials of sharpness.

        Raises:
            InputError: the requirement does not fit the folder.
        """
        side = self.record["side"]
        quantities.check_words(requirement, *(["side"] if side else []))
        if side and requirement.side not in ("", side):
            raise InputError(
                f"'{requirement}': {self.folder} is for the side {side}: "
                f"run localize pod with --only side={requirement.side}"
            )
        quantities.check_direction(requirement, side == "darker")
        column = COLUMNS[requirement.quantity]
        size = float(self.chosen[column])
        value = float(self.chosen[f"{column}_ratio"]) if side else size
        reason = str(self.chosen["verdict"])
        if math.isinf(size):
            value, reason = math.nan, no_limit(self.chosen)
        basis = f"{self.record['targets']:.0f} targets, {self.record['trials']:.0f} trials"
        return Estimate(
            value, basis=basis, reason=reason, notes=tuple(self.record["warnings"])
        )  # fmt: skip
