"""The options of a localizer in an ONNX file, without onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from localize.options import DeviceOptions

SUFFIX = ".onnx"


def is_onnx(spec: object) -> bool:
    """Whether a SPEC names an ONNX file."""
    return str(spec).lower().endswith(SUFFIX)


@dataclass(frozen=True, kw_only=True)
class OnnxOptions(DeviceOptions):
    """Options of ``model.onnx``."""

    family: ClassVar[str] = "model.onnx"
