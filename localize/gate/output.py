"""The results of a gate as lines, as JSON and as JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from localize.evaluation import provenance
from localize.gate.result import Result
from synth import output_file
from synth.json_files import Damaged, parse_object
from synth.text_escapes import escape_unprintable

NAME = "localize gate"  # of the test suites
KEYS = {"run", "requirements", "passed", "versions"}


def lines(results: Sequence[Result], notes: Sequence[str] = ()) -> list[str]:
    """A line for each result and note, and the sum."""
    subjects: dict[str, list[str]] = {}
    for each in results:
        for note in each.estimate.notes:
            subjects.setdefault(note, []).append(each.subject)
    passed = sum(each.passed for each in results)
    return [
        *(each.line for each in results),
        *(f"note  {note}" for note in notes),
        *(f"note  {'; '.join(names)}: {note}" for note, names in subjects.items()),
        f"{passed} of {len(results)} requirements hold",
    ]


def to_json(run: Path, results: Sequence[Result], notes: Sequence[str] = ()) -> str:
    """The content of ``gate.json``."""
    record: dict[str, Any] = {
        "run": str(run),
        "passed": all(each.passed for each in results),
        "requirements": [each.to_json() for each in results],
        "notes": list(notes),
        "versions": provenance.versions(),
    }
    return json.dumps(record, indent=2) + "\n"


def is_json(path: Path) -> bool:
    """Whether a file was written by :func:`to_json`."""
    try:
        return parse_object(path.read_bytes()).keys() >= KEYS
    except (OSError, Damaged):
        return False


def to_junit(run: Path, results: Sequence[Result]) -> str:
    """The results as a JUnit XML file: a test case for each requirement."""
    counts = {
        "tests": str(len(results)),
        "failures": str(sum(not each.passed for each in results)),
        "errors": "0",
        "time": "0",
    }
    suites = ElementTree.Element("testsuites", {"name": NAME, **counts})
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": _text(run), **counts, "skipped": "0"}
    )
    for each in results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_text(each.method), name=_text(each.name), time="0"
        )
        properties = ElementTree.SubElement(case, "properties")
        for name, value in each.to_json().items():
            if name not in ("requirement", "reason", "notes") and value not in (None, ""):
                ElementTree.SubElement(properties, "property", name=name, value=_text(value))
        if not each.passed:
            failure = ElementTree.SubElement(
                case, "failure", message=_text(each.reason), type="requirement"
            )
            failure.text = _text(each.line)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def is_junit(path: Path) -> bool:
    """Whether a file was written by :func:`to_junit`."""
    return output_file.contains(path, f'<testsuites name="{NAME}"', within=1000)


def _text(value: object) -> str:
    """A value without characters that XML forbids."""
    return escape_unprintable(value)
