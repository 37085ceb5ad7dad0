"""Train the network on pictures without end: for each region, which pixel is its centre?"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader

from localize import runs
from localize.localizer import Source
from localize.methods.ringvote.lessons import Lesson, Lessons
from localize.methods.ringvote.losses import lesson_loss
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.parcels import Parcels, moved
from localize.runs import CHECKPOINT, load_weights, read_history, write_history
from synth import folders
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


def _alone(worker: int) -> None:
    """In a loader's worker: one thread, the network has the others."""
    torch.set_num_threads(1)


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
    run.mkdir(parents=True, exist_ok=True)
    network.to(device)
    torch.backends.cudnn.benchmark = True  # pictures are of few sizes
    optimiser = _optimiser(network, plan)
    begun = _resume(network, optimiser, run, about)
    # Beside a GPU every core draws pictures; on CPUs the network needs them more.
    workers, together = (os.cpu_count() or 1, plan.batch) if device.type == "cuda" else (1, 1)
    loader = DataLoader(
        Parcels(Lessons(source, begun * plan.batch, plan.steps * plan.batch, plan.batch, together)),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=3,
        worker_init_fn=_alone,
    )
    known = [moved(lessons, device) for lessons in val]
    losses: list[Tensor] = []
    distances: list[Tensor] = []
    for step, parcel in enumerate(loader, begun):
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
            _keep(network, optimiser, run, epoch, step + 1, row | _validate(network, known))
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


def _resume(
    network: Trunk, optimiser: torch.optim.Optimizer, run: Path, about: dict[str, Any]
) -> int:
    """Load the run's checkpoint if there is one -> the steps that are done."""
    if not runs.begin(run, about):
        return 0
    state = torch.load(run / CHECKPOINT, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _keep(
    network: Trunk,
    optimiser: torch.optim.Optimizer,
    run: Path,
    epoch: int,
    step: int,
    row: dict[str, float],
) -> None:
    """Write history, weights and checkpoint, each whole or not at all."""
    rows = [r for r in read_history(run) if r["epoch"] < epoch]
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    if row["val_loss"] < min((r["val_loss"] for r in rows), default=math.inf):
        folders.write(run / "best.safetensors", weights)
    folders.write(run / "last.safetensors", weights)
    write_history(run, [*rows, {"epoch": epoch} | row])
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    with folders.writing(run / CHECKPOINT) as temporary:
        torch.save(state, temporary)


@torch.no_grad()
def _validate(network: Trunk, val: Iterable[list[Lesson]]) -> dict[str, float]:
    losses, distances = zip(*(_lost(network, lessons) for lessons in val), strict=True)
    return {"val_distance": math.nan} | _means("val", list(losses), list(distances))
