"""The record of a run (``comparison.json``): methods, versions, command, fingerprints."""

from __future__ import annotations

import glob
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation.metrics import DRAWS
from localize.localizer import Localizer
from localize.onnx.options import is_onnx
from localize.registry import METHODS, Method, is_folder
from localize.run_files import read_run
from synth import folders
from synth.errors import InputError
from synth.paths import name_of

EXTERNAL_TRIALS = "trials made elsewhere"  # the ``note`` of methods from ``--trials`` files
LOG_ODDS = "log odds"  # the value of ``scores`` for a method whose scores are log odds
BOOTSTRAP = {"level": 0.95, "over": "photos", "samples": DRAWS, "seed": 0}
_PACKAGES = ("acuity", "torch", "lightning", "numpy", "pandas", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the results depend on."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **packages}


def method_entries(
    methods: Mapping[str, Localizer], runs: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    """The record's entry of each method, by its name in the tables."""
    return {
        name: {
            "told": sorted(localizer.told),
            "learns": localizer.learns,
            "gives": sorted(localizer.gives),
            "summary": entry.summary if (entry := _entry(name, runs)) else "",
            "scores": localizer.score_kind,
        }
        for name, localizer in methods.items()
    }


def fingerprint(spec: str | Path) -> str:
    """SHA-256 of the files behind a SPEC: a run folder's, a function's, or those of an ONNX file.

    Empty for a registered name, since the package version stands for it.
    """
    path, _, _ = str(spec).rpartition(":")
    files = [Path(path)] if path.endswith(".py") else []
    if is_onnx(spec):  # with the sidecar and the file that large weights are stored in
        files = sorted(Path(spec).parent.glob(f"{glob.escape(Path(spec).name)}*"))
    if is_folder(Path(spec)):
        files = sorted(each for each in Path(spec).rglob("*") if each.is_file())
    digest = hashlib.sha256()
    for file in files:
        checksum = folders.sha256(file) if file.is_file() else "missing"  # deleted meanwhile
        digest.update(checksum.encode())
    return digest.hexdigest() if files else ""


def _entry(name: str, runs: Mapping[str, Path]) -> Method | None:
    if name not in runs:
        return METHODS.get(name)
    try:
        return METHODS.get(read_run(runs[name])["method"])
    except InputError:
        return None


def log_odds_methods(methods: Mapping[str, Mapping[str, Any]], clean: pd.DataFrame) -> list[str]:
    """The methods whose scores are log odds and that have scores of clean images."""
    with_clean = set(clean["method"])
    return [
        name
        for name, about in methods.items()
        if about.get("scores") == LOG_ODDS and name in with_clean
    ]


def command(name: str, *inputs: object, **options: Any) -> list[str]:
    """The words of the command line that repeats the run."""
    return ["localize", name, *map(_word, inputs), *flags(options)]


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options of methods -> the same as command-line flags.

    >>> flags({"input": (200, 100), "augment": ("flip", "crop"), "stream": True, "seed": None})
    ['--input', '200x100', '--augment', 'flip,crop', '--stream']
    """
    words: list[str] = []
    for name, value in options.items():
        if value is None or value is False or name == "progress":
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, (tuple, list)):
            words.append(("x" if name == "input" else ",").join(map(_word, value)))
        elif value is not True:
            words.append(_word(value))
    return words


def _word(value: object) -> str:
    word = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
    # The meaning of "." depends on the directory in which the command runs.
    return name_of(word) if word and Path(word).name in ("", "..") else word
