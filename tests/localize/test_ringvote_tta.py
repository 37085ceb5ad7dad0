"""Test-time augmentation: the mean of the evidence of an image and its mirror images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize import registry
from localize.localizer import Told
from localize.methods.hough.mirroring import COLS, FLIPS, ROWS, mirrored_kinds
from localize.methods.hough.outlines import KINDS, circle, square
from localize.methods.ringvote import evidence, tta
from localize.methods.ringvote.network import CELL, RingVoteNet, head_mix
from synth import anomaly, renderer, scenes
from synth.anomaly import Anomaly

CONDITION = (1.1, 1)
WithViews = Callable[[RingVoteNet, int], RingVoteNet]


def pixels(height: int = 40, width: int = 56) -> torch.Tensor:
    image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width))
    return torch.from_numpy(image).float()


@torch.inference_mode()
def both_evidences(network: RingVoteNet, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (KINDS, H, W) evidence of CONDITION and (n, KINDS, h, w) coarse evidence."""
    encoding = network.encode(rgb)
    fine = network.evidence(encoding, head_mix([CONDITION])[None])[0, 0]
    return fine, network.coarse_evidence(encoding)[0].flatten(0, 1)


@pytest.mark.parametrize("flip", FLIPS)
def test_a_mirrored_outline_is_the_outline_with_mirrored_kinds(flip: tuple[int, ...]) -> None:
    order = mirrored_kinds(flip)
    for outline, kinds in ((circle, order[:8]), (square, [kind - 8 for kind in order[8:]])):
        planes = []
        for mirror in (False, True):
            rows, cols, weights = outline(9.5)
            rows = -rows if mirror and ROWS in flip else rows
            cols = -cols if mirror and COLS in flip else cols
            planes.append(np.zeros((weights.shape[1], 31, 31)))
            for plane, weight in zip(planes[-1], weights.T, strict=True):
                np.add.at(plane, (rows + 15, cols + 15), weight)
        assert np.allclose(planes[1][kinds], planes[0])


@pytest.mark.parametrize("flip", FLIPS)
def test_the_mean_of_all_views_is_the_same_for_the_mirror_image(
    flip: tuple[int, ...], lively: RingVoteNet, with_views: WithViews
) -> None:
    """Apart from the order of the kinds, to rounding. One view alone is not."""
    order, space = mirrored_kinds(flip), [dimension - 4 for dimension in flip]
    for views, same in ((tta.MOST, True), (1, not flip)):
        network = with_views(lively, views)
        for planes, mirrored in zip(
            both_evidences(network, pixels()),
            both_evidences(network, pixels().flip(flip)),
            strict=True,
        ):
            back = mirrored.index_select(mirrored.ndim - 3, torch.tensor(order)).flip(space)
            assert torch.allclose(planes, back, atol=1e-3) == same


def test_the_mean_is_that_of_each_view(lively: RingVoteNet, with_views: WithViews) -> None:
    rgb, views = pixels(), []
    for flip in FLIPS[:2]:
        planes = both_evidences(lively, rgb.flip(flip))[0]
        views.append(planes[mirrored_kinds(flip)].flip([each - 4 for each in flip]))
    two = with_views(lively, 2)
    assert two.channels == 2 * lively.width
    assert torch.allclose(both_evidences(two, rgb)[0], sum(views) / 2, atol=1e-3)


def test_strips_of_an_image_of_odd_size_give_its_evidence(
    lively: RingVoteNet, with_views: WithViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a mirror image the last rows come first: the cells must be the same ones."""
    network = with_views(lively, tta.MOST)
    image = pixels(223, 37)[0].permute(1, 2, 0).numpy().astype(np.uint8)
    whole = evidence.encode_image(network, image)
    assert whole.shape == (1, network.channels, 224 // CELL, 40 // CELL)
    planes = evidence.evidence_of(network, whole, *CONDITION)
    assert planes.shape == (KINDS, 224, 40)
    monkeypatch.setattr(evidence, "STRIP", 37 * 24)
    assert torch.allclose(evidence.encode_image(network, image), whole, atol=1e-3)
    assert torch.allclose(evidence.evidence_of(network, whole, *CONDITION), planes, atol=1e-3)


@pytest.mark.parametrize("name", ["ringvote-careful-told", "ringvote-careful"])
def test_the_careful_forms_find_the_region(name: str) -> None:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(91, 72, 34, 1.12)
    image = renderer.decode(renderer.encode(anomaly.apply(photo, truth), "jpeg", 90))
    method = registry.load(name, device="cpu")
    told = [Told(truth.r, truth.discolor_ratio)] if method.told else None
    found = method.locate([image], told)[0]
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
    assert method.parameters == registry.load("ringvote", device="cpu").parameters
