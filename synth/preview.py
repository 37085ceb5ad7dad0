"""A contact sheet of a dataset: image, clean twin, amplified difference and outlined region."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from synth import anomaly as anomalies
from synth import dataset as datasets
from synth import photos
from synth.anomaly import Anomaly
from synth.errors import InputError, Skipped
from synth.files import Files
from synth.paths import name_of
from synth.storage import Place

MOST = 200  # rows on one sheet; viewers cannot open a larger picture

_TILE = 256  # px, the longer side of a picture on the sheet
_GAP, _MARGIN, _CAPTION, _HEAD = 10, 20, 34, 76
_PAPER, _INK, _FAINT, _EMPTY = (250, 250, 248), (28, 28, 30), (116, 116, 122), (233, 233, 230)
_HEADS = ("image", "clean twin", "difference, amplified", "region")
_FINE = 4  # factor by which the outline is drawn larger and then reduced, for smooth edges


def preview(dataset: str | Place, count: int = 8, seed: int = 0) -> np.ndarray:
    """A dataset -> (H, W, 3) uint8: a sheet with ``count`` of its rows.

    The table is divided into ``count`` equal parts, and ``seed`` selects one row of each. The
    difference image - twin is multiplied by the factor written on the sheet and drawn around 128.

    Raises:
        InputError: there is no dataset, a row or image is invalid, or count or seed is
            out of range.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"count is {count}: give 1 to {MOST} rows")
    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")
    files = datasets.open_files(dataset)
    table = datasets.read(files)
    chosen = choose_rows(len(table), count, seed)
    rows = table.iloc[chosen].to_dict("records")
    sizes = [_tile_size(int(row["width"]), int(row["height"])) for row in rows]
    width = 2 * _MARGIN + 4 * _TILE + 3 * _GAP
    height = _HEAD + sum(high + _CAPTION for _, high in sizes) + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    title = f"{_latin1(name_of(str(files.place)))}: {len(rows)} of {len(table)} rows"
    _write(draw, (_MARGIN, 14), title, 20, _INK)
    for column, head in enumerate(_HEADS):
        _write(draw, (_left(column), 48), head, 14, _FAINT)
    top = _HEAD
    for number, row, size in zip(chosen, rows, sizes, strict=True):
        try:
            _row(sheet, top, size, files, row)
        except Skipped as reason:
            raise InputError(f"row {number} ({row['file_name']}): {reason}") from None
        what, numbers = _caption(number, row)
        under = top + size[1] + 6
        _write(draw, (_left(0), under), what, 13, _FAINT)
        _write(draw, (_left(2), under), numbers, 13, _INK)
        top += size[1] + _CAPTION
    return np.asarray(sheet)


def choose_rows(total: int, count: int, seed: int) -> list[int]:
    """``count`` sorted row numbers from 0 to ``total`` - 1, one from each of ``count`` parts.

    >>> choose_rows(4, 8, seed=0)
    [0, 1, 2, 3]
    """
    edges = np.linspace(0, total, min(count, total) + 1).astype(int)
    rng = np.random.default_rng(seed)
    return [int(rng.integers(low, high)) for low, high in itertools.pairwise(edges.tolist())]


def _left(column: int) -> int:
    return _MARGIN + column * (_TILE + _GAP)


def _tile_size(width: int, height: int) -> tuple[int, int]:
    scale = _TILE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _row(
    sheet: Image.Image, top: int, size: tuple[int, int], files: Files, row: dict[Any, Any]
) -> None:
    """Draws the four pictures of a row."""
    truth = datasets.truth(row)
    image = _read(files, row["file_name"], row)
    twin = _read(files, row["clean_file_name"], row) if row["clean_file_name"] else None
    small = _resize(image, size)
    sheet.paste(small, (_left(0), top))
    if twin is None:
        _blank(sheet, _left(1), top, size, "no clean twin")
        _blank(sheet, _left(2), top, size, "no clean twin")
    else:
        sheet.paste(_resize(twin, size), (_left(1), top))
        pixels, gain = difference(image, twin, truth)
        sheet.paste(_resize(pixels, size), (_left(2), top))
        _badge(sheet, _left(2), top, size, f"x {gain}")
    if not datasets.is_unplaced(row):
        sheet.paste(draw_outline(small, truth, image.shape[1], image.shape[0]), (_left(3), top))
    elif (mask := datasets.region(row, files)) is not None:
        sheet.paste(draw_mask_outline(small, mask), (_left(3), top))
    else:
        _blank(sheet, _left(3), top, size, "place not known")


def _read(files: Files, name: str, row: dict[Any, Any]) -> np.ndarray:
    pixels = photos.read(files, name, keep_profile=True).pixels
    high, wide = pixels.shape[:2]
    if (wide, high) != (row["width"], row["height"]):
        recorded = f"{row['width']}x{row['height']}"
        raise Skipped(f"{name} is {wide}x{high}, in the table {recorded}")
    return pixels


def _resize(pixels: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)


def difference(
    image: np.ndarray, twin: np.ndarray, truth: Anomaly | None
) -> tuple[np.ndarray, int]:
    """(H, W, 3) uint8 image - twin -> (H, W, 3) uint8 around 128, and the factor, 1 to 64.

    The factor makes the median change in the region about 80 code values; it is 1 for a clean
    image or without a change.
    """
    change = image.astype(np.int16) - twin
    gain = 1
    if truth is not None:
        inside = np.abs(change[anomalies.mask(truth, *image.shape[:2])])
        usual = float(np.median(inside)) if inside.size else 0.0
        gain = int(np.clip(round(80 / max(usual, 1.0)), 1, 64)) if inside.any() else 1
    return (128 + gain * change.astype(np.int32)).clip(0, 255).astype(np.uint8), gain


def draw_outline(small: Image.Image, truth: Anomaly | None, width: int, height: int) -> Image.Image:
    """A picture, reduced from width x height px -> a copy with the outline of the region.

    The outline is a thin white line on a black one, outside the region.
    """
    if truth is None:
        return small.copy()
    across, down = small.width / width, small.height / height
    line = Image.new("L", (small.width * _FINE, small.height * _FINE), 0)
    shadow = line.copy()
    for layer, near, far in ((shadow, 0.0, 3.2), (line, 1.0, 2.2)):
        pen = ImageDraw.Draw(layer)
        for distance, ink in ((far, 255), (near, 0)):
            # On the sheet pixel i spans i to i + 1; in the table its centre is at i.
            half_x = (truth.r + 0.5) * across + distance
            half_y = (truth.r + 0.5) * down + distance
            middle_x, middle_y = (truth.x + 0.5) * across, (truth.y + 0.5) * down
            where = [
                _FINE * (middle_x - half_x),
                _FINE * (middle_y - half_y),
                _FINE * (middle_x + half_x) - 1,
                _FINE * (middle_y + half_y) - 1,
            ]
            (pen.ellipse if truth.shape == "circle" else pen.rectangle)(where, fill=ink)
    drawn = small.copy()
    for layer, colour in ((shadow, (0, 0, 0)), (line, (255, 255, 255))):
        drawn.paste(colour, mask=layer.resize(small.size, Image.Resampling.BOX))
    return drawn


def draw_mask_outline(small: Image.Image, mask: np.ndarray) -> Image.Image:
    """A picture, reduced from (H, W) bool -> a copy with the outline of the mask.

    The outline is a thin white line on a black one, outside the masked pixels.
    """
    whole = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    inside = whole.resize(small.size, Image.Resampling.NEAREST)
    drawn = small.copy()
    for width, colour in ((3, (0, 0, 0)), (2, (255, 255, 255)), (1, (0, 0, 0))):
        drawn.paste(colour, mask=inside.filter(ImageFilter.MaxFilter(2 * width + 1)))
    drawn.paste(small, mask=inside)
    return drawn


def _caption(number: int, row: dict[Any, Any]) -> tuple[str, str]:
    """Two texts for a row: its number, split and file; the numbers of its truth."""
    name = _latin1(Path(row["file_name"]).name)
    what = f"row {number}, {row['split']}: {name if len(name) <= 48 else name[:45] + '...'}"
    truth = datasets.truth(row)
    if datasets.is_unplaced(row):
        return what, f"anomaly, {'only its mask' if row['mask_file_name'] else 'place not'} known"
    if truth is None:
        return what, "clean"
    numbers = f"ratio {truth.discolor_ratio:.5g}   r {truth.r:.4g}   x {truth.x:.5g}   "
    return what, f"{numbers}y {truth.y:.5g}   {truth.shape}"


def _latin1(text: str) -> str:
    """Text with a question mark for characters that Pillow's font lacks."""
    return text.encode("latin-1", "replace").decode("latin-1")


def _write(
    draw: ImageDraw.ImageDraw,
    where: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "la",
) -> None:
    draw.text(where, text, fill=colour, font=ImageFont.load_default(size=size), anchor=anchor)


def _blank(sheet: Image.Image, left: int, top: int, size: tuple[int, int], note: str) -> None:
    draw = ImageDraw.Draw(sheet)
    width, height = size
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=_EMPTY)
    if height >= 20 and width >= 100:
        _write(draw, (left + width / 2, top + height / 2), note, 13, _FAINT, anchor="mm")


def _badge(sheet: Image.Image, left: int, top: int, size: tuple[int, int], text: str) -> None:
    """Writes a text on dark ground into the lower left corner of a picture."""
    if size[0] < 48 or size[1] < 28:
        return
    draw = ImageDraw.Draw(sheet)
    right, bottom = left + 10 + 8 * len(text), top + size[1]
    draw.rectangle((left, bottom - 20, right, bottom - 1), fill=_INK)
    _write(draw, ((left + right) / 2, bottom - 10), text, 12, _PAPER, anchor="mm")
