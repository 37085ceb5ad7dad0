"""Wrapped pixels as evidence of the inside of a region."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize import registry
from localize.localizer import Told
from localize.methods.hough.candidates import Candidate
from localize.methods.ringvote import predict_told
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.train import wrapped as training
from localize.methods.ringvote.wrapped import (
    LEAST,
    WrappedPixelHead,
    WrappedPixels,
    find_wrapped_pixels,
)
from synth import scenes
from synth.anomaly import Anomaly, apply
from synth.renderer import Sample

SIZE = (120, 160)  # height, width
REGION = Anomaly(85, 60, 28, 1.12, "square", "wrap")


def bright_photo(seed: int) -> np.ndarray:
    """(H, W, 3) uint8: a procedural photo whose brightest pixels are near white."""
    photo = scenes.scene(SIZE[1], SIZE[0], np.random.default_rng(seed)).astype(float)
    return np.clip(photo * 250 / np.quantile(photo, 0.7), 0, 250).astype(np.uint8)


class Scenes:
    """Images with one region that wraps, and their clean twins."""

    def __init__(self, count: int, overflow: str = "wrap") -> None:
        self.count, self.overflow = count, overflow

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng, clean = np.random.default_rng([7, index]), bright_photo(index)
        r = float(rng.integers(20, 45))
        x, y = (float(rng.integers(r + 1, side - r - 1)) for side in reversed(SIZE))
        truth = Anomaly(x, y, r, 1.12, "square", self.overflow)  # type: ignore[arg-type]
        return Sample(apply(clean, truth), truth, clean)


@pytest.fixture(scope="module")
def fitted() -> WrappedPixelHead:
    torch.manual_seed(3)
    head = WrappedPixelHead()
    assert training.fit(head, Scenes(40), 60, 1, lambda done, all: None)  # type: ignore[arg-type]
    return head


def test_the_labels_are_the_pixels_that_wrapped() -> None:
    clean = bright_photo(3)
    image = apply(clean, REGION)
    found = training.wrapped_pixels(Sample(image, REGION, clean))
    fell = (image.astype(int) < clean.astype(int)).any(2)
    assert found.any()
    assert not (found & ~fell).any()
    assert (fell & ~found).sum() < 0.1 * fell.sum()
    clip = Anomaly(85, 60, 28, 1.12, "square", "clip")
    for sample in (
        Sample(image, REGION, None),
        Sample(image, None, clean),
        Sample(image, clip, clean),
    ):
        assert not training.wrapped_pixels(sample).any()


def test_a_fitted_head_finds_wrapped_pixels_of_other_photos(fitted: WrappedPixelHead) -> None:
    clean = bright_photo(101)
    image = apply(clean, REGION)
    wrapped = training.wrapped_pixels(Sample(image, REGION, clean))
    found = find_wrapped_pixels(fitted, image)
    assert found is not None
    assert found.plane.shape == SIZE
    assert found.plane[wrapped].mean() > 20 * found.plane[~wrapped].mean()


def test_an_unfitted_head_finds_none() -> None:
    assert find_wrapped_pixels(WrappedPixelHead(), apply(bright_photo(3), REGION)) is None


@pytest.mark.parametrize("size", [(33, 47), (64, 64), (9, 200)])
def test_strips_give_the_same_evidence(
    fitted: WrappedPixelHead, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for odd sizes."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image[:8, :8] = 250
    monkeypatch.setattr("localize.methods.ringvote.wrapped.LEAST", -1.0)
    whole = find_wrapped_pixels(fitted, image)
    monkeypatch.setattr("localize.methods.ringvote.wrapped.STRIP", 1)
    strips = find_wrapped_pixels(fitted, image)
    assert whole is not None
    assert strips is not None
    assert np.allclose(whole.plane, strips.plane, atol=1e-4)


def test_a_source_without_wrapped_pixels_leaves_the_head_as_it_is() -> None:
    head = WrappedPixelHead()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    clips = Scenes(40, "clip")
    assert not training.fit(head, clips, 1000, 1, lambda done, all: None)  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@given(total=st.floats(LEAST, 1e6), share=st.floats(0, 1), more=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_terms_rise_with_the_evidence_inside(total: float, share: float, more: float) -> None:
    pixels = WrappedPixels(np.full((1, 1), total, np.float32))
    inside = pixels.total * np.array([0, share, share + (1 - share) * more, 1])
    terms = pixels.terms(inside)
    assert terms[0] == pytest.approx(0, abs=1e-6)
    assert (np.diff(terms) >= -1e-9).all()
    assert np.isfinite(terms).all()


def test_squares_candidates_and_the_map_have_the_same_terms() -> None:
    plane = np.random.default_rng(5).random(SIZE).astype(np.float32)
    pixels = WrappedPixels(plane)
    lines = tuple(torch.tensor([each]) for each in (30, 20, 70, 60))
    of_square = float(pixels.square_terms(lines))
    one = pixels.add_to([Candidate(50, 40, 20.0, 1.5, True)])[0]
    assert one.logit == pytest.approx(1.5 + of_square, abs=1e-4)
    assert pixels.map(20.0)[40, 50] == pytest.approx(of_square, abs=1e-4)


def test_the_region_with_the_wrapped_pixels_becomes_the_likeliest() -> None:
    plane = np.zeros(SIZE, np.float32)
    plane[50:70, 75:95] = 3
    circle, square = Candidate(40, 40, 25.0, 10.0), Candidate(85, 60, 28.0, 5.0, True)
    assert WrappedPixels(plane).add_to([circle, square])[0].square


def test_told_answers_use_them(fitted: WrappedPixelHead, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without any evidence of edges finds a region by its wrapped pixels alone."""
    network = RingVoteNet(8).eval()
    network.wrapped_head = fitted
    image = apply(bright_photo(101), REGION)
    found = predict_told.find(network, image, Told(REGION.r, REGION.discolor_ratio))
    assert math.hypot(found.x - REGION.x, found.y - REGION.y) < REGION.r


def test_weights_without_the_head_still_load() -> None:
    """Weights of earlier versions."""
    network = RingVoteNet(8)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("wrapped_head")}
    other = RingVoteNet(8)
    other.load_state_dict(state)
    assert torch.equal(other.stem.weight, network.stem.weight)
    with pytest.raises(RuntimeError, match=r"stem\.weight"):
        other.load_state_dict({k: v for k, v in state.items() if k != "stem.weight"})


def test_the_included_weights_have_a_fitted_head() -> None:
    network = registry.load("ringvote").network  # type: ignore[attr-defined]
    assert network.wrapped_head.out.weight.abs().max() > 0
