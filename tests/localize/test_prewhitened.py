"""The prewhitened filter, in textures that are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from localize.localizer import Told
from localize.methods.hough import step_likelihood as module
from localize.methods.hough.step_likelihood import Listener, evidence, heard, shape_of_step, votes
from localize.methods.hough.voting import ARCS, KINDS, circle
from localize.methods.hough.whitening import BESIDE, LAGS, Texture, texture
from localize.methods.prewhitened import Prewhitened
from synth.anomaly import Anomaly, Shape, apply

CPU = torch.device("cpu")


def grain(width: int, height: int, noise: float = 12.0, seed: int = 1) -> np.ndarray:
    """(H, W, 3) uint8: grey texture in which neighbours are alike."""
    rng = np.random.default_rng(seed)
    white = rng.normal(0, 1, (height, width))
    alike = white.copy()
    for row in range(1, height):
        alike[row] += 0.6 * alike[row - 1]
    for column in range(1, width):
        alike[:, column] += 0.6 * alike[:, column - 1]
    grey = np.clip(110 + noise * alike, 20, 235)
    return np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)


def found(image: np.ndarray, anomaly: Anomaly) -> float:
    """px from the answer to the truth."""
    method = Prewhitened("cpu")
    told = [Told(anomaly.r, anomaly.discolor_ratio)]
    answer = method.locate([apply(image, anomaly)], told)[0]
    return math.hypot(answer.x - anomaly.x, answer.y - anomaly.y)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [0.88, 1.12])
def test_finds_either_shape_brightened_or_darkened(shape: Shape, ratio: float) -> None:
    assert found(grain(220, 180), Anomaly(131, 88, 34, ratio, shape)) <= 1


def test_a_step_far_below_the_grain_is_found() -> None:
    """Its height is less than half of the texture's own spread."""
    image = grain(260, 240, noise=9)
    assert image[..., 0].std() / 2 > 110 * 0.05
    assert found(image, Anomaly(120, 131, 60, 1.05)) <= 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (16, 16), (17, 40), (33, 97)])
@pytest.mark.parametrize("r", [0.0, 0.4, 7.5, 500.0])
def test_tiny_images_and_radii_that_do_not_fit(width: int, height: int, r: float) -> None:
    answer = Prewhitened("cpu").locate([grain(width, height)], [Told(r, 1.1)])[0]
    assert 0 <= answer.x <= width - 1
    assert 0 <= answer.y <= height - 1
    assert answer.score is not None
    assert np.isfinite(answer.score)
    assert answer.map is not None
    assert answer.map.shape == (height, width)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_flat_image_gives_finite_evidence(value: int) -> None:
    planes = evidence(np.full((70, 90, 3), value, np.uint8), 1.1, CPU)
    assert planes.shape == (KINDS, 70, 90)
    assert torch.isfinite(planes).all()
    assert (planes <= 0).all()


def test_the_rule_of_a_known_texture_is_found() -> None:
    """Neighbours above and beside count 0.6 each, the one between them -0.36: none else does."""
    rng = np.random.default_rng(0)
    field = rng.normal(0, 0.02, (256, 256))
    for axis in (0, 1):
        lines = np.moveaxis(field, axis, 0)
        for i in range(1, 256):
            lines[i] += 0.6 * lines[i - 1]
    logs = torch.from_numpy(field).float()
    seen = texture(logs, torch.full_like(logs, 1e-9))
    rule = dict(zip(LAGS, seen.rules[4, 4].tolist(), strict=True))
    assert rule[(-1, 0)] == pytest.approx(0.6, abs=0.06)
    assert rule[(0, -1)] == pytest.approx(0.6, abs=0.06)
    assert rule[(-1, -1)] == pytest.approx(-0.36, abs=0.06)
    assert float(seen.rules.sum(-1).sub(1).abs().max()) < 1e-4
    assert float(seen.rest[32:224, 32:224].std()) == pytest.approx(0.02, rel=0.05)


def test_what_a_step_leaves_over_is_what_it_is() -> None:
    """A brightened half plane through a rule, pixel by pixel, right of and below the edge."""
    rng = np.random.default_rng(3)
    rule = torch.from_numpy(rng.normal(0, 0.3, len(LAGS)))
    rule[BESIDE] += 1 - rule.sum()
    for turn, (down, right) in {0: (0, 1), 2: (1, 0), 4: (0, -1), 6: (-1, 0)}.items():
        for ahead in range(-5, 5):

            def inside(dy: int, dx: int, at: int = ahead, by: tuple[int, int] = (down, right)):  # type: ignore[no-untyped-def]
                return float(at + dy * by[0] + dx * by[1] <= 0)

            predicted = sum(
                float(weight) * inside(*lag) for weight, lag in zip(rule, LAGS, strict=True)
            )
            given = shape_of_step(rule[None, None], turn, ahead)
            assert float(given) == pytest.approx(inside(0, 0) - predicted, abs=1e-9)
    assert float(shape_of_step(rule[None, None], 0, -9)) == pytest.approx(0, abs=1e-9)


def test_votes_are_the_likelihood_ratio() -> None:
    """For one cell and an edge to the right, against the densities of Student's t."""
    rng = np.random.default_rng(5)
    rule = torch.zeros(1, 1, len(LAGS))
    rule[..., BESIDE] = 1
    rest = torch.from_numpy(rng.normal(0, 0.05, (20, 24))).float()
    variance = torch.full_like(rest, 0.05**2)
    given = votes(Texture(rest, variance, rule), 0.1)[0]
    # One who predicts the pixel before is surprised once, just beyond the edge: by -0.1.
    beyond = rest[:, 1:].double()

    def nats(left: torch.Tensor) -> torch.Tensor:
        nu = module.NU
        return -(nu + 1) / 2 * torch.log1p(left**2 / (nu * 0.05**2))

    expected = nats(beyond + 0.1) - nats(beyond)
    np.testing.assert_allclose(given[:, :-1], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(150, 190), (259, 70)])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    image = grain(shape[1], shape[0])
    image[40:] //= 2  # a natural edge, of another texture
    monkeypatch.setattr(module, "STRIP", 1 << 30)
    whole = evidence(image, 1.1, CPU)
    monkeypatch.setattr(module, "STRIP", 1)
    np.testing.assert_allclose(evidence(image, 1.1, CPU), whole, atol=2e-3)


@pytest.mark.parametrize(("strip", "keep"), [(1 << 30, False), (1, False), (1, True)])
def test_single_pixels_hear_what_all_do(
    strip: int, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every direction, for two ratios; beyond the border and the image there is silence.

    And how well they could be predicted, the mean over the orders of reading.
    """
    image = apply(grain(100, 150), Anomaly(48, 60, 25, 1.1))
    monkeypatch.setattr(module, "STRIP", strip)
    rng = np.random.default_rng(2)
    rows, cols, turns = (
        torch.from_numpy(rng.integers(low, high, 600))
        for low, high in ((-9, 159), (-9, 109), (0, ARCS))
    )
    ratios = (1.1, 0.95)
    steps = torch.tensor([[math.log(ratio)] * 600 for ratio in ratios])
    listener = Listener.of(image, CPU, keep)
    given, variance = listener.at(steps, rows, cols, turns)
    inside = (rows >= 0) & (rows < 150) & (cols >= 0) & (cols < 100)
    for ratio, nats in zip(ratios, given, strict=True):
        every = heard(image, ratio, CPU)[turns, rows.clamp(0, 149), cols.clamp(0, 99)]
        np.testing.assert_allclose(nats, every * inside, atol=1e-4)
        np.testing.assert_array_equal(listener.everywhere(ratio), heard(image, ratio, CPU))
    assert float(given.abs().max()) > 0.1
    logs = torch.zeros(150, 100)
    for one in module._strips(image, CPU):
        found = one.found.variance[one.top - one.first : one.end - one.first].log()
        first = 150 - one.end if 0 in one.axes else one.top
        logs[first : first + len(found)] += found.flip(one.axes) / 4
    expected = logs[rows.clamp(0, 149), cols.clamp(0, 99)] * inside
    np.testing.assert_allclose(variance, expected, atol=1e-4)


def test_a_mirrored_image_gives_mirrored_evidence() -> None:
    image = apply(grain(96, 64), Anomaly(48, 31, 20, 1.1))
    planes = evidence(image, 1.1, CPU)
    mirrored = evidence(np.ascontiguousarray(image[:, ::-1]), 1.1, CPU)
    left = [(ARCS // 2 - k) % ARCS for k in range(ARCS)]
    np.testing.assert_allclose(mirrored[:ARCS][left], planes[:ARCS].flip(2), atol=2e-3)


def test_evidence_points_outward() -> None:
    anomaly = Anomaly(60, 55, 30, 1.15)
    planes = evidence(apply(grain(120, 110), anomaly), 1.15, CPU)
    rows, cols, weights = circle(anomaly.r)
    there = planes[:ARCS, 55 + torch.from_numpy(rows), 60 + torch.from_numpy(cols)].T.numpy()
    outward = float((there * weights).sum())
    inward = float((there * np.roll(weights, ARCS // 2, axis=1)).sum())
    assert outward > 5
    assert outward > inward + 20
