"""The prewhitened matched filter, in textures that are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from localize.localizer import Told
from localize.methods.hough import step_likelihood as module
from localize.methods.hough.outlines import ARCS, KINDS, circle
from localize.methods.hough.step_likelihood import (
    dense,
    evidence,
    evidence_of_step,
    sparse,
    step_response,
)
from localize.methods.hough.whitening import LAGS, LEFT, Whitened, whiten
from localize.methods.prewhitened import Prewhitened
from synth.anomaly import Anomaly, Shape, apply

CPU = torch.device("cpu")


def grain(width: int, height: int, noise: float = 12.0, seed: int = 1) -> np.ndarray:
    """(H, W, 3) uint8: grey texture in which neighbours are correlated."""
    rng = np.random.default_rng(seed)
    white = rng.normal(0, 1, (height, width))
    smooth = white.copy()
    for row in range(1, height):
        smooth[row] += 0.6 * smooth[row - 1]
    for column in range(1, width):
        smooth[:, column] += 0.6 * smooth[:, column - 1]
    grey = np.clip(110 + noise * smooth, 20, 235)
    return np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)


def distance(image: np.ndarray, anomaly: Anomaly) -> float:
    """Distance from the answer to the truth, px."""
    method = Prewhitened("cpu")
    told = [Told(anomaly.r, anomaly.discolor_ratio)]
    answer = method.locate([apply(image, anomaly)], told)[0]
    return math.hypot(answer.x - anomaly.x, answer.y - anomaly.y)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [0.88, 1.12])
def test_finds_either_shape_brightened_or_darkened(shape: Shape, ratio: float) -> None:
    assert distance(grain(220, 180), Anomaly(131, 88, 34, ratio, shape)) <= 1


def test_a_step_far_below_the_texture_is_found() -> None:
    """Its height is less than half of the texture's standard deviation."""
    image = grain(260, 240, noise=9)
    assert image[..., 0].std() / 2 > 110 * 0.05
    assert distance(image, Anomaly(120, 131, 60, 1.05)) <= 2


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


def test_the_model_of_a_known_texture_is_fitted() -> None:
    """The pixels above and to the left have weight 0.6, the one between them -0.36, others 0."""
    rng = np.random.default_rng(0)
    field = rng.normal(0, 0.02, (256, 256))
    for axis in (0, 1):
        lines = np.moveaxis(field, axis, 0)
        for i in range(1, 256):
            lines[i] += 0.6 * lines[i - 1]
    logs = torch.from_numpy(field).float()
    whitened = whiten(logs, torch.full_like(logs, 1e-9))
    weights = dict(zip(LAGS, whitened.weights[4, 4].tolist(), strict=True))
    assert weights[(-1, 0)] == pytest.approx(0.6, abs=0.06)
    assert weights[(0, -1)] == pytest.approx(0.6, abs=0.06)
    assert weights[(-1, -1)] == pytest.approx(-0.36, abs=0.06)
    assert float(whitened.weights.sum(-1).sub(1).abs().max()) < 1e-4
    assert float(whitened.residual[32:224, 32:224].std()) == pytest.approx(0.02, rel=0.05)


def test_the_response_is_the_residual_of_a_step() -> None:
    """That of a brightened half plane, pixel by pixel, in four directions."""
    rng = np.random.default_rng(3)
    weights = torch.from_numpy(rng.normal(0, 0.3, len(LAGS)))
    weights[LEFT] += 1 - weights.sum()
    for turn, (down, right) in {0: (0, 1), 2: (1, 0), 4: (0, -1), 6: (-1, 0)}.items():
        for ahead in range(-5, 5):

            def inside(dy: int, dx: int, at: int = ahead, by: tuple[int, int] = (down, right)):  # type: ignore[no-untyped-def]
                return float(at + dy * by[0] + dx * by[1] <= 0)

            predicted = sum(
                float(weight) * inside(*lag) for weight, lag in zip(weights, LAGS, strict=True)
            )
            given = step_response(weights[None, None], turn, ahead)
            assert float(given) == pytest.approx(inside(0, 0) - predicted, abs=1e-9)
    assert float(step_response(weights[None, None], 0, -9)) == pytest.approx(0, abs=1e-9)


def test_evidence_is_the_log_likelihood_ratio() -> None:
    """For one cell and an edge to the right, against the densities of Student's t."""
    rng = np.random.default_rng(5)
    weights = torch.zeros(1, 1, len(LAGS))
    weights[..., LEFT] = 1
    residual = torch.from_numpy(rng.normal(0, 0.05, (20, 24))).float()
    variance = torch.full_like(residual, 0.05**2)
    given = evidence_of_step(Whitened(residual, variance, weights), 0.1)[0]
    # A prediction from the pixel to the left is wrong once, just beyond the edge: by -0.1.
    beyond = residual[:, 1:].double()

    def nats(left: torch.Tensor) -> torch.Tensor:
        nu = module.NU
        return -(nu + 1) / 2 * torch.log1p(left**2 / (nu * 0.05**2))

    expected = nats(beyond + 0.1) - nats(beyond)
    np.testing.assert_allclose(given[:, :-1], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(150, 190), (259, 70)])
def test_strips_give_the_evidence_of_the_whole_image(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    image = grain(shape[1], shape[0])
    image[40:] //= 2  # a natural edge, of another texture
    monkeypatch.setattr(module, "STRIP", 1 << 30)
    whole = evidence(image, 1.1, CPU)
    monkeypatch.setattr(module, "STRIP", 1)
    np.testing.assert_allclose(evidence(image, 1.1, CPU), whole, atol=2e-3)


@pytest.mark.parametrize("strip", [1 << 30, 1])
def test_sparse_evidence_is_the_dense_evidence_at_those_pixels(
    strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every direction, for two ratios; it is 0 near the border and outside the image."""
    image = apply(grain(100, 150), Anomaly(48, 60, 25, 1.1))
    monkeypatch.setattr(module, "STRIP", strip)
    rng = np.random.default_rng(2)
    rows, cols, directions = (
        torch.from_numpy(rng.integers(low, high, 600))
        for low, high in ((-9, 159), (-9, 109), (0, ARCS))
    )
    ratios = (1.1, 0.95)
    steps = torch.tensor([[math.log(ratio)] * 600 for ratio in ratios])
    given = sparse(image, steps, rows, cols, directions)
    inside = (rows >= 0) & (rows < 150) & (cols >= 0) & (cols < 100)
    for ratio, nats in zip(ratios, given, strict=True):
        expected = dense(image, ratio, CPU)[directions, rows.clamp(0, 149), cols.clamp(0, 99)]
        np.testing.assert_allclose(nats, expected * inside, atol=1e-4)
    assert float(given.abs().max()) > 0.1


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
    along = planes[:ARCS, 55 + torch.from_numpy(rows), 60 + torch.from_numpy(cols)].T.numpy()
    outward = float((along * weights).sum())
    inward = float((along * np.roll(weights, ARCS // 2, axis=1)).sum())
    assert outward > 5
    assert outward > inward + 20
