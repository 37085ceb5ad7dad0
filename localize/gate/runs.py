"""Recognises a result folder and opens it as the run of its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from localize.gate.estimate import Estimate
from localize.gate.pod_run import PodRun
from localize.gate.requirement import Requirement
from localize.gate.score_run import ScoreRun
from localize.gate.sharpness_run import SharpnessRun
from localize.registry import BASELINE
from synth.errors import InputError
from synth.paths import path_of


class Run(Protocol):
    """A result folder.

    Args:
        kind: one of ``quantities.KINDS``.
        methods: the names of its methods, in the order of its tables.
    """

    @property
    def folder(self) -> Path: ...
    @property
    def kind(self) -> str: ...
    @property
    def methods(self) -> tuple[str, ...]: ...

    def estimate(self, requirement: Requirement, method: str) -> Estimate:
        """The quantity of a requirement for a method.

        Raises:
            InputError: the run cannot have this quantity.
        """
        ...


RECORDS: dict[str, Callable[[Path], Run]] = {
    "sharpness.json": SharpnessRun.read,
    "comparison.json": ScoreRun.read,
    "pod.json": PodRun.read,
}


def open_run(folder: str | Path) -> Run:
    """A folder that sharpness, evaluate, compare, score or pod wrote -> its run.

    Raises:
        InputError: the folder is another one, or a file in it is damaged.
    """
    path = path_of(folder)
    for name, read in RECORDS.items():
        if (path / name).is_file():
            run = read(path)
            if not run.methods:
                raise InputError(f"{path} has no method: make it again")
            return run
    raise InputError(
        f"{path} holds no {' and no '.join(RECORDS)}: "
        "give a folder that sharpness, evaluate, compare, score or pod wrote"
    )


def choose_method(run: Run, method: str | None, option: str = "--method") -> str:
    """The method of a name, or the only one beside the centre guess.

    Args:
        option: the option that names the method, for messages.

    Raises:
        InputError: there is no such method, or several.
    """
    names = ", ".join(run.methods)
    if method is not None:
        if method not in run.methods:
            raise InputError(f"{run.folder} has no method '{method}': {option} is one of {names}")
        return method
    others = [name for name in run.methods if name != BASELINE] or list(run.methods)
    if len(others) > 1:
        raise InputError(f"{run.folder} has several methods: choose one with {option}: {names}")
    return others[0]
