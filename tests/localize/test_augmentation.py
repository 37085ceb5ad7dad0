"""Augmented images: the recorded truth is where the anomaly is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.data import augmentation
from synth import Anomaly, InputError, Sample, mask


def sample(x: float, y: float, r: float, width: int, height: int) -> Sample:
    """A black image with a white region, whose pixels give its position and size."""
    truth = Anomaly(x=x, y=y, r=r, discolor_ratio=1.1)
    return Sample(mask(truth, height, width)[..., None].repeat(3, 2) * np.uint8(255), truth)


def assert_true(moved: Sample) -> None:
    assert moved.truth is not None
    height, width = moved.image.shape[:2]
    assert moved.truth.fits(width, height)
    np.testing.assert_array_equal(moved.image[..., 0] > 127, mask(moved.truth, height, width))


@pytest.mark.parametrize("names", [("flip",), ("turn",), ("crop",), ("flip", "turn", "crop")])
@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    width=st.integers(40, 90),
    height=st.integers(40, 90),
    r=st.integers(3, 15),
    seed=st.integers(0, 2**31 - 1),
)
def test_truth_moves_with_the_pixels(
    names: tuple[str, ...], data: st.DataObject, width: int, height: int, r: int, seed: int
) -> None:
    # Quarters keep the arithmetic exact, so that the masks can be compared pixel by pixel.
    x = data.draw(st.integers(4 * r, 4 * (width - 1 - r))) / 4
    y = data.draw(st.integers(4 * r, 4 * (height - 1 - r))) / 4
    assert_true(augmentation.build(names)(sample(x, y, r, width, height), seed))


@pytest.mark.parametrize("name", ["flip", "turn", "crop"])
def test_augmentation_does_something(name: str) -> None:
    augment = augmentation.build([name])
    before = sample(20, 30, 8, 80, 60)
    seen = set()
    for seed in range(30):
        moved = augment(before, seed)
        assert moved.truth is not None
        seen.add((*moved.image.shape[:2], moved.truth.x, moved.truth.y))
    assert len(seen) >= {"flip": 4, "turn": 4, "crop": 10}[name]


def test_noise_and_gain_leave_place_and_ratio() -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    truth = Anomaly(x=30, y=30, r=12, discolor_ratio=1.5)
    inside = mask(truth, 64, 64)
    image[inside] = 150
    augment = augmentation.build(["noise", "gain"])
    gains = set()
    for seed in range(20):
        moved = augment(Sample(image, truth), seed)
        assert moved.truth == truth
        ratio = moved.image[inside].mean() / moved.image[~inside].mean()
        assert ratio == pytest.approx(1.5, rel=0.02)
        gains.add(round(float(moved.image.mean())))
    assert len(gains) > 3


def test_the_same_seed_gives_the_same_image_in_any_order() -> None:
    augment = augmentation.build(augmentation.NAMES)
    before = sample(20, 30, 8, 80, 60)
    first = [augment(before, seed) for seed in (1, 2, 3)]
    again = [augment(before, seed) for seed in (3, 1, 2)]
    for a, b in zip(first, [again[1], again[2], again[0]], strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert a.truth == b.truth


def test_a_clean_image_is_unchanged() -> None:
    clean = Sample(np.zeros((8, 8, 3), np.uint8), None)
    assert augmentation.build(["flip"])(clean, 0) is clean


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="spin"):
        augmentation.build(["spin"])
