"""Scenes are reproducible and have the image statistics of photos."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth import scenes
from synth.colour import LUMA
from synth.errors import InputError
from synth.scenes import noise

SIDE = 256


def draw(k: int, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    return scenes.scene(width, height, np.random.default_rng([3, k]))


@cache
def gallery() -> tuple[np.ndarray, ...]:
    return tuple(draw(k) for k in range(12))


def amplitude_slope(grey: np.ndarray) -> float:
    """Slope of log amplitude against log frequency, averaged over all directions."""
    side = len(grey)
    window = np.hanning(side)
    flat = (grey - grey.mean()) * window[:, None] * window
    axis = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(int).ravel()
    mean = np.bincount(ring, np.abs(np.fft.fft2(flat)).ravel()) / np.bincount(ring)
    f = np.arange(3, side // 4)
    return float(np.polyfit(np.log(f), np.log(mean[f]), 1)[0])


def test_amplitude_slope_knows_a_power_law():
    tile = noise.fractal(np.random.default_rng(0), slope=1.2, size=SIDE)
    assert amplitude_slope(tile.astype(float)) == pytest.approx(-1.2, abs=0.1)


def test_same_generator_state_same_pixels():
    assert np.array_equal(draw(0), gallery()[0])


def test_every_scene_differs():
    assert len({picture.tobytes() for picture in gallery()}) == len(gallery())


@settings(max_examples=8, deadline=None)
@given(st.integers(32, 150), st.integers(32, 150), st.integers(0, 2**32))
def test_any_size_gives_rgb_bytes(width: int, height: int, seed: int):
    picture = scenes.scene(width, height, np.random.default_rng(seed))
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 3


@pytest.mark.parametrize(("width", "height"), [(32, 400), (400, 32), (33, 32)])
def test_extreme_shapes(width: int, height: int):
    assert draw(1, width, height).shape == (height, width, 3)


@pytest.mark.parametrize("k", range(4))
def test_a_small_picture_shows_the_same_place(k: int):
    small, large = draw(k, 64, 64), draw(k, 192, 192)
    shrunk = large.reshape(64, 3, 64, 3, 3).mean((1, 3))
    both = [picture.reshape(8, 8, 8, 8, 3).mean((1, 3)).ravel() for picture in (small, shrunk)]
    assert np.corrcoef(both)[0, 1] > 0.9


def test_spectra_fall_as_in_photos():
    slopes = np.array([amplitude_slope(picture @ LUMA) for picture in gallery()])
    assert -1.6 < np.median(slopes) < -0.9
    assert np.mean((slopes > -1.8) & (slopes < -0.7)) >= 0.9


def test_edges_are_sparse_as_in_photos():
    steps = [np.diff(np.log(picture @ LUMA + 2), axis=1) for picture in gallery()]
    kurtosis = [float(((s - s.mean()) ** 4).mean() / s.var() ** 2) for s in steps]
    assert np.median(kurtosis) > 6  # a Gaussian field has 3


def test_shadows_and_highlights():
    grey = [picture @ LUMA for picture in gallery()]
    assert sum(np.quantile(g, 0.01) < 12 for g in grey) >= 3
    assert sum(np.quantile(g, 0.995) > 225 for g in grey) >= 3
    assert all(g.max() - g.min() > 60 for g in grey)


def test_smooth_parts_carry_sensor_noise():
    for picture in gallery():
        green = picture[..., 1].astype(float)
        ripple = green[1:-1, 1:-1] - (green[:-2, 1:-1] + green[2:, 1:-1]) / 2
        blocks = ripple[:252, :252].reshape(21, 12, 21, 12).std((1, 3))
        level = green[1:253, 1:253].reshape(21, 12, 21, 12).mean((1, 3))
        lit = blocks[(level > 40) & (level < 200)]
        assert lit.min() > 0.25
        assert np.quantile(lit, 0.1) < 15


def test_scenes_are_colourful():
    spread = []
    for picture in gallery():
        r, g, b = np.moveaxis(picture.astype(float), -1, 0)
        rg, yb = r - g, (r + g) / 2 - b
        spread.append(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    assert np.mean(spread) > 20
    assert min(spread) > 3


def test_write_names_and_bytes(tmp_path: Path):
    progress: list[int] = []
    first = scenes.write(tmp_path / "a", 3, 48, 40, seed=5, progress=progress.append)
    second = scenes.write(tmp_path / "b", 2, 48, 40, seed=5)
    other = scenes.write(tmp_path / "c", 1, 48, 40, seed=6)
    assert [path.name for path in first] == ["scene-0000.png", "scene-0001.png", "scene-0002.png"]
    assert progress == [1, 2, 3]
    assert [p.read_bytes() for p in first[:2]] == [p.read_bytes() for p in second]
    assert first[0].read_bytes() != other[0].read_bytes()
    with Image.open(first[1]) as picture:
        kept = np.asarray(picture)
    assert np.array_equal(kept, scenes.scene(48, 40, np.random.default_rng([5, 1])))


@pytest.mark.parametrize(
    ("count", "width", "height", "seed", "word"),
    [
        (1, 31, 40, 0, "width"),
        (1, 40, 31, 0, "height"),
        (0, 40, 40, 0, "count"),
        (1, 40, 40, -1, "seed"),
    ],
)
def test_refuses_before_it_writes(
    tmp_path: Path, count: int, width: int, height: int, seed: int, word: str
):
    with pytest.raises(InputError, match=word):
        scenes.write(tmp_path / "out", count, width, height, seed)
    assert not (tmp_path / "out").exists()


def test_scene_refuses_small_sizes():
    with pytest.raises(InputError, match="width is 31"):
        scenes.scene(31, 64, np.random.default_rng(0))


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_tiles_repeat_without_a_seam(u: float, v: float):
    tile = np.add.outer(np.arange(8.0), np.zeros(8))
    here = noise.sample(tile, np.array([u]), np.array([v]))
    there = noise.sample(tile, np.array([u + 8]), np.array([v - 16]))
    assert np.allclose(here, there, atol=1e-3)


def test_sampling_is_bilinear():
    tile = np.arange(16.0).reshape(4, 4)
    assert noise.sample(tile, np.array([1.5]), np.array([2.25])) == pytest.approx(10.5)
