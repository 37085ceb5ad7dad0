"""The sidecar of an ONNX file: a JSON file that says what the file itself cannot say.

It stands beside the file and has its name with ``.json`` appended: ``model.onnx.json``.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from synth.errors import InputError
from synth.json_files import read_object

Layout = Literal["nchw", "nhwc"]
Colour = Literal["rgb", "bgr", "grey"]
Resize = Literal["stretch"]
Unit = Literal["px", "fraction"]
Peak = Literal["peak", "centroid"]
Marks = Literal["centre", "region"]
CHOICES: dict[str, tuple[Any, ...]] = {
    "layout": get_args(Layout),
    "colour": get_args(Colour),
    "scale": (1, 255),
    "resize": get_args(Resize),
    "place_unit": get_args(Unit),
    "locate": get_args(Peak),
    "map_marks": get_args(Marks),
}
NAMES = ("image", "r", "ratio", "place", "score", "map")  # entries that name an input or output
OUTPUTS = ("place", "score", "map")
# What anomalib 2.7.0 writes; normalisation and resizing are parts of its graph.
ANOMALIB = {"score": "pred_score", "map": "anomaly_map"}


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """How images enter an ONNX file, and what its outputs are; None: not given.

    Args:
        image: name of the input for the image; None: the only one with four axes.
        layout: order of its axes, "nchw" or "nhwc"; None: the axis of length 1 or 3 is the colour.
        size: (width, height) px to which images are stretched; None: the size that the file fixes,
            or else the size of the image.
        colour: "rgb", "bgr" or "grey" (0.299 R + 0.587 G + 0.114 B).
        scale: the largest value of an input of floats, 1 or 255. Inputs of uint8 have 255.
        mean, std: of the scaled values, one for each channel: (value - mean) / std enters.
        resize: "stretch": bilinear, antialiased, without regard to the aspect ratio.
        r, ratio: inputs for the radius, in px of the stretched image, and for the ratio.
        place: output with x and y of the centre.
        place_unit: "px" of the input, or "fraction" of its sides, where 0 is the left edge of the
            first pixel and 1 the right edge of the last one.
        score: output with the score of the image.
        map: output with the map; where there is no place, it is found in the map.
        map_marks: the pixels where the map is high: the possible "centre" of an anomaly, or every
            pixel of its "region".
        locate: the point of the map that is the place: "peak", or "centroid" of the blob around it.
    """

    image: str | None = None
    layout: Layout | None = None
    size: tuple[int, int] | None = None
    colour: Colour | None = None
    scale: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Resize = "stretch"
    r: str | None = None
    ratio: str | None = None
    place: str | None = None
    place_unit: Unit = "px"
    score: str | None = None
    map: str | None = None
    map_marks: Marks = "region"
    locate: Peak = "peak"

    @property
    def outputs(self) -> dict[str, str]:
        """The parts of an answer -> the names of their outputs."""
        names = {part: getattr(self, part) for part in OUTPUTS}
        return {part: name for part, name in names.items() if name is not None}

    @property
    def told(self) -> dict[str, str]:
        """``r`` and ``ratio`` -> the names of their inputs, where the network is told them."""
        names = {"r": self.r, "ratio": self.ratio}
        return {part: name for part, name in names.items() if name is not None}

    def to_json(self) -> str:
        """The text of the file, without the entries that have their default."""
        entries = {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if getattr(self, each.name) != each.default
        }
        return json.dumps(entries, indent=2) + "\n"


def path_of_sidecar(model: Path) -> Path:
    """``model.onnx`` -> ``model.onnx.json``."""
    return model.with_name(f"{model.name}.json")


def read(path: Path) -> Sidecar:
    """A sidecar file -> its entries.

    Raises:
        InputError: it is no JSON object, or an entry is unknown or has a wrong value.
    """
    entries = read_object(path, "write it as localize export does")
    known = [each.name for each in dataclasses.fields(Sidecar)]
    for name in entries:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise InputError(f"{path}: the entry '{name}' is unknown; {hint}")
    for name, value in entries.items():
        if fault := _fault(name, value):
            raise InputError(f"{path}: {name} is {json.dumps(value)}: {fault}")
    if not {"place", "score", "map"} & entries.keys():
        raise InputError(f"{path} names no output: give place, score or map")
    if ("r" in entries) != ("ratio" in entries):
        raise InputError(f"{path}: r and ratio are inputs of told networks: give both or neither")
    if "place_unit" in entries and "place" not in entries:
        raise InputError(f"{path}: place_unit is the unit of the output place: name it as place")
    for name in entries.keys() & {"size", "mean", "std"}:
        entries[name] = tuple(entries[name])
    return Sidecar(**entries)


def _fault(name: str, value: Any) -> str:
    """What the value of an entry should be, or "" if it can be used."""
    if name in NAMES:
        return "" if isinstance(value, str) and value else "give the name of an input or output"
    if name in CHOICES:
        choices = CHOICES[name]
        is_choice = value in choices and not isinstance(value, bool)
        return "" if is_choice else f"use {' or '.join(map(str, choices))}"
    numbers = value if isinstance(value, list) else []
    if not all(type(each) in (int, float) and math.isfinite(each) for each in numbers):
        numbers = []
    if name == "size":
        whole = len(numbers) == 2 and all(type(each) is int and each >= 1 for each in numbers)
        return "" if whole else "give [width, height] in px"
    if len(numbers) not in (1, 3) or (name == "std" and min(numbers) <= 0):
        return f"give a list of 1 or 3 numbers{' above 0' if name == 'std' else ''}"
    return ""
