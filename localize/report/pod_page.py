"""The report page of a POD analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localize.evaluation import tables
from localize.report import pod_parts
from localize.report.contents import Contents, json_details, reproduction_section
from localize.report.figures import figure
from localize.report.markup import Html, definition_list, el, section
from localize.report.numbers import number
from synth import json_shapes
from synth.errors import InputError

ABOUT = "pod.json"
SMALL_HITS = (
    "a50 and a90 are the sizes that are found with probability 0.5 and 0.9. a90/95 is the upper "
    "bound of a90 by a likelihood ratio of 3.841, the practice of MIL-HDBK-1823A; it is the upper "
    "end of a 95 % interval, so that a90 lies above it in about 2.5 % of all experiments. The "
    "one-sided bound of 95 % (2.706) is below it. The statements hold for targets and conditions "
    "like those inspected."
)
SMALL_SIGNAL = (
    "a50 and a90 are the sizes that are found with probability 0.5 and 0.9: their signal reaches "
    "the decision value. a90/95 is the one-sided upper bound of a90 of 95 % by the delta method, "
    "the practice of MIL-HDBK-1823A. The statements hold for targets and conditions like those "
    "inspected, and if the signals scatter evenly about the line."
)


def contents(folder: Path) -> Contents:
    """A folder that pod wrote -> the contents of its page.

    Raises:
        InputError: a file in the folder is damaged.
    """
    record = tables.read_record(folder / ABOUT)
    if wrong := json_shapes.fault(record, pod_parts.SHAPE):
        raise InputError(f"{folder / ABOUT} is damaged ({wrong}): make it again")
    models = tables.read(
        folder / "pod.csv",
        [*pod_parts.TEXTS, *pod_parts.NUMBERS],
        pod_parts.TEXTS,
        pod_parts.ALL_NUMBERS,
    )
    parts = tables.read(
        folder / "parts.csv",
        ["part", *pod_parts.PART_NUMBERS, "verdict"],
        ["part", "verdict"],
        pod_parts.ALL_PART_NUMBERS,
    )
    if not (models["chosen"] == 1).any():
        raise InputError(f"{folder / 'pod.csv'} is damaged (no model is chosen): make it again")
    request = {name: value for name, value in record.items() if name != "versions"}
    side = record.get("side", "")
    caption = (
        "POD by size. Band: bounds of the whole curve; its lower edge is dashed. Marks above and "
        "below: hits and misses. Points: observed rates with 95 % intervals."
    )
    return Contents(
        "Probability of detection",
        _subject(record),
        pod_parts.summarize(record, models),
        SMALL_SIGNAL if record["kind"] == "signal" else SMALL_HITS,
        [
            _warning_section(record),
            section("Curve", figure(folder, "pod", caption, wide=True), name="curve"),
            section("Models", pod_parts.model_table(models, side),
                    pod_parts.bound_facts(record, models, side), name="models"),
            section("Pooling", *pod_parts.pooling_parts(record, parts, side), name="pooling"),
            section("Data", definition_list(_facts(record)), name="data"),
            reproduction_section(
                record, record.get("versions") or {}, json_details("Record (JSON)", request)
            ),
        ],
    )  # fmt: skip


def _subject(record: dict[str, Any]) -> str:
    counts = f"{record['targets']} targets · {record['trials']} trials"
    return " · ".join(filter(None, (record.get("table", ""), counts)))


def _warning_section(record: dict[str, Any]) -> Html:
    lines = [*record["warnings"], *record["notes"]]
    if not lines:
        return Html("")
    return section(
        "Warnings and notes", el("ul", *(el("li", line) for line in lines)), name="warnings"
    )


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    options = record.get("options") or {}
    given = {name: ", ".join(v) if isinstance(v, list) else str(v) for name, v in options.items()}
    groups = f"{record['groups']} ({record['group']})" if record["group"] else "none"
    return [
        ("table", record.get("table", "")),
        ("size", record["size"]),
        ("targets", number(record["targets"], 0)),
        ("trials on targets", number(record["trials"], 0)),
        ("trials without a target", number(record["blanks"], 0)),
        ("groups", groups),
        *((name, text) for name, text in given.items() if name != "size"),
    ]
