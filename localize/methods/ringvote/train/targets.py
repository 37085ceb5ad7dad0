"""What the network learns from: batches of pictures, drawn and prepared beside the training.

Where the votes for each region lie is worked out here, by the loader's workers, so that a fast
device does not wait for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from localize.data.endless import FEW
from localize.localizer import Source
from localize.methods.boundary import candidates
from localize.methods.hough.voting import KINDS, PLANES, SHAPES
from localize.methods.ringvote.network import BANDS, HYPOTHESES, POOL, band, mixed, nearest
from synth.anomaly import Anomaly

SLACK = 0.025  # share of the radius by which the search misses it
LEAST_RIVAL = 20.0  # px, its radius
NOWHERE = -1e6  # px, of a region that is not there


@dataclass(frozen=True)
class Edges:
    """The last pixels inside of regions.

    Args:
        at: (n,) places in (B, bands, H, W), flattened; of the bands, those of the batch's radii.
        weights: (n, KINDS), which directions are outward there.
        shares: (n,), of the pixel in the mean over its picture's and over the pictures.
        bands: (B, bands), the sums of these.
    """

    at: Tensor
    weights: Tensor
    shares: Tensor
    bands: Tensor


@dataclass(frozen=True)
class Asked:
    """N centres that are asked for: of regions, and of rivals that nothing is the centre of.

    Args:
        picture: (N,), whose evidence votes.
        plane: (N,), which of it: a band's, or, the last, the rival's.
        r: (N,) radius in pixels of the evidence.
        centre: (N, 2), x and y; a rival's is NOWHERE.
        others: (N, FEW, 2), centres of regions that are no wrong answer.
        rows, cols: (N, 2), the first possible centre and the one behind the last.
        shares: (N,), of the answer in the mean over its picture's and over the pictures.
        at, weights: (m,) places in (N, KINDS, H, W), flattened, and what their pixels count.
        starts: N + 1 numbers: where in ``at`` each one's begin.
    """

    picture: Tensor
    plane: Tensor
    r: Tensor
    centre: Tensor
    others: Tensor
    rows: Tensor
    cols: Tensor
    shares: Tensor
    at: Tensor
    weights: Tensor
    starts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.r)


@dataclass(frozen=True)
class Lesson:
    """A batch.

    Args:
        images: (B, 3, H, W) uint8.
        mix: (B, bands + 1, STEPS, all bands): of the regions' ratio in each band that a radius
            of the batch is of, and of a rival's.
        planes: (B, bands + 1), the ones of the search's that serve these.
        edges, squares: where the regions end, in px and in squares of POOL px.
        fine, rough: which centres are asked for, likewise.
    """

    images: Tensor
    mix: Tensor
    planes: Tensor
    edges: Edges
    squares: Edges
    fine: Asked
    rough: Asked


class Lessons(Dataset[list[Lesson]]):
    """Batches of the pictures from ``start`` to ``stop``, in parts of one size.

    Args:
        together: pictures in a part, at most: one after the other need less work, on a CPU.
    """

    def __init__(self, source: Source, start: int, stop: int, batch: int, together: int) -> None:
        self._source, self._start, self._stop = source, start, stop
        self._batch, self._together = batch, together

    def __len__(self) -> int:
        return -(-(self._stop - self._start) // self._batch)

    def __getitem__(self, index: int) -> list[Lesson]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = self._start + index * self._batch
        pictures = [
            picture(self._source, n) for n in range(first, min(self._stop, first + self._batch))
        ]
        alike: dict[tuple[int, ...], list[tuple[np.ndarray, list[Anomaly]]]] = {}
        for each in pictures:
            alike.setdefault(each[0].shape, []).append(each)
        return [
            lesson(each[begun : begun + self._together])
            for each in alike.values()
            for begun in range(0, len(each), self._together)
        ]

    def __iter__(self) -> Iterator[list[Lesson]]:
        return (self[index] for index in range(len(self)))


def picture(source: Source, number: int) -> tuple[np.ndarray, list[Anomaly]]:
    """A picture of a source, (H, W, 3) uint8, and its regions, all of one ratio."""
    return source.multi_region(number % len(source))


def lesson(pictures: Sequence[tuple[np.ndarray, list[Anomaly]]]) -> Lesson:
    """Pictures (H, W, 3) uint8 of one size and their regions -> a batch."""
    height, width = pictures[0][0].shape[:2]
    crowds = [regions for _, regions in pictures]
    small = [[shrunk(region) for region in regions] for regions in crowds]
    rivals = [rival(regions, (height, width)) for regions in crowds]
    own = [regions[0].discolor_ratio for regions in crowds]
    pixels = np.stack([image for image, _ in pictures]).transpose(0, 3, 1, 2)
    sizes = -(-height // POOL), -(-width // POOL)
    # Where a region lies on whole squares is not known: that is what they learn to bear.
    squarely = [[_squarely(region) for region in regions] for regions in small]
    slack = [[_slack(region) for region in regions] for regions in small]
    bands = sorted({band(region.r) for regions in crowds for region in regions})
    mixes, planes = [], []
    for ratio, (r, which) in zip(own, rivals, strict=True):
        mixes.append(mixed([*((ratio, n) for n in bands), (HYPOTHESES[which], band(r))]))
        numbers = [*((nearest(ratio), n) for n in bands), (which, band(r))]
        planes.append([hypothesis * (len(BANDS) + 1) + n for hypothesis, n in numbers])
    return Lesson(
        torch.from_numpy(np.ascontiguousarray(pixels)),
        torch.stack(mixes),
        torch.tensor(planes),
        edges(crowds, bands, (height, width)),
        edges(squarely, bands, sizes, POOL),
        asked(crowds, bands, [r for r, _ in rivals], (height, width)),
        asked(slack, bands, [r / POOL for r, _ in rivals], sizes, POOL),
    )


def shrunk(region: Anomaly) -> Anomaly:
    """A region in px -> the same in squares of POOL px."""
    x, y = ((value + 0.5) / POOL - 0.5 for value in (region.x, region.y))
    return dataclasses.replace(region, x=x, y=y, r=region.r / POOL, feather=0)


def _squarely(small: Anomaly) -> Anomaly:
    return dataclasses.replace(small, x=round(small.x), y=round(small.y))


def _slack(small: Anomaly) -> Anomaly:
    """Its radius is wrong, as the search's is, either way: by how much, the place decides."""
    return dataclasses.replace(small, r=small.r * (1 + SLACK * (2 * (small.x % 1) - 1)))


def rival(regions: Sequence[Anomaly], size: tuple[int, int]) -> tuple[float, int]:
    """Regions of an image (H, W) -> a radius in px and the number of a hypothesis, at random.

    The regions alone decide, so that a run that was interrupted draws the same.
    """
    own = [abs(round(1000 * v)) for a in regions for v in (a.x, a.y, a.r)]
    rng = np.random.default_rng(own)
    largest = max(1.0, (min(size) - 1) / 2 - 1)
    r = math.exp(rng.uniform(math.log(min(LEAST_RIVAL, largest)), math.log(largest)))
    return r, int(rng.integers(len(HYPOTHESES)))


def edges(
    crowds: Sequence[Sequence[Anomaly]],
    bands: Sequence[int],
    size: tuple[int, int],
    unit: int = 1,
) -> Edges:
    """The regions of each picture (H, W) of pixels of ``unit`` px -> their last pixels inside."""
    at, weights, shares = [], [], []
    parts = np.zeros((len(crowds), len(bands)), np.float32)
    for number, regions in enumerate(crowds):
        found = []
        for region in regions:
            square, which = region.shape == "square", _nearest(bands, region.r * unit)
            x, y = round(region.x), round(region.y)
            rows, cols, outward = SHAPES[square](region.r, region.x - x, region.y - y)
            rows, cols = rows + y, cols + x
            there = (rows >= 0) & (rows < size[0]) & (cols >= 0) & (cols < size[1])
            first = (number * len(bands) + which) * size[0]
            at.append((first + rows[there]) * size[1] + cols[there])
            kinds = np.zeros((len(at[-1]), KINDS), np.float32)
            kinds[:, PLANES[square]] = outward[there]
            weights.append(kinds)
            found.append((which, len(at[-1])))
        each = 1 / max(1, sum(count for _, count in found)) / len(crowds)
        for which, count in found:
            shares.append(np.full(count, each, np.float32))
            parts[number, which] += count * each
    places, outwards, share = (torch.from_numpy(np.concatenate(v)) for v in (at, weights, shares))
    return Edges(places, outwards, share, torch.from_numpy(parts))


def _nearest(bands: Sequence[int], r: float) -> int:
    """Where among the bands that of a radius in px is; the search's are wrong by a little."""
    return min(range(len(bands)), key=lambda n: abs(bands[n] - band(r)))


def asked(
    crowds: Sequence[Sequence[Anomaly]],
    bands: Sequence[int],
    rivals: Sequence[float],
    size: tuple[int, int],
    unit: int = 1,
) -> Asked:
    """The regions of each picture (H, W) and its rival's radius -> the centres to ask for.

    All in pixels of ``unit`` px.

    A crowd is there for its edges: no centre of it is asked for.
    """
    picture, plane, r, centre, others, shares = [], [], [], [], [], []
    for number, (regions, other) in enumerate(zip(crowds, rivals, strict=True)):
        if len(regions) > FEW:
            continue
        centres = [(region.x, region.y) for region in regions]
        for which, region in enumerate(regions):
            picture.append(number)
            plane.append(_nearest(bands, region.r * unit))
            r.append(region.r)
            centre.append(centres[which])
            others.append(_filled(centres[:which] + centres[which + 1 :]))
            shares.append(1 / len(regions) / len(crowds))
        picture.append(number)
        plane.append(len(bands))
        r.append(other)
        centre.append((NOWHERE, NOWHERE))
        others.append(_filled(centres))
        shares.append(0.0)
    at, weights, starts = _kernels(r, size)
    spans = [[_span(side, each) for each in r] for side in size]
    return Asked(
        torch.tensor(picture, dtype=torch.long),
        torch.tensor(plane, dtype=torch.long),
        torch.tensor(r, dtype=torch.float32),
        torch.tensor(centre, dtype=torch.float32).view(-1, 2),
        torch.tensor(others, dtype=torch.float32).view(-1, FEW, 2),
        torch.tensor(spans[0], dtype=torch.long).view(-1, 2),
        torch.tensor(spans[1], dtype=torch.long).view(-1, 2),
        torch.tensor(shares, dtype=torch.float32),
        torch.from_numpy(at),
        torch.from_numpy(weights),
        starts,
    )


def _filled(centres: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return centres + [(NOWHERE, NOWHERE)] * (FEW - len(centres))


def _span(side: int, r: float) -> tuple[int, int]:
    found = candidates(side, r)
    return found.start, found.stop


def _kernels(
    radii: Sequence[float], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """N radii -> the voters around (0, 0), as of :class:`Asked`: at, weights, starts."""
    at, weights, starts = [np.empty(0, np.int64)], [np.empty(0, np.float32)], [0]
    for number, r in enumerate(radii):
        begun = len(at)
        for shape, planes in zip(SHAPES, PLANES, strict=True):
            rows, cols, outward = shape(r)
            place = rows % size[0] * size[1] + cols % size[1]  # beyond 0 is the other end
            for plane, weight in enumerate(outward.T, number * KINDS + planes.start):
                at.append(plane * size[0] * size[1] + place[weight > 0])
                weights.append(weight[weight > 0])
        starts.append(starts[-1] + sum(map(len, at[begun:])))
    return np.concatenate(at), np.concatenate(weights), tuple(starts)
