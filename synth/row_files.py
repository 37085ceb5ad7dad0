"""The rows of one photo: their random draws and their image files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synth import photos, renderer
from synth.errors import Skipped
from synth.generate_log import PhotoResult
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.photos import Photo
from synth.recipe import Draw, Recipe
from synth.storage import Place

Write = Callable[[str, bytes], None]
EXTENSIONS = {"jpeg": "jpg", "png": "png"}


def make_rows(
    source: Place, name: str, origin: tuple[str, str], recipe: Recipe, out: Path
) -> PhotoResult:
    """Makes all rows of one photo and writes their files below ``out``; see :func:`render_rows`."""

    def write(file_name: str, data: bytes) -> None:
        (out / file_name).write_bytes(data)

    return render_rows(source, name, origin, recipe, write)


def render_rows(
    source: Place, name: str, origin: tuple[str, str], recipe: Recipe, write: Write
) -> PhotoResult:
    """Makes all rows of one photo.

    Args:
        source: the folder of photos.
        name: name of the photo in it.
        origin: source address and licence of the photo.
        recipe: the parameters.
        write: called with name in the dataset and bytes of each file.

    Returns:
        The rows, or the reason why the photo was skipped.

    Raises:
        Interrupted: memory is exhausted.
    """
    sizes: dict[str, int] = {}

    def write_and_count(file_name: str, data: bytes) -> None:
        write(file_name, data)
        sizes[file_name] = len(data)

    try:
        name.encode()
        photo = renderer.read(source, name, recipe, origin)
        draws = [
            recipe.draw(*photo.picture.size, renderer.row_generator(recipe, photo, k))
            for k in range(recipe.per_photo)
        ]
        rows = [_write_row(photo, draw, k, recipe, write_and_count) for k, draw in enumerate(draws)]
    except Skipped as reason:
        return PhotoResult(name, skipped=str(reason))
    except (MemoryError, OSError) as error:
        raise out_of_memory_error(name) if is_out_of_memory(error) else error from None
    except UnicodeEncodeError:
        return PhotoResult(name, skipped="its name is not Unicode text: rename it")
    signature = photos.signature(photo.picture)
    return PhotoResult(
        name, photo.sha256, signature.dhash, rows, sizes=sizes, detail=signature.encode_detail()
    )


def _write_row(photo: Photo, draw: Draw, k: int, recipe: Recipe, write: Write) -> dict[str, Any]:
    """Writes the images of one row and returns the row."""
    painted = renderer.paint(photo, draw)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(photo.name).stem)[:60]
    base = f"{stem}-{photo.sha256[:8]}-{k}"
    file_name = f"{base}.{EXTENSIONS[recipe.codec]}"
    row: dict[str, Any] = {
        "file_name": f"images/{file_name}",
        "shape": recipe.shape,
        "overflow": recipe.overflow,
        "rounding": recipe.rounding,
        "feather": float(recipe.feather),
        "discolor_ratio": 1.0,
        "label": int(draw.anomaly is not None),
        "photo": photo.name,
        "photo_sha256": photo.sha256,
        "source_url": photo.source_url,
        "licence": photo.licence,
        "width": draw.size[0],
        "height": draw.size[1],
        "codec": recipe.codec,
        "quality": recipe.quality if recipe.codec == "jpeg" else None,
        "row_seed": draw.row_seed,
        "clipped_fraction": round(painted.effect.clipped_fraction, 6),
        "realised_ratio": round(painted.effect.realised_ratio, 6),
    }
    if draw.crop is not None:
        row["crop_x"], row["crop_y"] = draw.crop
    if draw.anomaly is not None:
        for name in ("x", "y", "r", "discolor_ratio"):
            row[name] = getattr(draw.anomaly, name)
    data = renderer.encode(painted.image, recipe.codec, recipe.quality)
    write(row["file_name"], data)
    if recipe.twins:
        row["clean_file_name"] = f"clean/{file_name}"
        if draw.anomaly is not None:
            data = renderer.encode(painted.clean, recipe.codec, recipe.quality)
        write(row["clean_file_name"], data)
    if recipe.masks:
        row["mask_file_name"] = f"masks/{base}.png"
        region = renderer.mask_image(draw.anomaly, draw.size)
        write(row["mask_file_name"], renderer.encode(region, "png", 0))
    return row
