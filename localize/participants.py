"""The localizers of a comparison, and their answers with a log from which a run continues."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localize import registry
from localize.data.folder import Folder
from localize.evaluation import provenance, remote
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.remote import Asked
from localize.evaluation.scoring import Answers, predict
from localize.evaluation.seeds import label_of
from localize.localizer import Localizer
from localize.names import file_stem
from localize.ray_pool import RayEngine, open_pool
from synth.console import Progress

ANSWERS = "answers"  # folder in an unfinished comparison with a log of each method's answers


@dataclass(frozen=True)
class Participant:
    """A localizer in a comparison.

    Args:
        name: the name in all tables.
        loaded_from: its SPEC or run folder.
        seed: the seed that it was trained with, if the method takes part with several seeds.
        load_options: of :func:`localize.registry.load`, with which it was loaded.
    """

    name: str
    localizer: Localizer
    loaded_from: str | Path
    seed: int | None = None
    load_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with the seed; different for all participants."""
        return self.name if self.seed is None else label_of(self.name, self.seed)

    @property
    def run(self) -> Path | None:
        """The run folder; None if it was loaded from something else."""
        path = Path(self.loaded_from)
        return path if registry.is_folder(path) else None


def open_log(participant: Participant, folder: Path, file: str) -> AnswerLog:
    """The log ``file`` of a participant's answers in an unfinished comparison."""
    fingerprint = provenance.fingerprint(participant.loaded_from)
    path = folder / ANSWERS / f"{file_stem(file)}.jsonl"
    return AnswerLog(path, {f"code or weights of {participant.label}": fingerprint})


def logged_answers(
    participant: Participant, source: Folder, folder: Path, file: str, progress: Progress | None
) -> Answers:
    """The answers of a participant; those in the log ``file`` of an interrupted run are reused."""
    with closing(open_log(participant, folder, file)) as log:
        return predict(participant.localizer, participant.label, source, progress, log)


def answer_on_ray(
    ray: RayEngine,
    participants: Mapping[str, Participant],
    source: Folder,
    folder: Path,
    progress: Progress,
) -> None:
    """Fills the logs of the participants, by file, with answers from a cluster."""
    specs = [each.loaded_from for each in participants.values()]
    with ExitStack() as stack:
        asked = [
            Asked(
                each.localizer,
                str(each.loaded_from),
                each.load_options,
                stack.enter_context(closing(open_log(each, folder, file))),
            )
            for file, each in participants.items()
        ]
        pool = stack.enter_context(open_pool(ray, specs))
        remote.fill_logs(pool, asked, source, progress)
