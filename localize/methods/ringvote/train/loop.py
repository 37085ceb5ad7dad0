"""Train the network on pictures without end: for each region, which pixel is its centre?"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localize.data.loader import Guarded, Loader, begin_worker, worker_faults
from localize.localizer import Source
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.train.losses import lesson_loss
from localize.methods.ringvote.train.packing import Parcel, Parcels, moved
from localize.methods.ringvote.train.targets import Lesson, Lessons
from localize.training import runs
from localize.training.runs import CHECKPOINT, Progress, load_weights
from synth.errors import InputError

DECAY = 0.5  # share of the steps in which the learning rate falls to nothing
WARM = 50  # steps in which it rises
OWN_RATE = 5.0  # the few scales learn faster than the weights
CLIP = 1.0  # norm of the gradient


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    steps: int
    batch: int
    learning_rate: float
    every: int  # steps between checkpoints: an epoch
    warm: int = WARM

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = (self.steps - step) / max(1, self.steps * DECAY)
        return self.learning_rate * min(1.0, left, (step + 1) / self.warm)


def train(
    network: Trunk,
    source: Source,
    val: Lessons,
    run: Path,
    plan: Plan,
    about: dict[str, Any],
    device: torch.device,
    progress: Callable[[int, int], None],
) -> None:
    """Train, going on from the run's checkpoint where there is one; the best is kept.

    Every picture is drawn from its number and every step from the checkpoint before, so that
    a run that was interrupted ends with the same weights as one that was not. The network is
    left with the best ones.

    Raises:
        InputError: the checkpoint is of another run, or the loss is no number any more.
    """
    network.to(device)
    torch.backends.cudnn.benchmark = True  # pictures are of few sizes
    optimiser = _optimiser(network, plan)
    begun, reached = _resume(network, optimiser, run, about)
    # Beside a GPU every core draws pictures; on CPUs the network needs them more.
    workers, together = (os.cpu_count() or 1, plan.batch) if device.type == "cuda" else (1, 1)
    lessons = Lessons(source, begun * plan.batch, plan.steps * plan.batch, plan.batch, together)
    guarded = Guarded(Parcels(lessons), source)
    loader = Loader(
        guarded,
        batch_size=None,
        collate_fn=guarded.deliver,
        num_workers=workers,
        prefetch_factor=3,
        worker_init_fn=begin_worker,
    )
    known = [moved(lessons, device) for lessons in val]
    losses: list[Tensor] = []
    distances: list[Tensor] = []
    for step, parcel in enumerate(_parcels(loader, run), begun):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step) * group["boost"]
        optimiser.zero_grad()
        loss, far = _lost(network, parcel.opened(device))
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        losses.append(loss)
        distances.append(far)
        progress(step + 1, plan.steps)
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            row = _means("train", losses, distances)
            if not math.isfinite(row["train_loss"]):
                raise InputError(f"training in {run} diverged: try a lower learning rate")
            epoch = -(-(step + 1) // plan.every)
            row = {"epoch": epoch} | row | _validate(network, known)
            reached.add(row, "val_loss", network)
            reached.write(run)
            state = {"optimiser": optimiser.state_dict(), "step": step + 1}
            entry = {runs.PROGRESS: runs.progress_entry(about, reached)}
            runs.write_checkpoint(run / CHECKPOINT, state | entry)
            losses, distances = [], []
    load_weights(network, run)


def _lost(network: Trunk, lessons: list[Lesson]) -> tuple[Tensor, Tensor]:
    """Lessons -> () their mean loss, by picture, and distances, px; its gradient, if there is any.

    Nothing waits for the device.
    """
    count = sum(len(lesson.images) for lesson in lessons)
    losses, distances = [], []
    for lesson in lessons:
        loss, far = lesson_loss(network, lesson)
        loss = loss * (len(lesson.images) / count)
        if loss.requires_grad:
            loss.backward()
        losses.append(loss.detach())
        distances.append(far)
    return torch.stack(losses).sum(), torch.cat(distances)


def _means(part: str, losses: list[Tensor], distances: list[Tensor]) -> dict[str, float]:
    row = {f"{part}_loss": float(torch.stack(losses).mean())}
    far = torch.cat(distances)
    return row | ({f"{part}_distance": float(far.mean())} if len(far) else {})


def _optimiser(network: Trunk, plan: Plan) -> torch.optim.Optimizer:
    own = [*network.fine.parameters(), *network.rough.parameters()]
    weights = [p for p in network.parameters() if all(p is not q for q in own)]
    return torch.optim.AdamW(
        [
            {"params": weights, "boost": 1.0, "weight_decay": 1e-3},
            {"params": own, "boost": OWN_RATE, "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
    )


def _parcels(loader: Loader, run: Path) -> Iterator[Parcel]:
    """What the workers draw; an error there leaves a run that can be gone on with."""
    try:
        with worker_faults():
            yield from loader
    except InputError as error:
        raise runs.resumable(run, error) from None


def _resume(
    network: Trunk, optimiser: torch.optim.Optimizer, run: Path, about: dict[str, Any]
) -> tuple[int, Progress]:
    """Load the run's checkpoint if there is one -> the steps that are done, what they reached."""
    checkpoint = runs.begin(run, about)
    if checkpoint is None:
        return 0, Progress()
    state = runs.read_checkpoint(checkpoint)
    reached = state[runs.PROGRESS]
    network.load_state_dict(reached["last"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), Progress(reached["rows"], reached["best"])


@torch.no_grad()
def _validate(network: Trunk, val: Iterable[list[Lesson]]) -> dict[str, float]:
    losses, distances = zip(*(_lost(network, lessons) for lessons in val), strict=True)
    return {"val_distance": math.nan} | _means("val", list(losses), list(distances))
