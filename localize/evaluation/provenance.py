"""What a comparison was asked for and what made it, for ``comparison.json``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation.metrics import DRAWS
from localize.localizer import Localizer
from localize.registry import METHODS, Method, is_folder
from localize.run_files import read_run
from synth import folders
from synth.errors import InputError
from synth.paths import name_of

LOG_ODDS = "log odds"  # the ``score_kind`` of a method whose scores are that
BOOTSTRAP = {"level": 0.95, "over": "photos", "samples": DRAWS, "seed": 0}
_PACKAGES = ("acuity", "torch", "lightning", "numpy", "pandas", "pillow")


def versions() -> dict[str, str]:
    """Of Python and of the packages that the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}


def described(
    methods: Mapping[str, Localizer], runs: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    """What must be known of each method to read its numbers, by the name in the tables."""
    return {
        name: {
            "told": sorted(localizer.told),
            "learns": localizer.learns,
            "summary": entry.summary if (entry := _entry(name, runs)) else "",
            "scores": localizer.score_kind,
        }
        for name, localizer in methods.items()
    }


def fingerprint(spec: str | Path) -> str:
    """SHA-256 of what answers for a SPEC: a run folder's files, or the file of a function.

    Empty for a method by its name, which comes with the package.
    """
    path, _, _ = str(spec).rpartition(":")
    files = [Path(path)] if path.endswith(".py") else []
    if is_folder(Path(spec)):
        files = sorted(each for each in Path(spec).rglob("*") if each.is_file())
    digest = hashlib.sha256()
    for file in files:
        found = folders.sha256(file) if file.is_file() else "missing"  # its own code may delete it
        digest.update(found.encode())
    return digest.hexdigest() if files else ""


def _entry(name: str, runs: Mapping[str, Path]) -> Method | None:
    if name not in runs:
        return METHODS.get(name)
    try:
        return METHODS.get(read_run(runs[name])["method"])
    except InputError:
        return None


def with_odds(methods: Mapping[str, Mapping[str, Any]], clean: pd.DataFrame) -> list[str]:
    """The methods that were asked about clean images and whose scores are log odds."""
    asked = set(clean["method"])
    return [
        name for name, about in methods.items() if about["scores"] == LOG_ODDS and name in asked
    ]


def command(name: str, *inputs: object, **options: Any) -> list[str]:
    """The words of the command that asks for the same."""
    return ["localize", name, *map(_word, inputs), *flags(options)]


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options of methods -> the flags of the command that asks for the same.

    >>> flags({"input": (200, 100), "augment": ("flip", "crop"), "stream": True, "seed": None})
    ['--input', '200x100', '--augment', 'flip,crop', '--stream']
    """
    found: list[str] = []
    for name, value in options.items():
        if value is None or value is False or name == "progress":
            continue
        found.append(f"--{name.replace('_', '-')}")
        if isinstance(value, (tuple, list)):
            found.append(("x" if name == "input" else ",").join(map(_word, value)))
        elif value is not True:
            found.append(_word(value))
    return found


def _word(value: object) -> str:
    word = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
    # What "." is depends on where the command was run.
    return name_of(word) if word and Path(word).name in ("", "..") else word
