"""The matched filter on smooth noise, where the region has the only edge."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from localize.localizer import Finding, Localizer, Told
from localize.methods.boundary import Boundary, evidence, find, scores
from localize.methods.hough.outlines import side_pixels
from synth.anomaly import Anomaly, Shape, apply, mask
from synth.errors import InputError


def photo(width: int, height: int, low: int = 40, high: int = 200, seed: int = 1) -> np.ndarray:
    """(H, W, 3) uint8: smooth coloured noise between two code values."""
    coarse = np.random.default_rng(seed).integers(low, high, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) uint8: written as JPEG and read again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def find_in(image: np.ndarray, anomaly: Anomaly, quality: int | None = None) -> Finding:
    changed = apply(image, anomaly)
    if quality is not None:
        changed = jpeg(changed, quality)
    return find(changed, Told(anomaly.r, anomaly.discolor_ratio))


def distance(finding: Finding, anomaly: Anomaly) -> float:
    """Distance in px."""
    return float(np.hypot(finding.x - anomaly.x, finding.y - anomaly.y))


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [0.9, 1.05, 1.15])
def test_finds_either_shape_exactly_brightened_or_darkened(shape: Shape, ratio: float) -> None:
    anomaly = Anomaly(x=131, y=88, r=30, discolor_ratio=ratio, shape=shape)
    finding = find_in(photo(240, 200), anomaly)
    assert (finding.x, finding.y) == (131, 88)
    assert (finding.r, finding.ratio) == (30, ratio)
    assert finding.score is not None
    assert finding.score > 0


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_survives_jpeg(shape: Shape) -> None:
    anomaly = Anomaly(90, 110, 40, 1.1, shape, "wrap", "floor")
    assert distance(find_in(photo(200, 200), anomaly, quality=75), anomaly) <= 0.5


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("quality", [None, 75])
def test_finds_wrapped_regions(shape: Shape, quality: int | None) -> None:
    sky = photo(200, 160, 236, 250)
    anomaly = Anomaly(80, 70, 32, 1.12, shape, "wrap", "floor")
    assert distance(find_in(sky, anomaly, quality), anomaly) <= 1


@pytest.mark.parametrize(("width", "height"), [(320, 90), (90, 320), (211, 197)])
def test_any_aspect_and_prime_sides(width: int, height: int) -> None:
    anomaly = Anomaly(width - 41, height - 45, 33, 1.1)
    finding = find_in(photo(width, height), anomaly)
    assert distance(finding, anomaly) == 0
    assert finding.map is not None
    assert finding.map.shape == (height, width)
    assert finding.map.dtype == np.float32
    row, column = np.unravel_index(np.argmax(finding.map), finding.map.shape)
    assert (column, row) == (anomaly.x, anomaly.y)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize(("x", "y", "r"), [(111.37, 82.8, 42.6), (70.5, 90.25, 21.3)])
def test_fractional_centres(shape: Shape, x: float, y: float, r: float) -> None:
    anomaly = Anomaly(x, y, r, 1.1, shape)
    assert distance(find_in(photo(200, 180), anomaly), anomaly) < 0.6


@pytest.mark.parametrize("corner", [(20.0, 20.0), (99.0, 79.0)])
def test_a_region_that_touches_the_border(corner: tuple[float, float]) -> None:
    anomaly = Anomaly(*corner, 20, 1.1)
    assert distance(find_in(photo(120, 100), anomaly), anomaly) == 0


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (16, 16), (17, 40)])
@pytest.mark.parametrize("r", [0.0, 0.4, 7.5, 500.0])
def test_tiny_images_and_radii_that_do_not_fit(width: int, height: int, r: float) -> None:
    finding = find(photo(width, height), Told(r, 1.1))
    assert 0 <= finding.x <= width - 1
    assert 0 <= finding.y <= height - 1
    assert finding.score is not None
    assert np.isfinite(finding.score)


def test_finds_it_in_16_px() -> None:
    anomaly = Anomaly(9, 6, 4, 1.15, "square")
    assert distance(find_in(photo(16, 16), anomaly), anomaly) == 0


@pytest.mark.parametrize(("value", "ratio"), [(0, 1.1), (90, 1.0), (255, 1.1)])
def test_without_evidence_it_answers_the_middle(value: int, ratio: float) -> None:
    finding = find(np.full((64, 81, 3), value, np.uint8), Told(12, ratio))
    assert finding.map is not None
    assert np.isfinite(finding.map).all()
    assert finding.score is not None
    assert np.isfinite(finding.score)
    assert abs(finding.x - 40) <= 1
    assert abs(finding.y - 31.5) <= 1


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize(("x", "y", "r"), [(20, 17, 9), (20, 17, 9.7), (20.3, 17.75, 10.2)])
def test_side_pixels_are_those_of_the_mask(shape: Shape, x: float, y: float, r: float) -> None:
    region = mask(Anomaly(x, y, r, 1.1, shape), 40, 44)
    for across, (after, before) in enumerate(
        zip(side_pixels(x, y, r, shape)[::2], side_pixels(x, y, r, shape)[1::2], strict=True)
    ):
        here = region.T if across else region
        step = np.diff(here.astype(int), axis=1)
        for where, sign in ((after, -1), (before, 1)):
            expected = np.argwhere(step == sign)
            given = np.stack(where[::-1] if across else where, axis=1)
            assert sorted(map(tuple, given.tolist())) == sorted(map(tuple, expected.tolist()))


def test_scores_are_the_sums_of_the_evidence_along_the_edges() -> None:
    image = apply(photo(60, 50), Anomaly(31, 22, 12, 1.1))
    maps = evidence(image, 1.1)
    total = scores(maps, 12)
    for x, y in ((31, 22), (12, 12), (47, 37), (20, 30)):
        sums = [
            sum(m[where].sum() for m, where in zip(maps, side_pixels(x, y, 12, shape), strict=True))
            for shape in ("circle", "square")
        ]
        assert total[y, x] == pytest.approx(max(sums), abs=1e-2)


def test_strips_give_the_evidence_of_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(70, 60, high=250)
    whole = evidence(image, 1.1)
    monkeypatch.setattr("localize.methods.boundary.STRIP", 500)
    for one, other in zip(whole, evidence(image, 1.1), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_class_keeps_the_contract(tmp_path: Any) -> None:
    method = Boundary()
    assert isinstance(method, Localizer)
    assert (method.told, method.learns) == ({"r", "discolor_ratio"}, "nothing")
    anomalies = [Anomaly(50, 40, 20, 1.1), Anomaly(30, 60, 25, 0.9, "square")]
    images = [apply(photo(100, 90), anomalies[0]), apply(photo(80, 120), anomalies[1])]
    told = [Told(a.r, a.discolor_ratio) for a in anomalies]
    findings = method.locate(images, told)
    assert [(f.x, f.y) for f in findings] == [(50, 40), (30, 60)]
    assert findings == method.locate(images, told)
    with pytest.raises(InputError, match="told r and discolor_ratio"):
        method.locate(images)
