"""Exports a trained method as an ONNX file with its sidecar, if both give the same answers."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from localize import registry
from localize.localizer import Finding, Localizer, Told
from localize.onnx.model import OnnxModel
from localize.onnx.session import require
from localize.onnx.sidecar import Sidecar, path_of_sidecar
from synth import folders, output_file, scenes
from synth.anomaly import Anomaly, apply
from synth.errors import InputError
from synth.paths import fit_name, path_of

PRODUCER = "acuity"  # recorded in every exported file
OPSET = 18
ANY_SIZE = ((256, 192), (149, 230))  # (width, height) px of the images of the comparison
PER_SIZE = 3  # images of each size
LARGEST = 2**31  # bytes of an ONNX file
# Largest differences between the answers of the export and those of the original.
PLACE, SCORE, MAP = 0.1, 1e-3, 1e-3


@dataclass(frozen=True)
class Differences:
    """The largest differences between the answers of two localizers to the same images.

    Args:
        images: number of images.
        place: px; None where both give none.
        score: as a share of the larger of the score and 1e-3.
        map: as a share of the range of the original's map.
    """

    images: int
    place: float | None
    score: float | None
    map: float | None

    @property
    def fault(self) -> str:
        """The differences that exceed their limits, or ""."""
        limits = (
            ("place", self.place, PLACE),
            ("score", self.score, SCORE),
            ("map", self.map, MAP),
        )
        return ", ".join(
            f"{name} {value:.2g} (limit {limit:g})"
            for name, value, limit in limits
            if value is not None and not value <= limit
        )

    def __str__(self) -> str:
        parts = [("place", self.place, " px"), ("score", self.score, ""), ("map", self.map, "")]
        given = [f"{name} {value:.2g}{unit}" for name, value, unit in parts if value is not None]
        return ", ".join(given)


def export(spec: str | Path, out: str | Path, *, overwrite: bool = False) -> Differences:
    """Exports a localizer as an ONNX file, with its sidecar beside it.

    The file is kept only if its answers to synthetic images are those of the original.

    Args:
        spec: a run folder, or another SPEC of a method that can be exported.
        out: the file; its name ends in ``.onnx``.
        overwrite: replace a file that an earlier export wrote.

    Returns:
        the largest differences that were found. If one has a ``fault``, nothing was written.

    Raises:
        InputError: the method cannot be exported, or the file must not be written.
    """
    out = path_of(out)
    if not registry.is_onnx(out):
        raise InputError(f"{out}: the name of an ONNX file ends in .onnx")
    _check(out, overwrite)
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module)
    original = registry.load(spec, device="cpu")
    try:
        network, sidecar = original.to_onnx()
    except NotImplementedError:
        names = ", ".join(exportable())
        raise InputError(f"{spec} cannot be exported; these methods can: {names}") from None
    data = encode(network, sidecar, {"method": registry.name_of(spec)})
    temporary = out.with_name(fit_name(f".{out.name}", ".checked.onnx"))
    try:
        temporary.write_bytes(data)
        path_of_sidecar(temporary).write_text(sidecar.to_json(), encoding="utf-8")
        found = compare(original, OnnxModel(temporary, device="cpu"), sidecar.size)
        if found.fault:
            return found
        # The sidecar comes first: a file without one would be used in another way.
        folders.write(path_of_sidecar(out), sidecar.to_json())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
        path_of_sidecar(temporary).unlink(missing_ok=True)
    return found


def exportable() -> list[str]:
    """The names of the methods that can be exported."""
    return [
        name
        for name, entry in registry.METHODS.items()
        if entry.implementation().to_onnx is not Localizer.to_onnx
    ]


def encode(network: Any, sidecar: Sidecar, about: dict[str, str]) -> bytes:
    """A network and its sidecar, as of ``Localizer.to_onnx`` -> the bytes of the ONNX file.

    Args:
        about: entries of the metadata of the file, beside the versions.

    Raises:
        InputError: torch cannot export the network, or the file would be too large.
    """
    import torch

    dim = torch.export.Dim
    width, height = sidecar.size or (ANY_SIZE[0])
    numbers = [torch.full((2 if sidecar.size else 1,), value) for value in (20.0, 1.1)]
    inputs = (
        torch.zeros((len(numbers[0]), 3, height, width), dtype=torch.uint8),
        *(numbers if sidecar.told else ()),
    )
    if sidecar.size:
        batch = dim("batch", min=1)
        shapes: Any = [{0: batch} for _ in inputs]
    else:
        shapes = [{2: dim("height", min=1), 3: dim("width", min=1)}]
    if sidecar.told:  # the numbers are variable arguments of the network
        shapes = [shapes[0], tuple(shapes[1:])]
    try:
        with _silence():
            program = torch.onnx.export(
                network.cpu().eval(), inputs, dynamo=True, opset_version=OPSET, verbose=False,
                input_names=[sidecar.image or "image", *sidecar.told.values()],
                output_names=list(sidecar.outputs.values()), dynamic_shapes=tuple(shapes),
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        reason = next((each for each in str(error).splitlines()[::-1] if "Error'>" in each), error)
        raise InputError(f"torch cannot export this network as ONNX: {reason}") from None
    assert program is not None
    model = program.model_proto
    if model.ByteSize() >= LARGEST:
        raise InputError(f"the export has {model.ByteSize()} bytes, and an ONNX file below 2 GiB")
    model.producer_name, model.producer_version = PRODUCER, importlib.metadata.version("acuity")
    versions = {name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxscript")}
    about = {**about, "opset": str(OPSET), "versions": json.dumps(versions)}
    del model.metadata_props[:]
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    return data


def compare(
    original: Localizer, export: Localizer, size: tuple[int, int] | None = None
) -> Differences:
    """Two localizers -> the largest differences of their answers to synthetic images.

    Args:
        size: (width, height) px to which both stretch their images, if they do. Half of the images
            have this size, the others another one.
    """
    sizes = ANY_SIZE if size is None else (size, ANY_SIZE[1])
    images, told = _images(sizes)
    firsts, seconds = (
        [
            each.locate([image], [numbers] if each.told else None)[0]
            for image, numbers in zip(images, told, strict=True)
        ]
        for each in (original, export)
    )
    pairs = list(zip(firsts, seconds, strict=True))
    return Differences(
        len(images),
        _largest([_place_difference(*pair) for pair in pairs]),
        _largest([_score_difference(*pair) for pair in pairs]),
        _largest([_map_difference(*pair) for pair in pairs]),
    )


def _images(sizes: tuple[tuple[int, int], ...]) -> tuple[list[np.ndarray], list[Told]]:
    """Parts of a procedural photo with a region each, of seed 0."""
    rng = np.random.default_rng(0)
    widest, highest = (max(scenes.SMALLEST, *lengths) for lengths in zip(*sizes, strict=True))
    scene = scenes.scene(widest, highest, rng)
    images, told = [], []
    for number in range(PER_SIZE * len(sizes)):
        width, height = sizes[number % len(sizes)]
        left, top = (
            int(rng.integers(whole - part + 1))
            for whole, part in ((scene.shape[1], width), (scene.shape[0], height))
        )
        r = min(width, height) / 4
        x, y, ratio = rng.uniform(r, width - r), rng.uniform(r, height - r), rng.uniform(1.1, 1.5)
        region = Anomaly(x=x, y=y, r=r, discolor_ratio=float(ratio))
        images.append(apply(scene[top : top + height, left : left + width], region))
        told.append(Told(r, region.discolor_ratio))
    return images, told


def _place_difference(first: Finding, second: Finding) -> float | None:
    if math.isnan(first.x) and math.isnan(second.x):
        return None
    return math.hypot(first.x - second.x, first.y - second.y)


def _score_difference(first: Finding, second: Finding) -> float | None:
    if first.score is None:
        return None if second.score is None else math.inf
    if second.score is None:
        return math.inf
    return abs(first.score - second.score) / max(abs(first.score), 1e-3)


def _map_difference(first: Finding, second: Finding) -> float | None:
    if first.map is None or second.map is None:
        return None if first.map is second.map else math.inf
    spread = float(np.ptp(first.map))
    return float(np.abs(first.map - second.map).max()) / max(spread, 1e-9)


def _largest(values: list[float | None]) -> float | None:
    """The largest value; NaN where one is NaN; None where all are None."""
    given = [value for value in values if value is not None]
    return float(np.max(given)) if given else None


def _check(out: Path, overwrite: bool) -> None:
    """Check that the file and its sidecar may be written.

    Raises:
        InputError: one of them exists and must not be replaced.
    """
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: name another file, or pass --overwrite")
    output_file.check(out, _is_export, overwrite)
    sidecar = path_of_sidecar(out)
    if sidecar.exists() and not out.exists():
        raise InputError(f"{sidecar} exists, but not {out}: name another file")


def _is_export(path: Path) -> bool:
    """Whether an ONNX file names Acuity as its producer, which it does in its first bytes."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return PRODUCER.encode() in file.read(64)
    return False


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """In the block, the notes of torch's exporter are not shown."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
