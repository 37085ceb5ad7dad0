"""The head: a small network from the features of an image to the log odds of an anomaly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.platt_scaling import PlattScaling
from localize.training.devices import bfloat16_is_fast

HIDDEN = 256  # units of the hidden layer
DROPOUT = 0.3
BATCH = 256  # images per step
EPOCHS, LEAST_STEPS = 8, 200  # of a training; a small set gets more epochs
RATE = 1e-3  # highest learning rate of AdamW
DECAYS = (0.01, 0.3)  # weight decays of which the validation loss chooses one
DECAY = 0.3  # without validation images of both kinds
LEAST_SPREAD = 1e-6  # of a feature, which is divided by it


@dataclass(frozen=True)
class Examples:
    """Features of clean and anomalous images.

    Args:
        rows: (N, D) float32 features.
        labels: (N,) float32: 1 for an image with an anomaly, else 0.
    """

    rows: Tensor
    labels: Tensor

    @classmethod
    def of(cls, clean: Tensor, anomalous: Tensor) -> Examples:
        """(n, D) features of clean images, (m, D) of those with an anomaly -> the examples."""
        labels = torch.cat([torch.zeros(len(clean)), torch.ones(len(anomalous))])
        return cls(torch.cat([clean, anomalous]), labels)

    @property
    def has_both(self) -> bool:
        """Whether there are images of both kinds."""
        return bool(len(self.labels)) and bool(self.labels.min() < self.labels.max())


def class_weights(labels: Tensor) -> Tensor:
    """(N,) labels -> (N,) weights with mean 1, with equal sums for both kinds of images.

    >>> class_weights(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    tensor([0.6667, 0.6667, 0.6667, 2.0000])
    """
    share = labels.mean()
    return torch.where(labels == 1, 0.5 / share, 0.5 / (1 - share))


class Head(nn.Module):
    """(N, D) features -> (N,) natural log odds of an anomaly, if half of the images have one.

    The features are standardised with the mean and spread of the training images. ``platt`` is
    fitted to validation images after the training.

    Args:
        length: number of features.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("spread", torch.ones(length))
        self.layers = nn.Sequential(
            nn.Dropout(DROPOUT / 2),
            nn.Linear(length, HIDDEN),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, 1),
        )
        self.platt = PlattScaling(1)

    def logits(self, rows: Tensor) -> Tensor:
        """(N, D) features -> (N,) log odds before the Platt scaling."""
        values: Tensor = self.layers((rows - self.mean) / self.spread)[:, 0]
        return values

    def forward(self, rows: Tensor) -> Tensor:
        log_odds: Tensor = self.platt(self.logits(rows)[:, None])
        return log_odds

    def standardise(self, rows: Tensor) -> None:
        """Standardise features as those of these images, (N, D)."""
        self.mean.copy_(rows.mean(0))
        self.spread.copy_(rows.std(0, correction=0).clamp_min(LEAST_SPREAD))

    @torch.no_grad()
    def calibrate(self, val: Examples) -> None:
        """Fit the Platt scaling to images that the head was not trained on."""
        weights = class_weights(val.labels)
        self.platt.fit(self.logits(val.rows)[:, None], val.labels == 1, weights)


@dataclass(frozen=True)
class Trained:
    """A head, and how it was chosen.

    Args:
        decay: its weight decay.
        losses: weight decay -> weighted log loss of the validation images, in nats.
        is_calibrated: whether the Platt scaling is fitted.
    """

    head: Head
    decay: float
    losses: dict[float, float]
    is_calibrated: bool


def fit_head(
    train: Examples,
    val: Examples,
    seed: int,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Train a head on labelled features; choose the weight decay and calibrate on ``val``.

    Both kinds of images have the same weight in all losses, however many there are. The result
    depends on the features and the seed alone. If ``val`` lacks one kind of images, the weight
    decay is DECAY and the head is not calibrated.

    Args:
        progress: called with the number of finished trainings and of all.
    """
    decays = DECAYS if val.has_both else (DECAY,)
    heads: dict[float, Head] = {}
    losses: dict[float, float] = {}
    for done, decay in enumerate(decays):
        heads[decay] = _train(train, decay, seed, device)
        losses[decay] = log_loss(heads[decay], val) if val.has_both else 0.0
        progress(done + 1, len(decays))
    decay = min(decays, key=lambda each: losses[each])
    head = heads[decay]
    if val.has_both:
        head.calibrate(val)
    return Trained(head, decay, losses if val.has_both else {}, val.has_both)


@torch.no_grad()
def log_loss(head: Head, examples: Examples) -> float:
    """The weighted log loss of the calibrated log odds of examples of both kinds, nats."""
    scaled = PlattScaling(1)
    logits, weights = head.logits(examples.rows)[:, None], class_weights(examples.labels)
    scaled.fit(logits, examples.labels == 1, weights)
    return float(F.binary_cross_entropy_with_logits(scaled(logits), examples.labels, weights))


def _train(train: Examples, decay: float, seed: int, device: torch.device) -> Head:
    """A head after a training with AdamW; the learning rate rises first and then falls to 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = Head(train.rows.shape[1])
        head.standardise(train.rows)
        head.to(device).train()
        rows, labels = train.rows.to(device), train.labels.to(device)
        weights = class_weights(labels)
        batch = min(BATCH, len(rows))
        per_epoch = len(rows) // batch
        epochs = max(EPOCHS, -(-LEAST_STEPS // per_epoch))
        optimiser = torch.optim.AdamW(
            head.layers.parameters(), lr=RATE, weight_decay=decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, epochs * per_epoch)
        for _ in range(epochs):
            order = torch.randperm(len(rows)).to(device)
            for chosen in order[: per_epoch * batch].split(batch):
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_is_fast(device)):
                    logits = head.logits(rows[chosen])
                loss = F.binary_cross_entropy_with_logits(
                    logits.float(), labels[chosen], weights[chosen]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return head.eval().cpu()


def describe(trained: Trained, images: dict[str, int], finetuned: bool) -> dict[str, Any]:
    """The entries of ``model.json`` about a trained head.

    Args:
        images: number of training images that are ``clean`` and ``anomalous``.
        finetuned: whether the backbone was trained too.
    """
    what = "head and last layers of the backbone" if finetuned else "head"
    calibration = (
        "scores are log odds, calibrated on the val split"
        if trained.is_calibrated
        else "scores are not calibrated: the val split needs images with and without an anomaly"
    )
    return {
        "weight_decay": trained.decay,
        "val_loss_by_weight_decay": {str(decay): loss for decay, loss in trained.losses.items()},
        "calibrated": trained.is_calibrated,
        "trained": f"{what}, trained on {images['clean']} clean and {images['anomalous']} "
        f"anomalous images; {calibration}",
    }
