"""Faster inference of a trained network: less arithmetic, the same results up to rounding."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

# By class name, also those of timm; other subclasses may transform their weights.
CONVOLUTIONS, NORMS = ("Conv2d", "Conv2dSame"), ("BatchNorm2d", "BatchNormAct2d")
WIDE = 256  # smallest number of channels at which Winograd is faster
# F(2x2, 3x3): transforms of 4 inputs, 3 weights and 4 products along one axis to 2 outputs.
INPUTS = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
WEIGHTS = torch.tensor([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
OUTPUTS = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]])


def speed_up(model: nn.Module) -> None:
    """Fold batch norms into the convolutions before them; on a CPU, speed up wide 3x3 ones.

    The network is changed in place; afterwards no state dict can be loaded into it.
    """
    fold_norms(model)
    modules = model.named_modules()
    wide = [name for name, m in modules if isinstance(m, nn.Conv2d) and Winograd.applies_to(m)]
    for name in wide:
        _replace(model, name, Winograd(model.get_submodule(name)))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kinds = CONVOLUTIONS + NORMS
        return _kind(m) in kinds or super().is_leaf_module(m, module_qualified_name)


def _kind(module: object) -> str:
    """The class name of a module."""
    return type(module).__name__


def fold_norms(model: nn.Module) -> None:
    """Fold each batch norm that is the only user of the output of a convolution into it."""
    modules: dict[str, Any] = dict(model.named_modules())
    if not any(_kind(module) in NORMS for module in modules.values()):
        return
    try:
        graph = _Tracer().trace(model)
    except Exception:  # many kinds; a network that cannot be traced stays unchanged
        return
    calls = [node for node in graph.nodes if node.op == "call_module"]
    uses = Counter(node.target for node in calls)
    for node in calls:
        norm = modules[str(node.target)]
        before: Any = node.args[0] if node.args else None
        if _kind(norm) not in NORMS or before not in calls or len(before.users) > 1:
            continue
        convolution = modules[str(before.target)]
        once = uses[node.target] == uses[before.target] == 1
        if once and _kind(convolution) in CONVOLUTIONS and norm.affine:
            _scale(convolution, norm)
            remaining = (norm.drop, norm.act) if _kind(norm) == "BatchNormAct2d" else ()
            _replace(model, str(node.target), nn.Sequential(*remaining))


def _scale(convolution: nn.Conv2d, norm: Any) -> None:
    """Fold a batch norm into the convolution before it."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        bias += convolution.bias * scale
    weight = convolution.weight * scale[:, None, None, None]
    convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.float(), requires_grad=False)


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    """Replace the submodule with the dotted name ``name``."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


class Winograd(nn.Module):
    """A 3x3 convolution with 16 products for 2x2 outputs, instead of 36.

    Source: Winograd (1980), Arithmetic Complexity of Computations; Lavin and Gray (2016).
    """

    def __init__(self, plain: Any) -> None:
        super().__init__()
        k, c, _, _ = plain.weight.shape
        weight = plain.weight.permute(2, 3, 1, 0).reshape(9, c * k)
        self.register_buffer("weight", (torch.kron(WEIGHTS, WEIGHTS) @ weight).view(16, c, k))
        self.bias = plain.bias
        self.register_buffer("inputs", torch.kron(INPUTS, INPUTS).float())
        self.register_buffer("outputs", torch.kron(OUTPUTS, OUTPUTS).float())

    @staticmethod
    def applies_to(plain: nn.Conv2d) -> bool:
        """Whether this class can replace a convolution and is faster."""
        return (
            _kind(plain) == "Conv2d"
            and plain.weight.device.type == "cpu"
            and plain.kernel_size == (3, 3)
            and plain.stride == plain.padding == plain.dilation == (1, 1)
            and plain.groups == 1
            and plain.padding_mode == "zeros"
            and min(plain.in_channels, plain.out_channels) >= WIDE
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, K, h, w)."""
        b, c, h, w = images.shape
        padded = functional.pad(images, (1, 1 + w % 2, 1, 1 + h % 2))
        tiles = padded.unfold(2, 4, 2).unfold(3, 4, 2).permute(4, 5, 0, 2, 3, 1)
        _, _, _, y, x, _ = tiles.shape
        transformed = (self.inputs @ tiles.reshape(16, -1)).view(16, -1, c)  # type: ignore[operator]
        products = torch.bmm(transformed, self.weight).view(16, -1)  # type: ignore[arg-type]
        outputs = (self.outputs @ products).view(2, 2, b, y, x, -1)  # type: ignore[operator]
        maps = outputs.permute(2, 3, 0, 4, 1, 5).reshape(b, 2 * y, 2 * x, -1)
        if self.bias is not None:
            maps += self.bias
        return maps.permute(0, 3, 1, 2)[..., :h, :w]
