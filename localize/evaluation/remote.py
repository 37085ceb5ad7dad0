"""Answers to the questions about a dataset from localizers in the processes of a Ray cluster.

The answers go to the answer logs of a run; the run is then continued from its logs, in the same
way as an interrupted one.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from localize import registry
from localize.data.folder import Folder
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.inference import Progress, answer_batch, asked_source, group_ranges
from localize.evaluation.questions import questions_of
from localize.localizer import Localizer, as_localizer
from localize.ray_pool import NodeSpec, Pool
from synth.errors import InputError


@dataclass(frozen=True)
class Asked:
    """A localizer that is asked on a cluster.

    Args:
        localizer: loaded on this machine.
        spec: its SPEC.
        options: of :func:`localize.registry.load`.
        log: keeps its answers; those of an interrupted run are not computed again.
    """

    localizer: Localizer
    spec: str
    options: Mapping[str, Any]
    log: AnswerLog


class Group(NamedTuple):
    """Questions that are asked at once: of the number-th localizer, by their indices."""

    number: int
    clean: bool
    questions: range


class QuestionWorker:
    """One localizer at a time in a process of a cluster, and the questions that it is asked.

    Args:
        home: the working directory that Ray made.
        specs: SPEC and options of :func:`localize.registry.load`, of each localizer.
        source: the dataset; its images are read on the node.
        threads: of torch.

    Raises:
        InputError: the node does not reach the dataset.
    """

    def __init__(
        self,
        home: Path,
        specs: Sequence[tuple[NodeSpec, Mapping[str, Any]]],
        source: Folder,
        threads: int,
    ) -> None:
        if isinstance(source.folder, Path) and not source.folder.is_dir():
            raise InputError(
                f"{source.folder} is not on the node {socket.gethostname()}: put the dataset on a "
                "file system that all nodes share, or name it by a URL"
            )
        self._specs = [(spec.at(home), options) for spec, options in specs]
        self._source, self._threads = source, threads
        self._number = -1  # of the localizer that is loaded

    def answer(self, item: Group) -> list[dict[str, Any]]:
        """The answers to a group of questions, as the answer log keeps them."""
        if item.number != self._number:
            self._load(item.number)
        questions = self._questions[item.clean]
        answers = answer_batch(self._localizer, [questions[i] for i in item.questions])
        return [answer.to_json() for answer in answers]

    def _load(self, number: int) -> None:
        spec, options = self._specs[number]
        self._localizer = as_localizer(registry.load(spec, **options))
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self._threads)
        source, told = asked_source(self._localizer, self._source), bool(self._localizer.told)
        self._questions = {clean: questions_of(source, clean, told) for clean in (False, True)}
        self._number = number


def fill_logs(pool: Pool, localizers: Sequence[Asked], source: Folder, progress: Progress) -> None:
    """Asks localizers on a cluster all questions that their logs hold no answer to.

    The clean images are asked about after all others, if an answer has a score or a map of the
    region, as :func:`localize.evaluation.scoring.predict` does it.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1  # as here: sums have the same order
    specs = [(pool.spec(each.spec), each.options) for each in localizers]
    detects = [False] * len(localizers)
    done = total = 0
    for clean in (False, True):
        groups: list[Group] = []
        for number, each in enumerate(localizers):
            if clean and not detects[number]:
                continue
            own = asked_source(each.localizer, source)
            count = len(questions_of(own, clean, bool(each.localizer.told)))
            ranges = group_ranges(count, each.localizer.batch_size)
            logged = each.log.take(len(ranges))
            detects[number] |= any(map(_detects, logged))
            groups += [Group(number, clean, indices) for indices in ranges[len(logged) :]]
        total += sum(len(group.questions) for group in groups)
        answers = pool.map(QuestionWorker, (specs, source, threads), groups, threads)
        for group, lines in zip(groups, answers, strict=True):
            localizers[group.number].log.add(lines)
            detects[group.number] |= _detects(lines)
            done += len(lines)
            progress(done, total)


def _detects(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an answer has a score or a valid map of the region."""
    return any(line["score"] is not None or line["mapped"] for line in lines)
