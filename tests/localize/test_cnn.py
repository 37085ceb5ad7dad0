"""The five CNN variants: their layers, options and inputs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from localize import registry
from localize.data import batches
from localize.methods.cnn import VARIANTS, Cnn, Network
from synth import Anomaly, InputError, Sample


def count(fusion: str, size: int = 800) -> int:
    """Parameters by hand: convolutions 3-4-8-16-32-64, then 100 units, then 2."""
    channels = [3, 4, 8, 16, 32, 64]
    total = sum(9 * a * b + b for a, b in itertools.pairwise(channels))
    flat = 64 * (size // 16) ** 2 + (2 if fusion == "features" else 0)
    last = 100 + {"last": 2, "embedded": 16}.get(fusion, 0)
    return total + (flat * 100 + 100) + (last * 2 + 2) + (2 * 16 + 16) * (fusion == "embedded")


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_by_hand(name: str) -> None:
    with torch.device("meta"):
        network = Network((800, 800), VARIANTS[name].fusion)
    assert sum(p.numel() for p in network.parameters()) == count(VARIANTS[name].fusion)


@pytest.mark.parametrize(
    ("name", "rate", "epochs"),
    [
        ("cnn-fast", 5e-4, 10),
        ("cnn-slow", 1e-4, 30),
        ("cnn-fuse-features", 5e-4, 20),
        ("cnn-fuse-last", 1e-3, 30),
        ("cnn-fuse-embedded", 1e-3, 30),
    ],
)
def test_schedule_of_the_first_project(name: str, rate: float, epochs: int) -> None:
    schedule = Cnn(name, device="cpu").schedule
    assert (schedule.learning_rate, schedule.epochs, schedule.batch) == (rate, epochs, 10)
    assert Cnn(name, device="cpu", epochs_scale=0.1).schedule.epochs == max(1, epochs // 10)


def test_features_are_those_of_convolution_relu_pooling() -> None:
    """The order of layers in the table of the first project gives the same numbers."""
    torch.manual_seed(0)
    network = Network((64, 32), "none")
    x = images = torch.rand(2, 3, 32, 64)
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    for convolution in convolutions[:-1]:
        x = functional.max_pool2d(torch.relu(convolution(x)), 2)
    x = torch.relu(convolutions[-1](x))
    assert x.shape == (2, 64, 2, 4)
    torch.testing.assert_close(network.features(images), x.flatten(1))


@pytest.mark.parametrize("name", VARIANTS)
def test_forward_backward_reaches_every_weight(name: str) -> None:
    torch.manual_seed(0)
    network = Network((32, 48), VARIANTS[name].fusion, (10.0, 1.1), (3.0, 0.03))
    centres = network(torch.rand(8, 3, 48, 32), torch.tensor([[12.0, 1.08]] * 8))
    assert centres.shape == (8, 2)
    centres.square().sum().backward()
    for label, weight in network.named_parameters():
        assert weight.grad is not None, label
        assert torch.isfinite(weight.grad).all(), label
        assert weight.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", VARIANTS)
def test_numeric_features_matter_only_where_they_are_told(name: str) -> None:
    torch.manual_seed(0)
    network = Network((32, 32), VARIANTS[name].fusion)
    image = torch.rand(1, 3, 32, 32)
    one = network(image, torch.tensor([[10.0, 1.05]]))
    other = network(image, torch.tensor([[50.0, 1.15]]))
    told = registry.METHODS[name].told
    assert torch.equal(one, other) == (not told)


def test_radius_and_centre_follow_the_stretch() -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    sample = Sample(image, Anomaly(x=99.5, y=24.5, r=10, discolor_ratio=1.1))
    batch = batches.example(sample, (200, 200))
    assert batch["image"].shape == (3, 200, 200)
    assert batch["target"].tolist() == [0.25, 0.25]
    assert batch["numeric"][0].item() == pytest.approx(10)  # half as wide, twice as high
    assert batches.to_pixels(batch["target"].numpy(), (400, 100)) == (99.5, 24.5)


def test_stretch_keeps_the_target_on_the_bright_pixel() -> None:
    image = np.zeros((60, 40, 3), np.uint8)
    image[20:24, 30:34] = 255
    sample = Sample(image, Anomaly(x=31.5, y=21.5, r=2, discolor_ratio=1.1))
    batch = batches.example(sample, (160, 120))
    y, x = np.nonzero(batch["image"][0].numpy() > 127)
    centre = (x.mean() + 0.5) / 160, (y.mean() + 0.5) / 120
    assert centre == pytest.approx(batch["target"].tolist(), abs=1e-6)


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="16x16"):
        Cnn("cnn-fast", input=(8, 8))
    with pytest.raises(InputError, match="epochs-scale"):
        Cnn("cnn-fast", epochs_scale=0)
    with pytest.raises(InputError, match="device"):
        Cnn("cnn-fast", device="quantum")
