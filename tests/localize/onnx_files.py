"""ONNX files for the tests, written node by node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Port = tuple[str, str, Sequence[int | str]]  # name, element type, axes
Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]  # operator, inputs, outputs, ...


def write(
    path: Path,
    inputs: Sequence[Port],
    nodes: Sequence[Node],
    outputs: Sequence[Port],
    constants: dict[str, Any] | None = None,
    sidecar: dict[str, Any] | None = None,
) -> Path:
    """Writes a graph and, if there is one, its sidecar -> ``path``."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def ports(given: Sequence[Port]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, getattr(TensorProto, kind), axes)
            for name, kind, axes in given
        ]

    graph = helper.make_graph(
        [helper.make_node(kind, into, out, **options) for kind, into, out, options in nodes],
        "test", ports(inputs), ports(outputs),
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    if sidecar is not None:
        path.with_name(f"{path.name}.json").write_text(json.dumps(sidecar), encoding="utf-8")
    return path


def brightness(path: Path, sidecar: dict[str, Any] | None, **changes: Any) -> Path:
    """A file whose output ``heat``, (B, 1, h, w), is the mean of the channels of its input.

    Args:
        changes: ``kind`` and ``shape`` of the input; ``output``, the name of the output.
    """
    import numpy as np

    kind = changes.get("kind", "FLOAT")
    shape = changes.get("shape", ("batch", 3, "height", "width"))
    output = changes.get("output", "heat")
    channels_last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    nodes: list[Node] = [("Cast", ["image"], ["float"], {"to": 1})]
    if channels_last:
        nodes.append(("Transpose", ["float"], ["planes"], {"perm": [0, 3, 1, 2]}))
    source = "planes" if channels_last else "float"
    nodes.append(("ReduceMean", [source, "channels"], [output], {"keepdims": 1}))
    return write(
        path, [("image", kind, shape)], nodes, [(output, "FLOAT", ("b", 1, "h", "w"))],
        {"channels": np.array([1])}, sidecar,
    )  # fmt: skip
