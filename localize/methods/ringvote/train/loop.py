"""The training loop: steps, validation after every epoch, checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localize.data.loader import ErrorReturningDataset, Loader, explain_worker_death, set_up_worker
from localize.localizer import Source
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.train.losses import batch_loss
from localize.methods.ringvote.train.packing import Packed, PackedDataset, move
from localize.methods.ringvote.train.targets import Batch, Batches
from localize.training import runs
from localize.training.runs import CHECKPOINT, Progress, load_weights
from synth.errors import InputError

DECAY = 0.5  # share of the steps at the end in which the learning rate falls to 0
WARM_UP = 50  # steps in which it rises
AGGREGATION_RATE = 5.0  # learning rate of the vote aggregation, relative to the other weights
CLIP = 1.0  # norm of the gradient
GPU_CHUNK = 48  # centres whose votes a GPU sums at a time, which bounds the memory


@dataclass(frozen=True)
class Plan:
    """Number of steps, batch size and learning rate.

    Args:
        steps: of the whole training.
        batch: images a step.
        learning_rate: the highest one.
        every: steps between checkpoints: an epoch.
        warm_up: steps in which the learning rate rises.
    """

    steps: int
    batch: int
    learning_rate: float
    every: int
    warm_up: int = WARM_UP

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = (self.steps - step) / max(1, self.steps * DECAY)
        return self.learning_rate * min(1.0, left, (step + 1) / self.warm_up)


def train(
    network: RingVoteNet,
    source: Source,
    val: Batches,
    run: Path,
    plan: Plan,
    about: dict[str, Any],
    device: torch.device,
    progress: Callable[[int, int], None],
) -> None:
    """Train, from the run's checkpoint if there is one; the network ends with the best weights.

    Every image depends on its number alone and every step on the step before, so that an
    interrupted run ends with the same weights as one that was not.

    Args:
        val: the validation batches.
        run: the run folder.
        about: settings of the run; a checkpoint of other settings is refused.
        progress: called with the number of finished steps and of all.

    Raises:
        InputError: the checkpoint is of another run, or the loss is not finite.
    """
    network.to(device)
    torch.backends.cudnn.benchmark = True  # images have few different sizes
    optimiser = _optimiser(network, plan)
    first_step, reached = _resume(network, optimiser, run, about)
    cuda = device.type == "cuda"
    # With a GPU every core draws images; without one the network needs the cores more.
    workers, part, chunk = (os.cpu_count() or 1, plan.batch, GPU_CHUNK) if cuda else (1, 1, 1)
    numbers = (first_step * plan.batch, plan.steps * plan.batch)
    dataset = ErrorReturningDataset(
        PackedDataset(Batches(source, *numbers, plan.batch, part)), source
    )
    loader = Loader(
        dataset,
        batch_size=None,
        collate_fn=dataset.to_message,
        num_workers=workers,
        prefetch_factor=3,
        worker_init_fn=set_up_worker,
    )
    val_batches = [move(parts, device) for parts in val]
    losses: list[Tensor] = []
    distances: list[Tensor] = []
    for step, packed in enumerate(_packed_batches(loader, run), first_step):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step) * group["boost"]
        optimiser.zero_grad()
        loss, batch_distances = _mean_loss(network, packed.unpack(device), chunk)
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        losses.append(loss)
        distances.append(batch_distances)
        progress(step + 1, plan.steps)
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            row = _means("train", losses, distances)
            if not math.isfinite(row["train_loss"]):
                raise InputError(f"training in {run} diverged: try a lower learning rate")
            epoch = -(-(step + 1) // plan.every)
            row = {"epoch": epoch} | row | _validate(network, val_batches, chunk)
            reached.add(row, "val_loss", network)
            reached.write(run)
            state = {"optimiser": optimiser.state_dict(), "step": step + 1}
            entry = {runs.PROGRESS: runs.progress_entry(about, reached)}
            runs.write_checkpoint(run / CHECKPOINT, state | entry)
            losses, distances = [], []
    load_weights(network, run)


def _mean_loss(network: RingVoteNet, parts: list[Batch], chunk: int) -> tuple[Tensor, Tensor]:
    """The parts of a batch -> () their mean loss, weighted by images, and (N,) distances, px.

    Adds the gradient to the weights where gradients are enabled. Values stay on the device, so
    that the CPU does not wait for it.
    """
    count = sum(len(part.images) for part in parts)
    losses, distances = [], []
    for part in parts:
        loss, part_distances = batch_loss(network, part, chunk)
        loss = loss * (len(part.images) / count)
        if loss.requires_grad:
            loss.backward()
        losses.append(loss.detach())
        distances.append(part_distances)
    return torch.stack(losses).sum(), torch.cat(distances)


def _means(split: str, losses: list[Tensor], distances: list[Tensor]) -> dict[str, float]:
    """Losses and distances of several batches -> the columns of history.csv for a split."""
    means = {f"{split}_loss": float(torch.stack(losses).mean())}
    all_distances = torch.cat(distances)
    if len(all_distances):
        means[f"{split}_distance"] = float(all_distances.mean())
    return means


def _optimiser(network: RingVoteNet, plan: Plan) -> torch.optim.Optimizer:
    aggregation = [
        *network.aggregation.parameters(), *network.coarse_aggregation.parameters()
    ]  # fmt: skip
    weights = [p for p in network.parameters() if all(p is not q for q in aggregation)]
    return torch.optim.AdamW(
        [
            {"params": weights, "boost": 1.0, "weight_decay": 1e-3},
            {"params": aggregation, "boost": AGGREGATION_RATE, "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
    )


def _packed_batches(loader: Loader, run: Path) -> Iterator[Packed]:
    """The batches of the workers.

    Raises:
        InputError: an image cannot be drawn; the run can be resumed.
    """
    try:
        with explain_worker_death():
            yield from loader
    except InputError as error:
        raise runs.to_interruption(run, error) from None


def _resume(
    network: RingVoteNet, optimiser: torch.optim.Optimizer, run: Path, about: dict[str, Any]
) -> tuple[int, Progress]:
    """Load the run's checkpoint if there is one -> number of finished steps, their history."""
    checkpoint = runs.begin(run, about)
    if checkpoint is None:
        return 0, Progress()
    state = runs.read_checkpoint(checkpoint)
    reached = state[runs.PROGRESS]
    network.load_state_dict(reached["last"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), Progress(reached["rows"], reached["best"])


@torch.no_grad()
def _validate(network: RingVoteNet, val: Iterable[list[Batch]], chunk: int) -> dict[str, float]:
    results = [_mean_loss(network, parts, chunk) for parts in val]
    losses, distances = zip(*results, strict=True)
    return {"val_distance": math.nan} | _means("val", list(losses), list(distances))
