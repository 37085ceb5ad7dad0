"""A network with folded batch norms and Winograd convolutions gives the same answers."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from torch import nn

from localize.methods.backbones import convolutions
from localize.methods.backbones.pretrained import Choice
from localize.methods.patchcore.backbones import build

pytestmark = pytest.mark.usefixtures("one_thread")


def disturb(model: nn.Module) -> None:
    """Let every batch norm have something to do."""
    draw = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=draw).mul_(0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=draw)  # type: ignore[union-attr]
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=draw)
                module.bias.normal_(generator=draw).mul_(0.1)


def kinds(model: nn.Module) -> Counter[str]:
    return Counter(type(module).__name__ for module in model.modules())


@pytest.mark.parametrize(
    ("name", "left", "wide"),
    [
        ("tf_efficientnet_lite0", 0, 0),
        ("mobilenet_v2", 0, 0),
        ("resnet18", 0, 3),
        ("resnetv2_50", 13, 5),  # of the norms before activations only those between convolutions
    ],
)
def test_backbones_stay_what_they_are(name: str, left: int, wide: int) -> None:
    network, _ = build(Choice(name, random=True))
    disturb(network.model)
    images = torch.rand((2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    expected = network(images)
    convolutions.speed_up(network.model)
    found = kinds(network.model)
    assert found["BatchNorm2d"] + found["BatchNormAct2d"] == left
    assert found["Winograd"] == wide
    for mine, theirs in zip(network(images), expected, strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5 * max(1, float(theirs.abs().max()))


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_wide_convolutions_by_their_definition(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(256, 300, 3, padding=1, bias=bias)
    assert convolutions.Winograd.applies_to(plain)
    maps = torch.randn((2, 256, *size))
    with torch.inference_mode():
        exact = copy.deepcopy(plain).double()(maps.double())
        found = convolutions.Winograd(plain)(maps)
    assert found.shape == exact.shape
    assert float((found - exact).abs().max()) < 3e-6 * float(exact.abs().max())


@pytest.mark.parametrize(
    "change",
    [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "reflect"}],
)
def test_other_convolutions_are_left_alone(change: dict[str, int | str]) -> None:
    options = {"padding": 1} | change
    assert not convolutions.Winograd.applies_to(nn.Conv2d(512, 512, 3, **options))  # type: ignore[arg-type]


class Twisted(nn.Module):
    """Norms that must stay: of an output used twice, of a convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.first(x)
        twice = self.norms[1](self.second(self.norms[0](once) + once))
        return self.norms[2](self.second(twice))


def test_norms_that_cannot_be_folded_stay() -> None:
    model = Twisted().eval()
    disturb(model)
    images = torch.rand((1, 3, 5, 5))
    expected = model(images)
    convolutions.speed_up(model)
    assert kinds(model)["BatchNorm2d"] == 3
    assert torch.equal(model(images), expected)
