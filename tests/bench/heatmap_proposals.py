"""Compares two ways to propose candidates to the outline votes of `ringvote`, image-only.

`pyramid` is the coarse-to-fine search of `ringvote`; `heatmap` takes the highest squares of the map
of `heatmap`, with their radii and ratios. Both lists are refined and compared by the same votes.

Usage: ``python tests/bench/heatmap_proposals.py DATASET --run RUN [--every N]``
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import localize
from localize.data.folder import Folder
from localize.evaluation.metrics import bootstrap
from localize.localizer import HIT_RADIUS
from localize.methods.heatmap.network import HeatmapNet, middles
from localize.methods.heatmap.prediction import maps_of
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of, non_max_suppression
from localize.methods.hough.refinement import refine
from localize.methods.ringvote.evidence import encode_image
from localize.methods.ringvote.network import HYPOTHESES, RingVoteNet, nearest_hypothesis
from localize.methods.ringvote.predict_image_only import (
    CHUNK,
    REFINEMENTS,
    evidence_window,
    find_candidates,
)
from localize.methods.ringvote.proposals import PROPOSED, SAME, group_by_condition

PEAKS = 24  # squares of the map whose regions are proposed
# Reach and step, px: the map is less exact than the pyramid's finest level.
FIRST_REFINEMENT = (8, 4)


@torch.inference_mode()
def peaks(network: HeatmapNet, image: np.ndarray, count: int = PEAKS) -> list[Candidate]:
    """(H, W, 3) uint8 -> the regions of the highest local maxima of the map."""
    maps = maps_of(network, image)
    rate = maps.log_rate[0]
    highest = F.max_pool2d(rate[None], 3, 1, 1)[0]
    places = torch.where(rate == highest, rate, -math.inf).flatten().topk(count).indices
    found = []
    for place in places.tolist():
        row, column = divmod(place, rate.shape[1])
        x = float(middles(rate.shape[1], rate.device)[column] + maps.offset[0, 0, row, column])
        y = float(middles(rate.shape[0], rate.device)[row] + maps.offset[0, 1, row, column])
        ratio = HYPOTHESES[nearest_hypothesis(math.exp(float(maps.log_ratio[0, row, column])))]
        r = math.exp(float(maps.log_radius[0, row, column]))
        x, y = (min(max(v, 0), n - 1) for v, n in zip((x, y), image.shape[1::-1], strict=True))
        found.append(Candidate(round(x), round(y), r, float(rate[row, column]), ratio=ratio))
    return found


@torch.inference_mode()
def vote(network: RingVoteNet, image: np.ndarray, proposed: Sequence[Candidate]) -> list[Candidate]:
    """The proposals, refined and compared by the outline votes, best first."""
    encoding: Tensor = encode_image(network, image)
    border = Border.of(image)
    refined: list[Candidate] = []
    for group in group_by_condition(proposed).values():
        evidence, top, left = evidence_window(network, encoding, border, group)
        for first in range(0, len(group), CHUNK):
            chunk = [one.translate(-left, -top) for one in group[first : first + CHUNK]]
            for reach, step in (FIRST_REFINEMENT, *REFINEMENTS):
                chunk = refine(network.aggregation, evidence, chunk, reach, step)
            refined += [one.translate(left, top) for one in chunk]
    fitting = (one for one in refined if one.logit > -math.inf)
    return non_max_suppression(fitting, PROPOSED, SAME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", required=True, help="run folder of heatmap")
    parser.add_argument("--every", type=int, default=1, help="use every N-th row")
    arguments = parser.parse_args()
    heatmap = localize.load(arguments.run).network  # type: ignore[attr-defined]
    ringvote = localize.load("ringvote").network  # type: ignore[attr-defined]
    source = Folder(arguments.dataset, "all")
    ways = {
        "pyramid": lambda image: find_candidates(ringvote, image)[2],
        "heatmap": lambda image: vote(ringvote, image, peaks(heatmap, image)),
        "heatmap alone": lambda image: peaks(heatmap, image, 1),
    }
    hits: dict[str, list[float]] = {name: [] for name in ways}
    proposed: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    photos = []
    for index in range(0, len(source), arguments.every):
        sample = source[index]
        truth = sample.truth
        assert truth is not None
        photos.append(sample.photo)
        for name, find in ways.items():
            start = time.perf_counter()
            candidates = find(sample.image)
            seconds[name].append(time.perf_counter() - start)
            distances = [math.hypot(one.x - truth.x, one.y - truth.y) for one in candidates]
            proposed[name].append(float(min(distances, default=math.inf) <= HIT_RADIUS))
            best = best_of(candidates, sample.image.shape[:2]) if candidates else None
            best = candidates[0] if best is not None and name == "heatmap alone" else best
            hit = best and math.hypot(best.x - truth.x, best.y - truth.y) <= HIT_RADIUS
            hits[name].append(float(bool(hit)))
    print(
        f"{len(photos)} rows of {arguments.dataset.name}; whole pixels, before the last refinement"
    )
    for name in ways:
        low, high = bootstrap(np.array(hits[name]), photos)
        print(
            f"{name:14} hit@5 {np.mean(hits[name]):.3f} [{low:.3f}, {high:.3f}]  "
            f"among the candidates {np.mean(proposed[name]):.3f}  "
            f"{statistics.median(seconds[name]):.2f} s"
        )


if __name__ == "__main__":
    main()
