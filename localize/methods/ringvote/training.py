"""Train the network on pictures without end: for each region, which pixel is its centre?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from localize import runs
from localize.endless import Endless
from localize.localizer import Source
from localize.methods.boundary import candidates
from localize.methods.ringvote.features import features
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.voting import SHAPES, counts
from localize.runs import CHECKPOINT, load_weights, read_history, write_history
from synth import folders
from synth.anomaly import Anomaly
from synth.errors import InputError

MOST = 4  # regions in one picture
RIGHT = 1.5  # px from the centre within which an answer is right
HOPELESS = 3e-3  # a centre less likely than that is hardly learned from
NEAR = 8.0  # px around the centres of other regions that no answer is asked for
PIXELWISE = 0.5  # weight of the loss that asks each pixel, beside the one that asks the centre
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

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = (self.steps - step) / max(1, self.steps * DECAY)
        return self.learning_rate * min(1.0, left, (step + 1) / WARM)


class Lessons(Dataset[tuple[Tensor, list[Anomaly]]]):
    """Features and regions of the pictures from ``start`` on."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start, self._stop = source, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> tuple[Tensor, list[Anomaly]]:
        if index >= len(self):
            raise IndexError(index)
        index = (index + self._start) % len(self._source)
        if isinstance(self._source, Endless):
            image, regions = self._source.crowd(index, MOST)
        else:
            sample = self._source[index]
            assert sample.truth is not None
            image, regions = sample.image, [sample.truth]
        return planes(image, regions[0].discolor_ratio), regions


def _alone(worker: int) -> None:
    """In a loader's worker: one thread, the network has the others."""
    torch.set_num_threads(1)


def planes(image: np.ndarray, ratio: float) -> Tensor:
    """(H, W, 3) uint8 -> (1, CHANNELS, H, W) float32."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        return features(pixels, torch.tensor([ratio]))


def centre_loss(logits: Tensor, region: Anomaly, others: Sequence[Anomaly]) -> tuple[Tensor, float]:
    """(H, W) -> cross-entropy of the centre in nats, bounded, and the best pixel's distance, px."""
    height, width = logits.shape
    rows, cols = candidates(height, region.r), candidates(width, region.r)
    y = torch.arange(height, device=logits.device)[rows, None]
    x = torch.arange(width, device=logits.device)[None, cols]
    logits = logits[rows, cols]
    for other in others:
        near = ((x - other.x).abs() < NEAR) & ((y - other.y).abs() < NEAR)
        logits = logits.masked_fill(near, -1e4)
    right = (x - region.x) ** 2 + (y - region.y) ** 2 <= RIGHT**2
    # Any of the pixels beside the centre will do: asking for a blur would forbid sharpness.
    wanted = logits.masked_fill(~right, -math.inf).flatten()
    loss = torch.logsumexp(logits.flatten(), 0) - torch.logsumexp(wanted, 0)
    # A region that nobody could find must not drown what can be learned from the others.
    loss = -torch.logaddexp(-loss, torch.full_like(loss, math.log(HOPELESS)))
    row, col = divmod(int(logits.argmax()), logits.shape[1])
    return loss, math.hypot(col + cols.start - region.x, row + rows.start - region.y)


def pixel_loss(evidence: Tensor, regions: Sequence[Anomaly], unit: Tensor) -> Tensor:
    """(ARCS, H, W) -> nats: the last pixels inside against all pixels, each half the weight."""
    on_edge = []
    for region in regions:
        x, y = round(region.x), round(region.y)
        outline = SHAPES[region.shape == "square"]
        rows, cols, weights = outline(region.r, region.x - x, region.y - y)
        along = evidence[:, rows + y, cols + x]
        on_edge.append((along * torch.from_numpy(weights.T).to(along)).sum(0))
    yes = F.softplus(-unit * torch.cat(on_edge)).mean()
    return yes + F.softplus(unit * evidence).mean()


def lesson_loss(
    network: Trunk, x: Tensor, regions: Sequence[Anomaly]
) -> tuple[Tensor, list[float]]:
    """(1, CHANNELS, H, W) -> the loss of one picture, and each region's distance in px."""
    evidence = network(x)[0]
    sizes = (evidence.shape[1], evidence.shape[2])
    spectrum = torch.fft.rfft2(evidence.contiguous())
    losses, distances = [], []
    for region in regions:
        logits = network.logits(counts(spectrum, region.r, sizes), region.r)
        loss, distance = centre_loss(logits, region, [o for o in regions if o is not region])
        losses.append(loss)
        distances.append(distance)
    pixels = pixel_loss(evidence, regions, network.log_unit.exp())
    return torch.stack(losses).mean() + PIXELWISE * pixels, distances


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
    optimiser = _optimiser(network, plan)
    begun = _resume(network, optimiser, run, about)
    loader = DataLoader(
        Lessons(source, begun * plan.batch, plan.steps * plan.batch),
        batch_size=None,
        num_workers=1,
        prefetch_factor=3 * plan.batch,
        worker_init_fn=_alone,
    )
    losses: list[float] = []
    distances: list[float] = []
    lessons = iter(loader)
    for step in range(begun, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step) * group["boost"]
        optimiser.zero_grad()
        for _ in range(plan.batch):
            x, regions = next(lessons)
            loss, far = lesson_loss(network, x.to(device), regions)
            (loss / plan.batch).backward()
            losses.append(float(loss.detach()))
            distances += far
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        progress(step + 1, plan.steps)
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            if not math.isfinite(losses[-1]):
                raise InputError(f"training in {run} diverged: try a lower learning rate")
            row = {
                "train_loss": float(np.mean(losses)),
                "train_distance": float(np.mean(distances)),
            }
            epoch = -(-(step + 1) // plan.every)
            _keep(network, optimiser, run, epoch, step + 1, row | _validate(network, val, device))
            losses, distances = [], []
    load_weights(network, run)


def _optimiser(network: Trunk, plan: Plan) -> torch.optim.Optimizer:
    own = [network.log_scale, network.power, network.log_knee, network.prior, network.log_unit]
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
def _validate(network: Trunk, val: Lessons, device: torch.device) -> dict[str, float]:
    losses, distances = [], []
    for x, regions in (val[i] for i in range(len(val))):
        loss, far = lesson_loss(network, x.to(device), regions)
        losses.append(float(loss))
        distances += far
    return {"val_loss": float(np.mean(losses)), "val_distance": float(np.mean(distances))}
