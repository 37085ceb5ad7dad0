"""The U-Net: its map sums to 1, its mean is in pixel coordinates, its loss wants a Gaussian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.data import batches
from localize.methods.unet import SIGMA, UNet, divergence, gaussian, heat_loss, mean
from synth import Anomaly, Sample


@pytest.mark.parametrize("size", [(64, 48), (50, 37), (17, 16)])
def test_a_map_of_any_size_sums_to_one(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    heat = UNet().heat(torch.rand(2, 3, *size))
    assert heat.shape == (2, *size)
    assert heat.sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (heat >= 0).all()


@given(width=st.integers(8, 40), height=st.integers(8, 40), x=st.floats(0, 1), y=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_mean_is_where_the_table_says(width: int, height: int, x: float, y: float) -> None:
    """All heat in one pixel: the answer is that pixel's centre, x = column and y = row."""
    col, row = round(x * (width - 1)), round(y * (height - 1))
    heat = torch.zeros(1, height, width)
    heat[0, row, col] = 1
    found = batches.to_pixels(mean(heat)[0].numpy(), (width, height))
    assert found == pytest.approx((col, row), abs=1e-3)
    image = np.zeros((height, width, 3), np.uint8)
    target = batches.example(Sample(image, Anomaly(col, row, 2, 1.1)), (width, height))["target"]
    assert mean(heat)[0].tolist() == pytest.approx(target.tolist(), abs=1e-5)


def test_a_spot_is_a_gaussian_around_the_target() -> None:
    target = torch.tensor([[0.3, 0.6]])
    heat = gaussian(target, 100, 120)
    assert float(heat.sum()) == pytest.approx(1, abs=1e-5)
    assert mean(heat)[0].tolist() == pytest.approx([0.3, 0.6], abs=1e-3)
    x = torch.arange(120) + 0.5 - 36
    assert float((heat[0].sum(0) * x**2).sum()) == pytest.approx(SIGMA**2, rel=0.02)


def test_the_divergence_is_jensen_and_shannons() -> None:
    one, other = torch.tensor([[[0.5, 0.5, 0.0]]]), torch.tensor([[[0.0, 0.5, 0.5]]])
    assert float(divergence(one, one)) == pytest.approx(0, abs=1e-6)
    # Half of the mass apart: 1/2 of ln 2.
    assert float(divergence(one, other)) == pytest.approx(math.log(2) / 2, abs=1e-5)
    apart = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]])
    assert float(divergence(*apart)) == pytest.approx(math.log(2), abs=1e-5)


def test_every_weight_learns_and_it_finds_a_bright_spot() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = UNet()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.from_numpy(rng.random((8, 3, 32, 32), np.float32)) * 0.3
        target = torch.from_numpy(rng.uniform(0.2, 0.8, (8, 2)).astype(np.float32))
        spots = gaussian(target, 32, 32)
        return images + 0.7 * spots[:, None] / spots.amax((1, 2))[:, None, None, None], target

    for step in range(60):
        images, target = batch()
        loss, _ = heat_loss(network, images, torch.zeros(8, 2), target)
        optimiser.zero_grad()
        loss.backward()
        if not step:
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimiser.step()
    images, target = batch()
    with torch.no_grad():
        gaps = (network(images, torch.zeros(8, 2)) - target).norm(dim=1) * 32
    assert float(gaps.mean()) < 2
