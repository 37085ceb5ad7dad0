"""A second look: a small network judges the likeliest regions by what lies along their edges.

The sum of votes does not say where along the edge they came from. Here each candidate's edge
is unrolled into BINS directions: the evidence there and a few px to either side, and the step
that the grey levels show. A candidate's logit stands against 0, the logit of nothing at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.ringvote.voting import ARCS, SHAPES

BINS = 32  # directions from the centre
BESIDE = (-4, -2, -1, 0, 1, 2, 4)  # px from the edge at which the evidence is read
NEAR, FAR = (-1.5, 2.5), (-4.0, 5.0)  # px from the edge, inside and outside, of the grey levels
SEEN = len(BESIDE) + 7  # values a bin
FACTS = 5  # values a candidate
WIDTH = 24  # channels
BRIGHT = 250.0  # code values
NONE = -4.0  # logit of an image without a candidate
LIMIT = 4.0  # standard deviations, beyond which a value says no more


@dataclass(frozen=True)
class Candidate:
    """A region that may be there, px.

    Args:
        x, y: a whole pixel, the centre.
        logit: of the votes.
        square: which of the shapes it is likelier to be.
        ratio: the hypothesis under which it was found.
        which: the number of the evidence that it was found in.
        dark: found as a brighter surrounding: the ratio is below 1, the evidence of its inverse.
    """

    x: int
    y: int
    r: float
    logit: float = -math.inf
    square: bool = False
    ratio: float = 1.0
    which: int = 0
    dark: bool = False


def look(planes: np.ndarray, luma: np.ndarray, one: Candidate) -> np.ndarray:
    """(ARCS, H, W) evidence, (H, W) grey levels -> (BINS, SEEN) float32 along an edge."""
    shape = SHAPES[one.square]
    columns = []
    for beside in BESIDE:
        rows, cols, weights = shape(max(2.0, one.r + one.dark + beside))
        bins = _bins(rows, cols)
        # The surrounding's outside is the region's inside.
        weights = np.roll(weights, ARCS // 2, axis=1) if one.dark else weights
        ys, xs, known = _inside(rows + one.y, cols + one.x, luma.shape)
        evidence = np.einsum("an,na->n", planes[:, ys, xs], weights) * known
        columns.append(_average(bins, evidence))
        if beside == 0:
            columns.append(np.sqrt(_average(bins, evidence**2)))
    rows, cols, _ = shape(one.r)
    bins = _bins(rows, cols)
    greys = []
    for offset in (*NEAR, *FAR):  # the outline scaled about its centre
        scale = max(0.1, 1 + offset / max(1.0, one.r))
        ys, xs = np.rint(rows * scale).astype(int), np.rint(cols * scale).astype(int)
        ys, xs, _ = _inside(ys + one.y, xs + one.x, luma.shape)
        greys.append(luma[ys, xs])
    logs = [np.log(grey + 1) for grey in greys]
    wanted = math.log(one.ratio) or 1e-3
    near, far = (np.clip((logs[i] - logs[i + 1]) / wanted, -9, 9) for i in (0, 2))
    columns += [_average(bins, near), _average(bins, abs(near - 1)), _average(bins, far)]
    rough = np.log1p(20 * abs(logs[0] - logs[2]))
    columns += [_average(bins, rough), _average(bins, greys[0] / 64 - 2)]
    columns.append(_average(bins, (greys[0] >= BRIGHT).astype(float)))
    return np.stack(columns, 1).astype(np.float32)


def _bins(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    return (np.arctan2(rows, cols) / (2 * math.pi) * BINS).astype(int) % BINS


def _average(bins: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) bins and values -> (BINS,) means, 0 where there is none."""
    counted = np.bincount(bins, minlength=BINS)
    return np.bincount(bins, values, BINS) / np.maximum(1, counted)


def _inside(
    rows: np.ndarray, cols: np.ndarray, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns -> the nearest in the image, and which of them were in it."""
    ys, xs = np.clip(rows, 0, size[0] - 1), np.clip(cols, 0, size[1] - 1)
    return ys, xs, (ys == rows) & (xs == cols)


def facts(one: Candidate) -> list[float]:
    """A candidate -> FACTS numbers about it."""
    change = math.log(one.ratio)
    return [
        one.logit / 10,
        math.log(max(1.0, one.r) / 50),
        20 * abs(change),
        change < 0,
        one.square,
    ]


class Judge(nn.Module):
    """(N, BINS, SEEN), (N, FACTS) float32 -> (N,) logits, each against nothing at all."""

    middle: Tensor
    spread: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Of what is seen, over the lessons; set before training.
        self.register_buffer("middle", torch.zeros(SEEN))
        self.register_buffer("spread", torch.ones(SEEN))
        # From logits to odds that there is anything; set after training.
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))
        self.enter = nn.Conv1d(SEEN, WIDTH, 1)
        around = {"padding": 1, "padding_mode": "circular"}
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, **around) for _ in range(2))  # type: ignore[arg-type]
        self.join = nn.Linear(2 * WIDTH + FACTS, WIDTH)
        self.decide = nn.Linear(WIDTH, 1)
        self.trust = nn.Parameter(torch.tensor(4.0))  # in the votes, before it learns better
        nn.init.zeros_(self.decide.weight)
        nn.init.zeros_(self.decide.bias)

    def forward(self, seen: Tensor, facts: Tensor) -> Tensor:
        x = ((seen - self.middle) / self.spread).clamp(-LIMIT, LIMIT).transpose(1, 2)
        x = F.relu(self.enter(x))
        for layer in self.layers:
            x = F.relu(layer(x)) + x
        weakest = -torch.logsumexp(-4 * x, 2) / 4
        joined = F.relu(self.join(torch.cat([x.mean(2), weakest, facts.clamp(-5, 5)], 1)))
        logits: Tensor = self.trust * facts[:, 0] + self.decide(joined)[:, 0]
        return logits

    def odds(self, logits: Tensor) -> float:
        """(N,) logits of an image's candidates -> log odds that there is an anomaly."""
        return float(self.scale * self.total(logits) + self.shift)

    @staticmethod
    def total(logits: Tensor) -> Tensor:
        """(N,) logits of an image's candidates -> () logit of any; there may be none."""
        return torch.logsumexp(logits, 0) if len(logits) else logits.new_tensor(NONE)


@torch.inference_mode()
def judge(
    network: Judge, planes: np.ndarray, luma: np.ndarray, candidates: Sequence[Candidate]
) -> tuple[int, float]:
    """(which, ARCS, H, W), (H, W) and candidates -> the best one's number, log odds of any."""
    seen = np.stack([look(planes[one.which], luma, one) for one in candidates])
    given = torch.tensor([facts(one) for one in candidates], dtype=torch.float32)
    device = network.middle.device
    logits = network(torch.from_numpy(seen).to(device), given.to(device))
    return int(logits.argmax()), network.odds(logits)
