"""Trials of a sharpness run in the processes of a Ray cluster, spread by photo."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from localize.ray_pool import NodeSpec, RayEngine, open_pool
from localize.sharpness.runner import Row, RunTasks, Task, TrialRunner, set_torch_threads
from synth.errors import InputError


class TrialWorker:
    """A runner in a process of a cluster, which loads the methods once.

    Args:
        home: the working directory that Ray made.
        specs: of the methods, by their names in the tables.

    Raises:
        InputError: the node does not reach the photos, or a method cannot be loaded there.
    """

    def __init__(self, home: Path, specs: Mapping[str, NodeSpec], runner: TrialRunner) -> None:
        if isinstance(runner.folder, Path) and not runner.folder.is_dir():
            raise InputError(
                f"{runner.folder} is not on the node {socket.gethostname()}: put the photos on a "
                "file system that all nodes share, or name them by a URL"
            )
        self._runner = replace(runner, specs={name: spec.at(home) for name, spec in specs.items()})
        self._runner.load()
        set_torch_threads(1)

    def answer(self, item: Sequence[Task]) -> list[list[Row]]:
        """The trials on one photo -> their rows."""
        return [self._runner.run(task) for task in item]


@contextmanager
def ray_tasks(runner: TrialRunner, ray: RayEngine) -> Iterator[RunTasks]:
    """A function that yields the rows of tasks in order, computed on a cluster."""
    with open_pool(ray, list(runner.specs.values())) as pool:
        specs = {name: pool.spec(spec) for name, spec in runner.specs.items()}

        def run(tasks: Sequence[Task]) -> Generator[list[Row], None, None]:
            by_photo = [list(group) for _, group in groupby(tasks, lambda task: task.trial.photo)]
            for rows in pool.map(TrialWorker, (specs, runner), by_photo, 1):
                yield from rows

        yield run
