"""Train the network on pictures without end: for each region, which pixel is its centre?"""

from __future__ import annotations

import dataclasses
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
from localize.endless import FEW, Endless
from localize.localizer import Source
from localize.methods.boundary import candidates
from localize.methods.ringvote.network import HYPOTHESES, POOL, Rules, Trunk, nearest
from localize.methods.ringvote.voting import SHAPES, counts
from localize.runs import CHECKPOINT, load_weights, read_history, write_history
from synth import folders
from synth.anomaly import Anomaly
from synth.errors import InputError

RIGHT = 1.5  # px from the centre within which an answer is right
HOPELESS = 3e-3  # a centre less likely than that is hardly learned from
NEAR = 8.0  # px around the centres of other regions that no answer is asked for
PIXELWISE = 0.5  # weight of the loss that asks each pixel, beside the one that asks the centre
SURVEY = 0.5  # weight of what the search needs
SLACK = 0.025  # share of the radius by which the search misses it
RIVALS = 20  # as many radii and ratios a search asks about, that one drawn at random stands for
LEAST_RIVAL = 20.0  # px, its radius
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
    """The pictures from ``start`` on, (1, 3, H, W) uint8, and their regions."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self._source, self._start, self._stop = source, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> tuple[Tensor, list[Anomaly]]:
        if index >= len(self):
            raise IndexError(index)
        index = (index + self._start) % len(self._source)
        if isinstance(self._source, Endless):
            image, regions = self._source.crowd(index)
        else:
            sample = self._source[index]
            assert sample.truth is not None
            image, regions = sample.image, [sample.truth]
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None], regions


def _alone(worker: int) -> None:
    """In a loader's worker: one thread, the network has the others."""
    torch.set_num_threads(1)


def possible(logits: Tensor, r: float, others: Sequence[Anomaly]) -> tuple[Tensor, Tensor, Tensor]:
    """(..., H, W) -> (..., h, w) of centres where r px fit, hardly any near ``others``; x and y."""
    rows, cols = (candidates(size, r) for size in logits.shape[-2:])
    y = torch.arange(logits.shape[-2], device=logits.device)[rows, None]
    x = torch.arange(logits.shape[-1], device=logits.device)[None, cols]
    logits = logits[..., rows, cols]
    for other in others:
        near = ((x - other.x).abs() < NEAR) & ((y - other.y).abs() < NEAR)
        logits = logits.masked_fill(near, -1e4)
    return logits, x, y


def centre_loss(
    logits: Tensor, region: Anomaly, others: Sequence[Anomaly], elsewhere: Tensor | None = None
) -> tuple[Tensor, float]:
    """(H, W) -> cross-entropy of the centre in nats, bounded, and the best pixel's distance, px.

    Args:
        elsewhere: () logit of all that is wrong at other radii and ratios.
    """
    logits, x, y = possible(logits, region.r, others)
    right = (x - region.x) ** 2 + (y - region.y) ** 2 <= RIGHT**2
    # Any of the pixels beside the centre will do: asking for a blur would forbid sharpness.
    wanted = logits.masked_fill(~right, -math.inf).flatten()
    all_ = torch.logsumexp(logits.flatten(), 0)
    if elsewhere is not None:
        all_ = torch.logaddexp(all_, elsewhere)
    loss = all_ - torch.logsumexp(wanted, 0)
    # A region that nobody could find must not drown what can be learned from the others.
    loss = -torch.logaddexp(-loss, torch.full_like(loss, math.log(HOPELESS)))
    row, col = divmod(int(logits.argmax()), logits.shape[1])
    return loss, math.hypot(float(x[0, col]) - region.x, float(y[row, 0]) - region.y)


def pixel_loss(evidence: Tensor, regions: Sequence[Anomaly]) -> Tensor:
    """(ARCS, H, W) -> nats: the last pixels inside against all pixels, each half the weight."""
    on_edge = []
    for region in regions:
        x, y = round(region.x), round(region.y)
        outline = SHAPES[region.shape == "square"]
        rows, cols, weights = outline(region.r, region.x - x, region.y - y)
        rows, cols = rows + y, cols + x
        there = (rows >= 0) & (rows < evidence.shape[1]) & (cols >= 0) & (cols < evidence.shape[2])
        along = evidence[:, rows[there], cols[there]]
        on_edge.append((along * torch.from_numpy(weights[there].T).to(along)).sum(0))
    return F.softplus(-torch.cat(on_edge)).mean() + F.softplus(evidence).mean()


def rival(regions: Sequence[Anomaly], size: tuple[int, int]) -> tuple[float, int]:
    """Regions of an image (H, W) -> a radius in px and the number of a hypothesis, at random.

    The regions alone decide, so that a run that was interrupted draws the same.
    """
    own = [abs(round(1000 * v)) for a in regions for v in (a.x, a.y, a.r)]
    rng = np.random.default_rng(own)
    largest = max(1.0, (min(size) - 1) / 2 - 1)
    r = math.exp(rng.uniform(math.log(min(LEAST_RIVAL, largest)), math.log(largest)))
    return r, int(rng.integers(len(HYPOTHESES)))


def wrong_ones(
    rules: Rules, evidence: Tensor, r: float, regions: Sequence[Anomaly], unit: int = 1
) -> Tensor:
    """(ARCS, H, W) of a rival and its radius in px -> () logit of all its centres.

    It counts for all rivals; none near the regions' own centres, where it may be right in part.
    """
    spectrum = torch.fft.rfft2(evidence.contiguous())
    sizes = (evidence.shape[-2], evidence.shape[-1])
    logits, _, _ = possible(rules.logits(counts(spectrum, r, sizes), r * unit), r, regions)
    return torch.logsumexp(logits.flatten(), 0) + math.log(RIVALS)


def vote_loss(
    rules: Rules,
    evidence: Tensor,
    regions: Sequence[Anomaly],
    unit: int = 1,
    slack: float = 0.0,
    elsewhere: Tensor | None = None,
) -> tuple[Tensor, list[float]]:
    """(ARCS, H, W), regions in its pixels -> nats, and the distance of each one's best pixel.

    Args:
        unit: px of the image that a pixel of the evidence is.
        slack: share by which the radius may be wrong, either way.
        elsewhere: of :func:`wrong_ones`.
    """
    sizes = (evidence.shape[1], evidence.shape[2])
    spectrum = torch.fft.rfft2(evidence.contiguous())
    losses, distances = [], []
    for number, region in enumerate(regions):
        r = region.r * (1 + slack * (2 * (region.x % 1) - 1))
        logits = rules.logits(counts(spectrum, r, sizes), r * unit)
        others = [*regions[:number], *regions[number + 1 :]]
        loss, distance = centre_loss(logits, region, others, elsewhere)
        losses.append(loss)
        distances.append(distance)
    return torch.stack(losses).mean(), distances


def shrunk(region: Anomaly) -> Anomaly:
    """A region in px -> the same in squares of POOL px."""
    x, y = ((value + 0.5) / POOL - 0.5 for value in (region.x, region.y))
    return dataclasses.replace(region, x=x, y=y, r=region.r / POOL, feather=0)


def lesson_loss(
    network: Trunk, image: Tensor, regions: Sequence[Anomaly]
) -> tuple[Tensor, list[float]]:
    """(1, 3, H, W) uint8 -> the loss of one picture, and each region's distance in px."""
    height, width = image.shape[2:]
    ratio = regions[0].discolor_ratio
    seen = network.seen(image.float())
    evidence = network.evidence(seen, [ratio])[0, 0, :, :height, :width]
    loss = PIXELWISE * pixel_loss(evidence, regions)
    if len(regions) > FEW:  # they are there for their edges
        return loss, []
    r, which = rival(regions, (height, width))
    other = network.evidence(seen, [HYPOTHESES[which]])[0, 0, :, :height, :width]
    wrong = wrong_ones(network.fine, other, r, regions)
    votes, distances = vote_loss(network.fine, evidence, regions, elsewhere=wrong)
    small = [shrunk(region) for region in regions]
    surveyed = network.surveyed(seen)[0]
    squares = surveyed[nearest(ratio)]
    wrong = wrong_ones(network.rough, surveyed[which], r / POOL, small, POOL)
    around, _ = vote_loss(network.rough, squares, small, POOL, SLACK, wrong)
    # Where a region lies on whole squares is not known: that is what they learn to bear.
    squarely = [dataclasses.replace(s, x=round(s.x), y=round(s.y)) for s in small]
    return loss + votes + SURVEY * (around + pixel_loss(squares, squarely)), distances


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
            row = {"train_loss": float(np.mean(losses))}
            if distances:
                row["train_distance"] = float(np.mean(distances))
            epoch = -(-(step + 1) // plan.every)
            _keep(network, optimiser, run, epoch, step + 1, row | _validate(network, val, device))
            losses, distances = [], []
    load_weights(network, run)


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
def _validate(network: Trunk, val: Lessons, device: torch.device) -> dict[str, float]:
    losses, distances = [], []
    for x, regions in (val[i] for i in range(len(val))):
        loss, far = lesson_loss(network, x.to(device), regions)
        losses.append(float(loss))
        distances += far
    return {"val_loss": float(np.mean(losses)), "val_distance": float(np.mean(distances))}
