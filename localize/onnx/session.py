"""An ONNX file -> a session of onnxruntime, with its inputs and outputs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synth.errors import InputError, Skipped

INSTALL = "pip install 'acuity[onnx]'"
CUDA = "CUDAExecutionProvider"
# Element types of tensors, as onnxruntime spells them.
TYPES: dict[str, type[np.generic]] = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
FATAL = 4  # the level of onnxruntime's own messages; errors are raised as exceptions all the same


@dataclass(frozen=True)
class Port:
    """An input or output: its name, its element type and its axes; None: of any length."""

    name: str
    kind: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        axes = " x ".join("?" if each is None else str(each) for each in self.shape)
        return f"{self.name} ({axes or 'a number'}, {self.kind[7:-1] or self.kind})"


def require(module: str) -> Any:
    """Import a module of the extra ``onnx``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"ONNX files need {module} ({error}): {INSTALL}") from None


class Session:
    """A network in an ONNX file.

    Args:
        path: the file.
        device: auto, cpu or cuda; auto is cuda if both onnxruntime and the machine have it.
        threads: number of threads.

    Raises:
        InputError: there is no such file, onnxruntime cannot run it, or the device is missing.
    """

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        if not path.is_file():
            raise InputError(f"no file at {path}: name an ONNX file, or make one: localize export")
        onnxruntime = require("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = FATAL
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, _providers(onnxruntime, device)
            )
        except InputError:
            raise
        except Exception as error:  # its exceptions have no common class
            reason = _first_line(error)
            raise InputError(f"{path} is no ONNX file that onnxruntime runs: {reason}") from None
        self.path = path
        self.inputs = [_port(each) for each in self._session.get_inputs()]
        self.outputs = [_port(each) for each in self._session.get_outputs()]

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Inputs by name -> the arrays of the outputs.

        Raises:
            Skipped: onnxruntime refuses the inputs; the message is its first line.
        """
        try:
            arrays: list[np.ndarray] = self._session.run(outputs, inputs)
        except Exception as error:
            raise Skipped(f"onnxruntime: {_first_line(error)}") from None
        return arrays


def _providers(onnxruntime: Any, device: str) -> list[str]:
    """The execution providers for a device, the preferred one first.

    Raises:
        InputError: onnxruntime cannot compute on the device.
    """
    from localize.training.devices import device_of

    has_cuda = CUDA in onnxruntime.get_available_providers()
    if device == "auto":
        device = "cuda" if has_cuda and device_of("auto").type == "cuda" else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"device '{device}': ONNX files run on cpu or cuda")
    if device == "cuda" and not has_cuda:
        raise InputError(
            "device 'cuda': this onnxruntime computes on the CPU only; install onnxruntime-gpu, "
            "or use cpu"
        )
    return [CUDA, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]


def _port(port: Any) -> Port:
    shape = tuple(each if isinstance(each, int) and each > 0 else None for each in port.shape)
    return Port(port.name, port.type, shape)


def _first_line(error: Exception) -> str:
    """The first line of an error's text, without the codes of onnxruntime."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line.rpartition("[ONNXRuntimeError] : ")[2][:300]
