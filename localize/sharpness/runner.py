"""Runs trials: in order or in parallel, with each answer logged before the next one.

A plan is a generator of batches of tasks that is sent the rows of the previous batch. This
covers both the grid (one batch) and the adaptive mode (many batches), also when a run resumes.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from localize import registry
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.validity import NO_ANSWER, has_no_place, validate
from localize.external.worker import error_text
from localize.localizer import Localizer, Told
from localize.sharpness import adaptive
from localize.sharpness.design import Design, Trial, TrialImage, grid_trials, render_trial
from synth import photos
from synth.console import Progress
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.photos import Photo
from synth.storage import Place
from synth.text_escapes import escape_surrogates
from synth.workers import worker_pool

TRIALS = (
    "method", "trial", "photo", "side", "shape", "overflow", "rounding", "feather", "codec",
    "quality", "width", "height", "x", "y", "r", "discolor_ratio", "brightness", "texture",
    "x_pred", "y_pred", "r_pred", "ratio_pred", "score", "distance", "hit", "seconds", "error",
)  # fmt: skip
MAX_PHOTOS = 8  # decoded photos in memory
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A trial and the names of the methods to run on it."""

    trial: Trial
    methods: tuple[str, ...]


Plan = Generator[list[Task], list[list[Row]], None]
RunTasks = Callable[[Sequence[Task]], Generator[list[Row], None, None]]


@dataclass
class TrialRunner:
    """Renders trials and runs methods on them.

    Args:
        specs: SPECs by the methods' names in the tables.
        folder: of the photos.
        time_limit: seconds per image for methods that run in a process of their own.
        localizers: the methods loaded so far, by name.
        photos: the photos decoded so far, by name.
    """

    specs: dict[str, str]
    folder: Place
    design: Design
    time_limit: float | None = None
    localizers: dict[str, Localizer] = field(default_factory=dict)
    photos: dict[str, Photo] = field(default_factory=dict)

    def load(self) -> None:
        """Loads the methods that are not loaded yet."""
        for name, spec in self.specs.items():
            if name not in self.localizers:
                self.localizers[name] = registry.load(spec, time_limit=self.time_limit)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "localizers": {}, "photos": {}}  # each process loads its own

    def run(self, task: Task) -> list[Row]:
        """Renders a trial and runs the task's methods on it -> one row per method."""
        trial = task.trial
        rendered = render_trial(self.design, trial, self._read_photo(trial.photo))
        return [self._locate(name, trial, rendered) for name in task.methods]

    def _read_photo(self, name: str) -> Photo:
        if name not in self.photos:
            while len(self.photos) >= MAX_PHOTOS:
                del self.photos[next(iter(self.photos))]
            self.photos[name] = photos.read(self.folder, name)
        return self.photos[name]

    def _locate(self, name: str, trial: Trial, rendered: TrialImage) -> Row:
        """Runs one method; a failure or an answer without a place is a miss with a reason."""
        localizer, truth = self.localizers[name], rendered.truth
        ratio = trial.told_ratio or truth.discolor_ratio
        told = [Told(truth.r, ratio)] if localizer.told else None
        began = time.perf_counter()
        try:
            answer = localizer.locate([rendered.image], told)[0]
            finding, error = validate(answer)
            if truth.discolor_ratio == 1 and has_no_place(answer):
                error = ""  # an unchanged image needs no place
        except Exception as reason:  # one method's failure must not stop the run
            if is_out_of_memory(reason):
                raise out_of_memory_error(f"an image of {trial.photo}") from None
            finding, error = NO_ANSWER, error_text(reason)
        seconds = time.perf_counter() - began
        distance = math.hypot(finding.x - truth.x, finding.y - truth.y)
        height, width = rendered.image.shape[:2]
        condition = trial.condition
        return {
            "method": name, "trial": trial.number, "photo": escape_surrogates(trial.photo),
            "side": trial.side, "shape": truth.shape, "overflow": truth.overflow,
            "rounding": truth.rounding, "feather": truth.feather, "codec": condition.codec,
            "quality": condition.quality if condition.codec == "jpeg" else None,
            "width": width, "height": height, "x": truth.x, "y": truth.y, "r": truth.r,
            "discolor_ratio": truth.discolor_ratio, "brightness": rendered.brightness,
            "texture": rendered.texture, "x_pred": _finite(finding.x),
            "y_pred": _finite(finding.y), "r_pred": _finite(finding.r),
            "ratio_pred": _finite(finding.ratio), "score": _finite(finding.score),
            "distance": _finite(distance),
            "hit": int(self.design.is_hit(np.array([distance]), np.array([truth.r]))[0]),
            "seconds": round(seconds, 4), "error": error,
            "told_ratio": ratio if told else None,
        }  # fmt: skip


def _finite(value: float | None) -> float | None:
    """A finite number unchanged, else None, since JSON has no NaN and no infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def plan_tasks(runner: TrialRunner, photo_names: Sequence[str]) -> Plan:
    """Yields the tasks of a run: the whole grid at once, or each method's blocks in turn."""
    methods = tuple(runner.specs)
    if not runner.design.adaptive:
        yield [Task(trial, methods) for trial in grid_trials(runner.design, photo_names)]
        return
    for method in methods:
        blocks = adaptive.trial_blocks(runner.design, photo_names)
        block = next(blocks)
        while block:
            answers = yield [Task(trial, (method,)) for trial in block]
            try:
                block = blocks.send([bool(rows[0]["hit"]) for rows in answers])
            except StopIteration:
                break


def count_tasks(runner: TrialRunner, photo_names: Sequence[str]) -> int:
    """The number of tasks in the plan."""
    if runner.design.adaptive:
        return len(runner.specs) * adaptive.trial_count(runner.design)
    return len(grid_trials(runner.design, photo_names))


def run_trials(
    runner: TrialRunner,
    photo_names: Sequence[str],
    log_path: Path,
    request: dict[str, Any],
    tasks_of: AbstractContextManager[RunTasks],
    progress: Progress,
) -> list[Row]:
    """Runs all tasks that the answer log does not contain yet -> all rows, by method and trial.

    Args:
        tasks_of: gives the function that runs tasks: :func:`local_tasks` or that of a cluster.
    """
    runner.load()
    count = count_tasks(runner, photo_names)
    all_rows: list[Row] = []
    with closing(AnswerLog(log_path, request)) as log, tasks_of as run:
        progress(0, count)
        batches = plan_tasks(runner, photo_names)
        answers: list[list[Row]] = []
        done = 0
        while True:
            try:
                tasks = batches.send(answers) if done else next(batches)
            except StopIteration:
                break
            answers = log.take(len(tasks))
            with closing(run(tasks[len(answers) :])) as results:
                for number, rows in enumerate(results, done + len(answers) + 1):
                    log.add(rows)
                    answers.append(rows)
                    progress(number, count)
            done += len(tasks)
            all_rows += [row for rows in answers for row in rows]
    order = {name: i for i, name in enumerate(runner.specs)}
    return sorted(all_rows, key=lambda row: (order[row["method"]], row["trial"]))


@contextmanager
def local_tasks(runner: TrialRunner, workers: int) -> Iterator[RunTasks]:
    """A function that yields the rows of tasks in order, computed by ``workers`` processes."""
    if workers == 1:
        before = set_torch_threads(1)  # results must not depend on the number of workers

        def run_in_order(tasks: Sequence[Task]) -> Generator[list[Row], None, None]:
            yield from map(runner.run, tasks)

        try:
            yield run_in_order
        finally:
            set_torch_threads(before)
        return
    with worker_pool(workers, _start_worker, runner) as run:
        yield lambda tasks: run(_run_task, ((task,) for task in tasks))


_worker_runner: TrialRunner | None = None  # in a worker process


def _start_worker(runner: TrialRunner) -> None:
    global _worker_runner
    runner.load()
    set_torch_threads(1)
    _worker_runner = runner


def _run_task(task: Task) -> list[Row]:
    assert _worker_runner is not None
    return _worker_runner.run(task)


def set_torch_threads(count: int | None) -> int | None:
    """Sets torch's number of threads, if a method has imported torch -> the number before."""
    torch = sys.modules.get("torch")
    if torch is None or count is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(count)
    return before
