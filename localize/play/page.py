"""The page: pictures of a dataset, the models' scores, and the game, in one HTML file."""

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

BUDGET = 12_000_000  # bytes of the whole page
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
    """The page's HTML; how many pictures it holds, and how many did not fit."""

    html: str
    shown: int
    left_out: int


def build(
    dataset: str | Path,
    scores: str | Path | None = None,
    *,
    split: str = "all",
    count: int | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Page:
    """A dataset with clean twins -> a page on which a person looks for its anomalies.

    Pictures are taken a photo at a time, those of the test split first, until ``count`` or
    ``budget`` (bytes of the page) is reached.

    Args:
        scores: folder of ``localize sharpness`` or ``compare``, to compare the person with.

    Raises:
        InputError: no dataset, no clean twins, or no scores in the folder named.
    """
    source = Folder(dataset, split)
    if not len(source):
        raise InputError(f"{dataset} has no image with an anomaly in split {split}: name another")
    others = method_scores.read(path_of(scores)) if scores is not None else None
    about = {
        "dataset": escape_unprintable(name_of(dataset)),
        "rows": len(source),
        "rivals": others,
        "example": 0,
        "pictures": [],
    }
    left = budget - len(_filled(about).encode()) - 20  # for what the example's number may add
    pictures: list[dict[str, Any]] = []
    plain: list[float] = []
    order = _order(source)
    wanted = len(order) if count is None else min(count, len(order))
    for picture, texture in _pictures(source, order[:wanted]):
        size = len(_json(picture)) + 1
        if size > left:
            break
        left -= size
        pictures.append(picture)
        plain.append(texture)
        if progress:
            progress(len(pictures), wanted)
    if not pictures:
        raise InputError(
            f"no picture of {dataset} fits into {budget / 1e6:g} MB: make them smaller"
        )
    html = _filled(about | {"pictures": pictures, "example": int(np.argmin(plain))})
    return Page(html, len(pictures), len(source) - len(pictures))


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours."""
    return output_file.contains(path, TITLE)


def _order(source: Folder) -> list[int]:
    """Row numbers: each photo once before any comes again, and the test split first."""
    rows = source.table
    turn = rows.groupby(np.array(source.groups, dtype=object)).cumcount().to_numpy()
    rank = rows["split"].map({"test": 0, "val": 1, "train": 2}).to_numpy()
    shuffle = np.random.default_rng(0).permutation(len(rows))
    return [int(i) for i in np.lexsort((shuffle, turn, rank))]


def _pictures(source: Folder, order: list[int]) -> Iterator[tuple[dict[str, Any], float]]:
    """The pictures in that order, and how hard a change is to see in each."""
    rows = source.table.to_dict("records")
    for number in order:
        row = rows[number]
        if not row["clean_file_name"]:
            raise InputError(
                f"{source.folder / row['file_name']} has no clean twin to draw on: "
                "make the dataset with synth generate --twins"
            )
        twin = source.read_image(row["clean_file_name"])
        truth, (width, height) = source.truth(number)
        if twin.shape[:2] != (height, width):
            raise InputError(
                f"{source.folder / row['clean_file_name']} is {twin.shape[1]}x{twin.shape[0]}, "
                f"the table says {width}x{height}: synth verify checks the dataset"
            )
        picture = {
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
            **_encoded(twin),
        }
        yield picture, _camouflage(twin, truth)


def _camouflage(pixels: np.ndarray, truth: Anomaly) -> float:
    """(H, W, 3) uint8 -> how badly the place suits an example: textured, dark, large or small."""
    around = replace(truth, r=truth.r + 20)
    grey = pixels[anomalies.window(around, *pixels.shape[:2])].mean(axis=2)
    steps = np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=0)).mean()
    return float(steps + abs(grey.mean() - 130) / 20 + abs(truth.r - 45) / 10)


def _encoded(pixels: np.ndarray) -> dict[str, str]:
    """(H, W, 3) uint8 -> its bytes without loss, and their type."""
    kind = "webp" if max(pixels.shape) <= WEBP_SIDE else "png"
    out = io.BytesIO()
    options = {"lossless": True, "quality": 50} if kind == "webp" else {}
    Image.fromarray(pixels).save(out, kind.upper(), **options)
    return {"type": f"image/{kind}", "data": base64.b64encode(out.getvalue()).decode()}


def _filled(about: dict[str, Any]) -> str:
    """The template with style, script and data in it."""
    style = _asset(STYLE)
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"
    data = _json(about)
    parts = {
        # Nothing is fetched, and no script but this one runs, whatever the data hold.
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
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (resources.files("localize.play") / "web" / name).read_text(encoding="utf-8")
