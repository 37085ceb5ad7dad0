"""Ask the methods: trial by trial, in parallel, each answer written down at once.

A plan is a generator of batches of trials that is sent the answers to the last batch: so the
grid (one batch) and the adaptive mode (many) run, stop and go on in the same way.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from localize import registry
from localize.evaluation.answer_log import Journal
from localize.evaluation.validity import NOTHING, is_silent, usable
from localize.external.worker import error_text
from localize.localizer import Localizer, Told
from localize.sharpness import adaptive
from localize.sharpness.design import Design, Picture, Trial, grid, picture
from synth import photos
from synth.console import Progress
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.photos import Photo
from synth.text_escapes import escape_surrogates
from synth.workers import worker_pool

TRIALS = (
    "method", "trial", "photo", "side", "shape", "overflow", "rounding", "feather", "codec",
    "quality", "width", "height", "x", "y", "r", "discolor_ratio", "brightness", "texture",
    "x_pred", "y_pred", "r_pred", "ratio_pred", "score", "distance", "hit", "seconds", "error",
)  # fmt: skip
KEPT = 8  # decoded photos in memory
Row = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """A trial, and the names of the methods that get it."""

    trial: Trial
    methods: tuple[str, ...]


Plan = Generator[list[Item], list[list[Row]], None]


@dataclass
class Asker:
    """Methods, and the photos that trials are drawn on.

    Args:
        specs: by the name under which a method stands in the tables.
        time_limit: seconds an image, of what runs in a process of its own.
    """

    specs: dict[str, str]
    folder: Path
    design: Design
    time_limit: float | None = None
    ready: dict[str, Localizer] = field(default_factory=dict)
    photos: dict[str, Photo] = field(default_factory=dict)

    def load(self) -> None:
        """Load the methods that are not there yet."""
        for name, spec in self.specs.items():
            if name not in self.ready:
                self.ready[name] = registry.load(spec, time_limit=self.time_limit)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ready": {}, "photos": {}}  # each process loads its own

    def ask(self, item: Item) -> list[Row]:
        """Show one picture to some methods -> their rows."""
        trial = item.trial
        shown = picture(self.design, trial, self._photo(trial.photo))
        return [self._answer(name, trial, shown) for name in item.methods]

    def _photo(self, name: str) -> Photo:
        if name not in self.photos:
            while len(self.photos) >= KEPT:
                del self.photos[next(iter(self.photos))]
            self.photos[name] = photos.read(self.folder, name)
        return self.photos[name]

    def _answer(self, name: str, trial: Trial, shown: Picture) -> Row:
        """A method that fails, or gives no place, has missed; the reason is recorded."""
        localizer, truth = self.ready[name], shown.truth
        told = [Told(truth.r, truth.discolor_ratio)] if localizer.told else None
        began = time.perf_counter()
        try:
            answer = localizer.locate([shown.image], told)[0]
            found, error = usable(answer)
            if truth.discolor_ratio == 1 and is_silent(answer):
                error = ""  # there is nothing to find
        except Exception as reason:  # of anybody's code: it must not end the run
            if is_out_of_memory(reason):
                raise out_of_memory_error(f"a picture of {trial.photo}") from None
            found, error = NOTHING, error_text(reason)
        seconds = time.perf_counter() - began
        distance = math.hypot(found.x - truth.x, found.y - truth.y)
        height, width = shown.image.shape[:2]
        condition = trial.condition
        return {
            "method": name, "trial": trial.number, "photo": escape_surrogates(trial.photo),
            "side": trial.side, "shape": truth.shape, "overflow": truth.overflow,
            "rounding": truth.rounding, "feather": truth.feather, "codec": condition.codec,
            "quality": condition.quality if condition.codec == "jpeg" else None,
            "width": width, "height": height, "x": truth.x, "y": truth.y, "r": truth.r,
            "discolor_ratio": truth.discolor_ratio, "brightness": shown.brightness,
            "texture": shown.texture, "x_pred": _number(found.x), "y_pred": _number(found.y),
            "r_pred": _number(found.r), "ratio_pred": _number(found.ratio),
            "score": _number(found.score), "distance": _number(distance),
            "hit": int(self.design.is_hit(np.array([distance]), np.array([truth.r]))[0]),
            "seconds": round(seconds, 4), "error": error,
        }  # fmt: skip


def _number(value: float | None) -> float | None:
    """None for what is no finite number: JSON has no other word for it."""
    return float(value) if value is not None and math.isfinite(value) else None


def plan(asker: Asker, names: Sequence[str]) -> Plan:
    """The batches of a run: all at once, or each method's own blocks."""
    methods = tuple(asker.specs)
    if not asker.design.adaptive:
        yield [Item(trial, methods) for trial in grid(asker.design, names)]
        return
    for method in methods:
        blocks = adaptive.trials(asker.design, names)
        batch = next(blocks)
        while batch:
            answers = yield [Item(trial, (method,)) for trial in batch]
            try:
                batch = blocks.send([bool(rows[0]["hit"]) for rows in answers])
            except StopIteration:
                break


def total(asker: Asker, names: Sequence[str]) -> int:
    """How many items the plan has."""
    if asker.design.adaptive:
        return len(asker.specs) * asker.design.adaptive
    return len(grid(asker.design, names))


def run(
    asker: Asker,
    names: Sequence[str],
    journal: Path,
    request: dict[str, Any],
    workers: int,
    progress: Progress,
) -> list[Row]:
    """Ask everything that the journal does not know yet -> all rows, by method and trial."""
    asker.load()
    count, rows = total(asker, names), []
    with closing(Journal(journal, request)) as written, _asking(asker, workers) as ask:
        progress(0, count)
        batches = plan(asker, names)
        answers: list[list[Row]] = []
        done = 0
        while True:
            try:
                items = batches.send(answers) if done else next(batches)
            except StopIteration:
                break
            answers = written.take(len(items))
            with closing(ask(items[len(answers) :])) as coming:
                for number, found in enumerate(coming, done + len(answers) + 1):
                    written.add(found)
                    answers.append(found)
                    progress(number, count)
            done += len(items)
            rows += [row for found in answers for row in found]
    order = {name: i for i, name in enumerate(asker.specs)}
    return sorted(rows, key=lambda row: (order[row["method"]], row["trial"]))


Ask = Callable[[Sequence[Item]], Generator[list[Row], None, None]]


@contextmanager
def _asking(asker: Asker, workers: int) -> Iterator[Ask]:
    """Give a function that yields the answers to items in order."""
    if workers == 1:
        before = _threads(1)  # results must not depend on the number of workers

        def one_by_one(items: Sequence[Item]) -> Generator[list[Row], None, None]:
            yield from map(asker.ask, items)

        try:
            yield one_by_one
        finally:
            _threads(before)
        return
    with worker_pool(workers, _begin, asker) as run:
        yield lambda items: run(_ask, ((item,) for item in items))


_asker: Asker | None = None  # of a worker process


def _begin(asker: Asker) -> None:
    global _asker
    asker.load()
    _threads(1)
    _asker = asker


def _ask(item: Item) -> list[Row]:
    assert _asker is not None
    return _asker.ask(item)


def _threads(count: int | None) -> int | None:
    """Set the number of threads of torch, if a method has brought it -> what it was before."""
    torch = sys.modules.get("torch")
    if torch is None or count is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(count)
    return before
