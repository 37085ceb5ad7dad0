"""Fits the head for wrapped pixels to images whose clean twins show which pixels wrapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Source
from localize.methods.ringvote.wrapped import CELL, WrappedPixelHead
from synth.anomaly import mask
from synth.renderer import Sample

BATCH = 4  # images a step
LEARNING_RATE = 4e-3
WARM_UP = 30  # steps in which the learning rate rises
DECAY = 0.5  # share of the steps at the end in which it falls to 0
FEW = 5  # wrapped pixels of an image below which it is one without any
SHARE_WITHOUT = 0.15  # of the images without wrapped pixels that are used
SURE = 1.0  # code values by which a product must exceed 255, as the clean twin is compressed
NEGATIVE_WEIGHT = 30.0  # of the mean loss of the other pixels: few may be taken for wrapped
MOST_DRAWN = 12  # images drawn for each that is used; if more are needed, the source has too few
Labelled = tuple[Tensor, Tensor]


def wrapped_pixels(sample: Sample) -> np.ndarray:
    """-> (H, W) bool: the pixels of which at least one channel wrapped.

    None has where the sample has no clean twin or its anomaly does not wrap.
    """
    truth, clean = sample.truth, sample.clean
    if truth is None or clean is None or truth.overflow != "wrap":
        return np.zeros(sample.image.shape[:2], bool)
    products = np.rint(clean.max(2) * truth.discolor_ratio)
    wrapped: np.ndarray = mask(truth, *clean.shape[:2]) & (products > 255 + SURE)
    return wrapped


def labelled_images(source: Source, rng: np.random.Generator) -> Iterator[Labelled]:
    """Images of a source -> (3, H, W) float32 code values and (H, W) bool wrapped pixels.

    All images with wrapped pixels, and some of the others. It ends when too few have any.
    """
    used = 0
    for number in range(1 << 40):
        sample = source[number % len(source)]
        wrapped = wrapped_pixels(sample)
        if wrapped.sum() >= FEW or rng.random() < SHARE_WITHOUT:
            used += wrapped.sum() >= FEW
            height, width = (length // CELL * CELL for length in wrapped.shape)
            pixels = torch.from_numpy(np.array(sample.image[:height, :width]))
            yield pixels.permute(2, 0, 1).float(), torch.from_numpy(wrapped[:height, :width])
        if number >= 20 * MOST_DRAWN and used * MOST_DRAWN < number:
            return


def pixel_loss(log_odds: Tensor, wrapped: Tensor) -> Tensor:
    """(H, W) of an image -> () cross-entropy, the mean of its wrapped and of its other pixels."""
    positive = F.softplus(-log_odds[wrapped]).sum() / wrapped.sum().clamp(min=1)
    return positive + NEGATIVE_WEIGHT * F.softplus(log_odds[~wrapped]).mean()


def fit(
    head: WrappedPixelHead,
    source: Source,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> bool:
    """Fit the head -> whether the source has enough wrapped pixels; else the head is unchanged.

    Args:
        progress: called with the number of finished steps and of all.
    """
    images = labelled_images(source, np.random.default_rng(seed))
    device = head.out.weight.device
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE)
    start = {name: value.clone() for name, value in head.state_dict().items()}
    for step in range(steps):
        rate = min(1.0, (step + 1) / WARM_UP, (steps - step) / max(1.0, steps * DECAY))
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * rate
        optimiser.zero_grad()
        for _ in range(BATCH):
            drawn = next(images, None)
            if drawn is None:
                head.load_state_dict(start)
                return False
            pixels, wrapped = (each.to(device) for each in drawn)
            (pixel_loss(head(pixels[None])[0], wrapped) / BATCH).backward()
        optimiser.step()
        progress(step + 1, steps)
    return True
