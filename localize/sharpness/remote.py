"""Trials of a sharpness run in the processes of a Ray cluster, spread by photo."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from localize.ray_pool import RayEngine, open_pool
from localize.sharpness.runner import Row, RunTasks, Task, TrialRunner, set_torch_threads
from synth.errors import InputError


class TrialWorker:
    """A runner in a process of a cluster, which loads the methods once.

    Raises:
        InputError: the node does not reach the photos, or a method cannot be loaded there.
    """

    def __init__(self, runner: TrialRunner) -> None:
        if not runner.folder.is_dir():
            raise InputError(
                f"{runner.folder} is not on the node {socket.gethostname()}: put the photos on a "
                "file system that all nodes share"
            )
        runner.load()
        set_torch_threads(1)
        self._runner = runner

    def answer(self, item: Sequence[Task]) -> list[list[Row]]:
        """The trials on one photo -> their rows."""
        return [self._runner.run(task) for task in item]


@contextmanager
def ray_tasks(runner: TrialRunner, ray: RayEngine) -> Iterator[RunTasks]:
    """A function that yields the rows of tasks in order, computed on a cluster."""
    with open_pool(ray, list(runner.specs.values())) as pool:
        specs = {name: pool.spec(spec) for name, spec in runner.specs.items()}
        there = replace(
            runner, specs=specs, folder=runner.folder.absolute(), localizers={}, photos={}
        )

        def run(tasks: Sequence[Task]) -> Generator[list[Row], None, None]:
            by_photo = [list(group) for _, group in groupby(tasks, lambda task: task.trial.photo)]
            for rows in pool.map(TrialWorker, (there,), by_photo):
                yield from rows

        yield run
