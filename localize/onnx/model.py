"""SPEC ``model.onnx``: a network in an ONNX file, run with onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from localize.data.batches import to_input
from localize.localizer import Finding, Localizer, Part, Told
from localize.methods.peak import position, resize_place
from localize.onnx import sidecar as sidecars
from localize.onnx.images import image_input
from localize.onnx.options import OnnxOptions
from localize.onnx.session import TYPES, Session
from localize.onnx.sidecar import ANOMALIB, Sidecar, path_of_sidecar
from synth.errors import InputError, Skipped
from synth.paths import path_of

NUMBER = {**TYPES, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


class OnnxModel(Localizer):
    """A network in an ONNX file; the sidecar beside it says how it is used.

    Without a sidecar, the outputs must have the names that anomalib gives them. Where there is a
    map and no score, the score is the maximum of the map.

    Args:
        path: the file.
        options: of :class:`~localize.onnx.options.OnnxOptions`.

    Raises:
        InputError: the file cannot be used, or its sidecar does not fit it.
    """

    batch_size = 1  # images enter one by one, so that an answer depends on no other image

    def __init__(self, path: str | Path, **options: Any) -> None:
        device = OnnxOptions(**options).device
        self.path = path_of(path)
        self._session = Session(self.path, device, torch.get_num_threads())
        self.sidecar = self._read_sidecar()
        self._image = image_input(str(self.path), self._session.inputs, self.sidecar)
        self._check_names()
        outputs = self.sidecar.outputs
        self.told = frozenset({"r", "discolor_ratio"} if self.sidecar.told else ())
        self.map_marks = self.sidecar.map_marks if "map" in outputs else "centre"
        gives: dict[Part, bool] = {
            "place": bool({"place", "map"} & outputs.keys()),
            "score": bool({"score", "map"} & outputs.keys()),
            "map": "map" in outputs,
        }
        self.gives = frozenset(part for part, given in gives.items() if given)

    @property
    def parameters(self) -> None:
        """None: an ONNX file does not say which of its numbers were learned."""
        return None

    def _read_sidecar(self) -> Sidecar:
        """The sidecar beside the file; else that of an export of anomalib."""
        path = path_of_sidecar(self.path)
        if path.is_file():
            return sidecars.read(path)
        names = {each.name for each in self._session.outputs}
        found = {part: name for part, name in ANOMALIB.items() if name in names}
        if not found:
            raise InputError(
                f"{self.path} has no output that is known by its name: it has "
                f"{', '.join(map(str, self._session.outputs))}; say in {path.name} beside it "
                'which is place (x and y), score or map, for instance {"map": "'
                f'{self._session.outputs[0].name}"}}'
            )
        return Sidecar(**found)  # type: ignore[arg-type]

    def _check_names(self) -> None:
        """Check that all names of the sidecar exist, and that all inputs get a value."""
        where = self.path
        outputs = {each.name: each for each in self._session.outputs}
        for part, name in self.sidecar.outputs.items():
            if name not in outputs:
                listed = ", ".join(map(str, outputs.values()))
                raise InputError(f"{where} has no output '{name}' ({part}): it has {listed}")
        self._told_ports = {}
        inputs = {each.name: each for each in self._session.inputs}
        for part, name in self.sidecar.told.items():
            if name not in inputs:
                listed = ", ".join(map(str, inputs.values()))
                raise InputError(f"{where} has no input '{name}' ({part}): it has {listed}")
            port = inputs[name]
            if port.kind not in NUMBER or any(each not in (None, 1) for each in port.shape[1:]):
                raise InputError(f"{where}: input {port} ({part}) takes no single number")
            self._told_ports[part] = port
        given = {self._image.name, *self.sidecar.told.values()}
        for name, port in inputs.items():
            if name not in given:
                raise InputError(
                    f"{where} needs the input {port}, which is neither the image nor named as r "
                    "or ratio in the sidecar: such files cannot be used"
                )

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px.

        Raises:
            Skipped: onnxruntime refuses an image, or an output is no answer.
        """
        if self.told and told is None:
            raise InputError(f"{self.path} is told r and ratio: give both")
        numbers = told if self.told else [None] * len(images)
        assert numbers is not None
        return [self._locate(*each) for each in zip(images, numbers, strict=True)]

    def _locate(self, image: np.ndarray, told: Told | None) -> Finding:
        shape, size = image.shape[:2], self._image.size_of(image)
        inputs = {self._image.name: self._image.array(image)}
        if told is not None:
            values = {"r": to_input(told.r, shape[::-1], size), "ratio": told.discolor_ratio}
            for part, port in self._told_ports.items():
                axes = [self._image.batch, *[1] * len(port.shape)][: len(port.shape)]
                inputs[port.name] = np.full(axes, values[part], NUMBER[port.kind])
        names = self.sidecar.outputs
        arrays = self._session.run(list(names.values()), inputs)
        answer = dict(zip(names, arrays, strict=True))
        place, score, map = (answer.get(part) for part in ("place", "score", "map"))
        x, y = math.nan, math.nan
        if map is not None:
            map = self._one(map, "map", 2)
            if np.isnan(map).any():
                raise Skipped("its map holds NaN")
            x, y = resize_place(position(map, self.sidecar.locate), map.shape, shape)
        if place is not None:
            x, y = self._one(place, "place", 1)
            if self.sidecar.place_unit == "fraction":
                x, y = x * size[0] - 0.5, y * size[1] - 0.5
            x, y = resize_place((float(x), float(y)), size[::-1], shape)
        value = None if score is None else float(self._one(score, "score", 0))
        if map is not None and value is None:
            value = float(map.max())
        if map is not None and map.shape != shape:
            map = cv2.resize(map, shape[::-1], interpolation=cv2.INTER_LINEAR)
        return Finding(x, y, score=value, map=map)

    def _one(self, array: np.ndarray, part: str, axes: int) -> np.ndarray:
        """The part of an output that belongs to the first image: (h, w), (2,) or a number.

        Raises:
            Skipped: the output has another shape.
        """
        values = np.asarray(array, np.float32)
        if values.ndim > axes and len(values) == self._image.batch:
            values = values[0]
        if axes < 2 and values.size == axes + 1:  # one number, or x and y
            return values.reshape((2,)[:axes])
        if axes == 2 and values.ndim == 3 and 1 in values.shape[::2]:  # the axis of the channel
            values = values.squeeze(0 if len(values) == 1 else 2)
        if axes < 2 or values.ndim != 2:
            expected = ("one number", "x and y", "one map")[axes]
            raise Skipped(f"its {part} has the shape {array.shape}: {expected} is expected")
        return values
