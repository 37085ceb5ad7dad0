"""Batches of images with targets, prepared by the loader's workers.

For each region the pixels of its outline and the kernels of its votes are computed here, so that
a fast device does not wait for it. Each image also has a hard negative: a radius and a ratio at
which it has no region.
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

from localize.data.recipe_stages import FEW_REGIONS
from localize.localizer import Source
from localize.methods.hough.candidates import possible_centres
from localize.methods.hough.outlines import KINDS, PLANES, SHAPES
from localize.methods.hough.voting import kernel_places
from localize.methods.ringvote.network import (
    BANDS,
    HYPOTHESES,
    POOL,
    band,
    head_mix,
    nearest_hypothesis,
)
from synth.anomaly import Anomaly

RADIUS_ERROR = 0.025  # share of the radius by which a search's nearest radius may be wrong
LEAST_NEGATIVE = 20.0  # px, radius of a hard negative
NOWHERE = -1e6  # px, coordinates of a centre that does not exist
LabelledImage = tuple[np.ndarray, list[Anomaly]]


@dataclass(frozen=True)
class EdgeTargets:
    """The last pixels inside the regions of a batch; n of them.

    Args:
        at: (n,) indices into evidence of (B, bands, H, W), flattened; its bands are those of the
            batch's radii.
        weights: (n, KINDS), the kinds of edge that a pixel belongs to.
        shares: (n,), weight of a pixel in the mean over its image's pixels and over the images.
        bands: (B, bands), sums of these shares.
    """

    at: Tensor
    weights: Tensor
    shares: Tensor
    bands: Tensor


@dataclass(frozen=True)
class CentreTargets:
    """The centres of N regions and hard negatives.

    Args:
        image: (N,), index of the image.
        plane: (N,), which evidence of the image votes: a band's, or, the last, the negative's.
        r: (N,) radius in pixels of the evidence.
        centre: (N, 2), x and y; NOWHERE for a hard negative.
        others: (N, FEW_REGIONS, 2), centres of the image's other regions: no wrong answers.
        rows, cols: (N, 2), the first possible centre and the one after the last.
        shares: (N,), weight of the answer in the mean over its image's regions and over the
            images; 0 for a hard negative.
        at, weights: (m,) places in kernels of (N, KINDS, H, W), flattened, and their values.
        starts: N + 1 indices into ``at``: where the places of each target begin.
    """

    image: Tensor
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
class Batch:
    """Images of one size and their targets.

    Args:
        images: (B, 3, H, W) uint8.
        mix: (B, bands + 1, STEPS, all bands) of :func:`head_mix`: of the regions' ratio in each
            band of the batch's radii, and of the hard negative's ratio and band.
        coarse_planes: (B, bands + 1), the indices of hypothesis and band of the coarse head,
            flattened, that serve these.
        edges, centres: targets of the evidence per pixel.
        coarse_edges, coarse_centres: the same for squares of POOL px.
    """

    images: Tensor
    mix: Tensor
    coarse_planes: Tensor
    edges: EdgeTargets
    coarse_edges: EdgeTargets
    centres: CentreTargets
    coarse_centres: CentreTargets


class Batches(Dataset[list[Batch]]):
    """The images of a source from number ``start`` to ``stop``, in batches.

    An item is one batch in several parts, each of images of one size.

    Args:
        batch: images in a batch.
        part: images in a part, at most; on a CPU one image at a time is faster.
    """

    def __init__(self, source: Source, start: int, stop: int, batch: int, part: int) -> None:
        self._source, self._start, self._stop = source, start, stop
        self._batch, self._part = batch, part

    def __len__(self) -> int:
        return -(-(self._stop - self._start) // self._batch)

    def __getitem__(self, index: int) -> list[Batch]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        first = self._start + index * self._batch
        by_size: dict[tuple[int, ...], list[LabelledImage]] = {}
        for number in range(first, min(self._stop, first + self._batch)):
            drawn = draw_image(self._source, number)
            by_size.setdefault(drawn[0].shape, []).append(drawn)
        return [
            make_batch(images[begin : begin + self._part])
            for images in by_size.values()
            for begin in range(0, len(images), self._part)
        ]

    def __iter__(self) -> Iterator[list[Batch]]:
        return (self[index] for index in range(len(self)))


def draw_image(source: Source, number: int) -> LabelledImage:
    """An image of a source, (H, W, 3) uint8, and its regions, all of one ratio."""
    return source.multi_region(number % len(source))


def make_batch(images: Sequence[LabelledImage]) -> Batch:
    """Images (H, W, 3) uint8 of one size with their regions -> a batch."""
    height, width = images[0][0].shape[:2]
    regions = [each for _, each in images]
    negatives = [hard_negative(each, (height, width)) for each in regions]
    pixels = np.stack([image for image, _ in images]).transpose(0, 3, 1, 2)
    coarse_size = -(-height // POOL), -(-width // POOL)
    coarse = [[in_squares(region) for region in each] for each in regions]
    # A search knows centres to a square and radii to a few percent, so the heads learn from such.
    rounded = [[_round_centre(region) for region in each] for each in coarse]
    inexact = [[_change_radius(region) for region in each] for each in coarse]
    bands = sorted({band(region.r) for each in regions for region in each})
    mixes, planes = [], []
    for each, (r, hypothesis) in zip(regions, negatives, strict=True):
        ratio = each[0].discolor_ratio
        mixes.append(head_mix([*((ratio, n) for n in bands), (HYPOTHESES[hypothesis], band(r))]))
        conditions = [*((nearest_hypothesis(ratio), n) for n in bands), (hypothesis, band(r))]
        planes.append([number * (len(BANDS) + 1) + n for number, n in conditions])
    radii = [r for r, _ in negatives]
    return Batch(
        images=torch.from_numpy(np.ascontiguousarray(pixels)),
        mix=torch.stack(mixes),
        coarse_planes=torch.tensor(planes),
        edges=edge_targets(regions, bands, (height, width)),
        coarse_edges=edge_targets(rounded, bands, coarse_size, POOL),
        centres=centre_targets(regions, bands, radii, (height, width)),
        coarse_centres=centre_targets(inexact, bands, [r / POOL for r in radii], coarse_size, POOL),
    )


def in_squares(region: Anomaly) -> Anomaly:
    """A region in px -> the same in squares of POOL px."""
    x, y = ((value + 0.5) / POOL - 0.5 for value in (region.x, region.y))
    return dataclasses.replace(region, x=x, y=y, r=region.r / POOL, feather=0)


def _round_centre(region: Anomaly) -> Anomaly:
    return dataclasses.replace(region, x=round(region.x), y=round(region.y))


def _change_radius(region: Anomaly) -> Anomaly:
    """The same with a wrong radius; the error is drawn from the fraction of x, to be repeatable."""
    error = RADIUS_ERROR * (2 * (region.x % 1) - 1)
    return dataclasses.replace(region, r=region.r * (1 + error))


def hard_negative(regions: Sequence[Anomaly], size: tuple[int, int]) -> tuple[float, int]:
    """Regions of an image (H, W) -> a random radius in px and number of a hypothesis.

    Seeded by the regions alone, so that a run that was interrupted draws the same again.
    """
    seed = [abs(round(1000 * v)) for region in regions for v in (region.x, region.y, region.r)]
    rng = np.random.default_rng(seed)
    largest = max(1.0, (min(size) - 1) / 2 - 1)
    r = math.exp(rng.uniform(math.log(min(LEAST_NEGATIVE, largest)), math.log(largest)))
    return r, int(rng.integers(len(HYPOTHESES)))


def edge_targets(
    regions: Sequence[Sequence[Anomaly]],
    bands: Sequence[int],
    size: tuple[int, int],
    unit: int = 1,
) -> EdgeTargets:
    """The regions of each image -> their last pixels inside.

    Args:
        regions: in pixels of the evidence.
        bands: of the batch's radii.
        size: H and W of the evidence.
        unit: px of the image along a pixel of the evidence.
    """
    at, weights, shares = [], [], []
    band_shares = np.zeros((len(regions), len(bands)), np.float32)
    for number, of_image in enumerate(regions):
        counts = []
        for region in of_image:
            square, plane = region.shape == "square", _nearest_band(bands, region.r * unit)
            x, y = round(region.x), round(region.y)
            rows, cols, outward = SHAPES[square](region.r, region.x - x, region.y - y)
            rows, cols = rows + y, cols + x
            inside = (rows >= 0) & (rows < size[0]) & (cols >= 0) & (cols < size[1])
            first = (number * len(bands) + plane) * size[0]
            at.append((first + rows[inside]) * size[1] + cols[inside])
            kinds = np.zeros((len(at[-1]), KINDS), np.float32)
            kinds[:, PLANES[square]] = outward[inside]
            weights.append(kinds)
            counts.append((plane, len(at[-1])))
        share = 1 / max(1, sum(count for _, count in counts)) / len(regions)
        for plane, count in counts:
            shares.append(np.full(count, share, np.float32))
            band_shares[number, plane] += count * share
    places, kinds_of, shares_of = (
        torch.from_numpy(np.concatenate(each)) for each in (at, weights, shares)
    )
    return EdgeTargets(places, kinds_of, shares_of, torch.from_numpy(band_shares))


def _nearest_band(bands: Sequence[int], r: float) -> int:
    """The index of a radius' band, px; of the nearest one, as changed radii may leave theirs."""
    return min(range(len(bands)), key=lambda n: abs(bands[n] - band(r)))


def centre_targets(
    regions: Sequence[Sequence[Anomaly]],
    bands: Sequence[int],
    negatives: Sequence[float],
    size: tuple[int, int],
    unit: int = 1,
) -> CentreTargets:
    """The regions and the hard negative's radius of each image -> the centres to learn.

    An image of more than FEW_REGIONS regions has no centres to learn, only edges.

    Args:
        regions, negatives: in pixels of the evidence.
        bands, size, unit: as of :func:`edge_targets`.
    """
    image, plane, r, centre, others, shares = [], [], [], [], [], []
    for number, (of_image, negative) in enumerate(zip(regions, negatives, strict=True)):
        if len(of_image) > FEW_REGIONS:
            continue
        centres = [(region.x, region.y) for region in of_image]
        for which, region in enumerate(of_image):
            image.append(number)
            plane.append(_nearest_band(bands, region.r * unit))
            r.append(region.r)
            centre.append(centres[which])
            others.append(_pad_centres(centres[:which] + centres[which + 1 :]))
            shares.append(1 / len(of_image) / len(regions))
        image.append(number)
        plane.append(len(bands))
        r.append(negative)
        centre.append((NOWHERE, NOWHERE))
        others.append(_pad_centres(centres))
        shares.append(0.0)
    at, weights, starts = _stack_kernels(r, size)
    spans = [[possible_centres(side, each) for each in r] for side in size]
    rows, cols = ([(each.start, each.stop) for each in of_side] for of_side in spans)
    return CentreTargets(
        image=torch.tensor(image, dtype=torch.long),
        plane=torch.tensor(plane, dtype=torch.long),
        r=torch.tensor(r, dtype=torch.float32),
        centre=torch.tensor(centre, dtype=torch.float32).view(-1, 2),
        others=torch.tensor(others, dtype=torch.float32).view(-1, FEW_REGIONS, 2),
        rows=torch.tensor(rows, dtype=torch.long).view(-1, 2),
        cols=torch.tensor(cols, dtype=torch.long).view(-1, 2),
        shares=torch.tensor(shares, dtype=torch.float32),
        at=torch.from_numpy(at),
        weights=torch.from_numpy(weights),
        starts=starts,
    )


def _pad_centres(centres: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return centres + [(NOWHERE, NOWHERE)] * (FEW_REGIONS - len(centres))


def _stack_kernels(
    radii: Sequence[float], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """N radii -> ``at``, ``weights`` and ``starts`` of :class:`CentreTargets`."""
    at, weights, starts = [np.empty(0, np.int64)], [np.empty(0, np.float32)], [0]
    for number, r in enumerate(radii):
        count = 0
        for shape in range(len(SHAPES)):
            kinds, places, of_votes = kernel_places(shape, r, size)
            at.append((number * KINDS + kinds) * (size[0] * size[1]) + places)
            weights.append(of_votes)
            count += len(places)
        starts.append(starts[-1] + count)
    return np.concatenate(at), np.concatenate(weights), tuple(starts)
