"""Several looks: the mean of what is seen of a picture and of its mirror images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize import registry
from localize.localizer import Told
from localize.methods.hough.voting import KINDS, circle, square
from localize.methods.ringvote import predict_told, tta
from localize.methods.ringvote.network import CELL, Trunk, mixed
from synth import anomaly, renderer, scenes
from synth.anomaly import Anomaly

KIND = (1.1, 1)
Looking = Callable[[Trunk, int], Trunk]


def pixels(height: int = 40, width: int = 56) -> torch.Tensor:
    image = np.random.default_rng(0).integers(0, 256, (1, 3, height, width))
    return torch.from_numpy(image).float()


@torch.inference_mode()
def shown(network: Trunk, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (KINDS, H, W) evidence of KIND and (n, KINDS, h, w) that of the search."""
    seen = network.seen(rgb)
    return network.evidence(seen, mixed([KIND])[None])[0, 0], network.surveyed(seen)[0].flatten(
        0, 1
    )


@pytest.mark.parametrize("flip", tta.FLIPS)
def test_directions_are_those_of_the_mirror(flip: tuple[int, ...]) -> None:
    """An outline, mirrored, is the same outline with its kinds exchanged."""
    order = tta.exchanged(flip)
    for outline, kinds in ((circle, order[:8]), (square, [kind - 8 for kind in order[8:]])):
        planes = []
        for away in (False, True):
            rows, cols, weights = outline(9.5)
            rows = -rows if away and tta.ROWS in flip else rows
            cols = -cols if away and tta.COLS in flip else cols
            planes.append(np.zeros((weights.shape[1], 31, 31)))
            for plane, weight in zip(planes[-1], weights.T, strict=True):
                np.add.at(plane, (rows + 15, cols + 15), weight)
        assert np.allclose(planes[1][kinds], planes[0])


@pytest.mark.parametrize("flip", tta.FLIPS)
def test_all_looks_see_in_a_mirror_what_they_see(
    flip: tuple[int, ...], lively: Trunk, looking: Looking
) -> None:
    """One look does not; the mean of all is the same but for the exchange, to rounding."""
    order, space = tta.exchanged(flip), [dimension - 4 for dimension in flip]
    for times, alike in ((tta.MOST, True), (1, not flip)):
        network = looking(lively, times)
        for ours, theirs in zip(
            shown(network, pixels()), shown(network, pixels().flip(flip)), strict=True
        ):
            back = theirs.index_select(theirs.ndim - 3, torch.tensor(order)).flip(space)
            assert torch.allclose(ours, back, atol=1e-3) == alike


def test_the_mean_is_of_each_look(lively: Trunk, looking: Looking) -> None:
    rgb, means = pixels(), []
    for flip in tta.FLIPS[:2]:
        planes = shown(lively, rgb.flip(flip))[0]
        means.append(planes[tta.exchanged(flip)].flip([each - 4 for each in flip]))
    two = looking(lively, 2)
    assert two.channels == 2 * lively.width
    assert torch.allclose(shown(two, rgb)[0], sum(means) / 2, atol=1e-3)


def test_an_odd_picture_in_strips_is_seen_as_the_whole(
    lively: Trunk, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirrored, its last rows come first: the cells must be the same ones."""
    network = looking(lively, tta.MOST)
    image = pixels(223, 37)[0].permute(1, 2, 0).numpy().astype(np.uint8)
    whole = predict_told.looked(network, image)
    assert whole.shape == (1, network.channels, 224 // CELL, 40 // CELL)
    planes = predict_told.evidence(network, whole, *KIND)
    assert planes.shape == (KINDS, 224, 40)
    monkeypatch.setattr(predict_told, "STRIP", 37 * 24)
    assert torch.allclose(predict_told.looked(network, image), whole, atol=1e-3)
    assert torch.allclose(predict_told.evidence(network, whole, *KIND), planes, atol=1e-3)


@pytest.mark.parametrize("name", ["ringvote-careful-told", "ringvote-careful"])
def test_the_careful_ones_find(name: str) -> None:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(91, 72, 34, 1.12)
    image = renderer.decode(renderer.encode(anomaly.apply(photo, truth), "jpeg", 90))
    method = registry.load(name, device="cpu")
    told = [Told(truth.r, truth.discolor_ratio)] if method.told else None
    found = method.locate([image], told)[0]
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
    assert method.parameters == registry.load("ringvote", device="cpu").parameters
