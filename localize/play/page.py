"""Builds the play page: images of a dataset, scores of methods and scripts in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from localize.data.folder import Folder
from localize.play import method_scores
from synth import anomaly as anomalies
from synth import output_file
from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.paths import name_of, path_of
from synth.text_escapes import escape_unprintable

MAX_BYTES = 12_000_000  # of the whole page
STYLE = "play.css"
TITLE = "<title>How faint a change can you see?</title>"  # of page.html
SCRIPTS = (
    "pixels.js", "staircase.js", "view.js", "shell.js", "album.js", "chart.js", "start.js",
    "results.js", "play.js",
)  # fmt: skip
WEBP_SIDE = 16383  # px, the most that WebP can hold

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Page:
    """The page as HTML, the number of its images, and the number of images left out."""

    html: str
    images: int
    left_out: int


def build(
    dataset: str | Path,
    scores: str | Path | None = None,
    *,
    split: str = "all",
    count: int | None = None,
    max_bytes: int = MAX_BYTES,
    progress: Progress | None = None,
) -> Page:
    """A dataset with clean twins -> a page on which a person searches for its anomalies.

    Images of the test split come first, one per photo before any photo is repeated, until
    ``count`` images or ``max_bytes`` of the page are reached.

    Args:
        scores: folder of ``localize sharpness`` or ``compare``, to compare the person with.

    Raises:
        InputError: the dataset has no images with an anomaly or no clean twins, or the folder
            has no scores.
    """
    source = Folder(dataset, split)
    if not len(source):
        raise InputError(
            f"{dataset} has no image with an anomaly at a known place in split {split}: "
            "choose another"
        )
    method_data = method_scores.read(path_of(scores)) if scores is not None else None
    about = {
        "dataset": escape_unprintable(name_of(dataset)),
        "rows": len(source),
        "scores": method_data,
        "example": 0,
        "images": [],
    }
    left = max_bytes - len(_fill_template(about).encode()) - 20  # digits of the example's number
    images: list[dict[str, Any]] = []
    difficulties: list[float] = []
    order = _row_order(source)
    wanted = len(order) if count is None else min(count, len(order))
    for image, difficulty in _embedded_images(source, order[:wanted]):
        size = len(_json(image)) + 1
        if size > left:
            break
        left -= size
        images.append(image)
        difficulties.append(difficulty)
        if progress:
            progress(len(images), wanted)
    if not images:
        raise InputError(
            f"no image of {dataset} fits into {max_bytes / 1e6:g} MB: make them smaller"
        )
    html = _fill_template(about | {"images": images, "example": int(np.argmin(difficulties))})
    return Page(html, len(images), len(source) - len(images))


def is_page(path: Path) -> bool:
    """Whether a file is a play page written by Acuity."""
    return output_file.contains(path, TITLE)


def _row_order(source: Folder) -> list[int]:
    """Row numbers: the test split first, each photo once before any is repeated."""
    rows = source.table
    repetition = rows.groupby(np.array(source.groups, dtype=object)).cumcount().to_numpy()
    rank = rows["split"].map({"test": 0, "val": 1, "train": 2}).to_numpy()
    shuffle = np.random.default_rng(0).permutation(len(rows))
    return [int(i) for i in np.lexsort((shuffle, repetition, rank))]


def _embedded_images(source: Folder, order: list[int]) -> Iterator[tuple[dict[str, Any], float]]:
    """Yields the page's data of each image, and how difficult the image is as an example."""
    rows = source.table.to_dict("records")
    for number in order:
        row = rows[number]
        if not row["clean_file_name"]:
            raise InputError(
                f"{source.where(row['file_name'])} has no clean twin to draw the change on: "
                "make the dataset with synth generate --twins"
            )
        twin = source.read_image(row["clean_file_name"])
        truth, (width, height) = source.truth(number)
        if twin.shape[:2] != (height, width):
            raise InputError(
                f"{source.where(row['clean_file_name'])} is {twin.shape[1]}x{twin.shape[0]}, "
                f"the table says {width}x{height}: synth verify checks the dataset"
            )
        image = {
            "file_name": row["file_name"],
            "photo": row["photo"],
            "width": width,
            "height": height,
            "x": truth.x,
            "y": truth.y,
            "r": truth.r,
            "shape": truth.shape,
            "overflow": truth.overflow,
            "rounding": truth.rounding,
            "feather": truth.feather,
            "ratio": truth.discolor_ratio,
            "checksum": zlib.adler32(twin.tobytes()),
            **_encode_image(twin),
        }
        yield image, _example_difficulty(twin, truth)


def _example_difficulty(pixels: np.ndarray, truth: Anomaly) -> float:
    """(H, W, 3) uint8 -> higher for a textured, dark, bright, very large or very small region."""
    surrounding = replace(truth, r=truth.r + 20)
    grey = pixels[anomalies.window(surrounding, *pixels.shape[:2])].mean(axis=2)
    steps = np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=0)).mean()
    return float(steps + abs(grey.mean() - 130) / 20 + abs(truth.r - 45) / 10)


def _encode_image(pixels: np.ndarray) -> dict[str, str]:
    """(H, W, 3) uint8 -> lossless image file as base64, and its MIME type."""
    kind = "webp" if max(pixels.shape) <= WEBP_SIDE else "png"
    out = io.BytesIO()
    options = {"lossless": True, "quality": 50} if kind == "webp" else {}
    Image.fromarray(pixels).save(out, kind.upper(), **options)
    return {"type": f"image/{kind}", "data": base64.b64encode(out.getvalue()).decode()}


def _fill_template(about: dict[str, Any]) -> str:
    """The HTML template with style, script and data inserted."""
    style = _asset(STYLE)
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"
    data = _json(about)
    parts = {
        # The browser fetches nothing and runs no other script, even if the data contain markup.
        "policy": (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": data,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def _json(value: Any) -> str:
    """JSON in which no text can close the surrounding HTML element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (resources.files("localize.play") / "web" / name).read_text(encoding="utf-8")
