"""Photos and recipe to dataset: in parallel, resumable, the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import dataset, folders, paths, photos, renderer
from synth import recipe as recipes
from synth.card import Summary
from synth.dataset import PICTURES, Form
from synth.errors import InputError, Skipped
from synth.generate_log import GenerateLog, PhotoResult, PhotoTotals
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.paths import path_of
from synth.photos import Photo
from synth.recipe import SPLITS, Draw, Recipe
from synth.text_escapes import escape_surrogates
from synth.workers import require_main_guard, worker_pool

if TYPE_CHECKING:
    import pandas as pd

LOG = "journal.jsonl"
EXTENSIONS = {"jpeg": "jpg", "png": "png"}
ROWS_PER_PART = 1024  # rows in memory at a time when the table is written
Progress = Callable[[int, int], None]
Origins = Mapping[str, tuple[str, str]]  # photo -> its source address and licence


@dataclass(frozen=True)
class BuildResult:
    """What a run made; the table itself stays on disk.

    Args:
        unlisted: how many photos ``photos.csv`` does not name, where there is one.
    """

    summary: Summary
    skipped: dict[str, str]  # reason by photo
    passed_over: dict[str, str]  # reason by name of what is no photo
    unlisted: int = 0


def generate(
    photo_folder: str | Path,
    out: str | Path,
    recipe: str | Path | Recipe = "default",
    **options: Any,
) -> pd.DataFrame:
    """Make a dataset in the folder ``out`` and return its table; options as of :func:`build`.

    Photos that cannot be used are listed in ``attrs["skipped"]`` (name -> reason) too, and
    what is no photo in ``attrs["passed_over"]``.
    """
    built = build(photo_folder, out, recipe, **options)
    table = dataset.parse(path_of(out))
    table.attrs["skipped"] = built.skipped
    table.attrs["passed_over"] = built.passed_over
    return table


def build(
    photo_folder: str | Path,
    out: str | Path,
    recipe: str | Path | Recipe = "default",
    *,
    count: int | None = None,
    workers: int = 1,
    form: Form = "csv",
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> BuildResult:
    """Make a dataset in the folder ``out``; memory does not grow with its rows.

    Photos are taken in the order of their names, each with ``recipe.per_photo`` rows, until
    there are ``count`` rows. The result depends on photos, recipe and count alone, not on
    the number of workers. Photos that cannot be used, and files and folders passed over
    because they are no photos, are listed in ``skipped.csv``.

    Args:
        form: of the table, ``metadata.csv`` or ``metadata.parquet``.
        progress: called with rows made and rows expected at most.

    Raises:
        InputError: bad input; nothing is left behind under the name ``out``.
    """
    source, out = path_of(photo_folder), path_of(out)
    given, recipe = recipe, recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    if count is not None and count < 1:
        raise InputError(f"count is {count}: ask for at least one row")
    if workers < 1:
        raise InputError(f"workers is {workers}: give at least one")
    if form not in dataset.TABLES:
        raise InputError(f"table is '{form}': use one of {', '.join(dataset.TABLES)}")
    require_main_guard()
    found = photos.require_photos(photos.search(source), source)
    names = found.names
    origins = photos.provenance(source, names)
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)

    reads = paths.inputs(source, None if str(given) in recipes.PRESETS else given)
    with folders.stage(
        out, dataset.MARKER, reads=reads, overwrite=overwrite, resume=resume, scratch=[LOG]
    ) as staging:
        about = {"made_by": "synth generate", "recipe": recipe.to_dict(), "count": count}
        for folder, used in zip(PICTURES.values(), (True, recipe.twins, recipe.masks), strict=True):
            if used:
                (staging / folder).mkdir(exist_ok=True)
        with closing(GenerateLog(staging / LOG, about | {"files": _digest(source, names)})) as log:
            totals = _make_pictures(
                source, names, origins, recipe, staging, log, wanted, workers, progress
            )
        if not totals.rows:
            reason = next(log.read()).skipped
            raise InputError(
                f"none of the {len(names)} photos in {source} can be used; the first: {reason}"
            )
        built = _finish(found, staging, log, totals, recipe, about, form)
    return replace(built, unlisted=sum(name not in origins for name in names) if origins else 0)


def _make_pictures(
    source: Path,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    staging: Path,
    log: GenerateLog,
    wanted: int,
    workers: int,
    progress: Progress | None,
) -> PhotoTotals:
    """First pass: make the pictures of all photos that the log does not know yet."""
    totals = PhotoTotals(wanted)

    def count(result: PhotoResult) -> bool:
        totals.add(result)
        if progress:
            progress(totals.rows, wanted)
        return totals.rows == wanted

    for result in log.read(log.found):
        if not result.is_on_disk(staging):
            _restore_files(result, source, origins, recipe, staging)
        if count(result):
            return totals
    rest = names[log.found :]
    with closing(_make_results(source, rest, origins, recipe, staging, workers)) as results:
        for result in results:
            log.append(result)
            if count(result):
                break
    return totals


def _restore_files(
    result: PhotoResult, source: Path, origins: Origins, recipe: Recipe, staging: Path
) -> None:
    """Write a photo's files once more where an interruption or a full disk has lost some.

    Raises:
        InputError: the photo gives other rows now.
    """
    name = result.photo
    if make_rows(source, name, origins.get(name, ("", "")), recipe, staging) != result:
        raise InputError(
            f"pictures of {name} are missing in {staging}, and the photo has changed since: "
            "pass --overwrite to begin again"
        )


def _digest(source: Path, names: Sequence[str]) -> str:
    """A digest of the photos' names and file sizes, which tells other photos cheaply."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(f"{name}\0{(source / name).stat().st_size}\n"))
    return digest.hexdigest()


def _make_results(
    source: Path,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    staging: Path,
    workers: int,
) -> Generator[PhotoResult, None, None]:
    """The result of each photo in order, made by ``workers`` processes, a few ahead."""

    def job(name: str) -> tuple[Path, str, tuple[str, str], Recipe, Path]:
        return source, name, origins.get(name, ("", "")), recipe, staging

    if workers == 1 or len(names) < 2:
        for name in names:
            yield make_rows(*job(name))
        return
    with worker_pool(min(workers, len(names))) as run:
        yield from run(make_rows, map(job, names))


def make_rows(
    source: Path, name: str, origin: tuple[str, str], recipe: Recipe, out: Path
) -> PhotoResult:
    """Make all rows of one photo and write their files below ``out``."""
    try:
        name.encode()
        photo = renderer.read(source, name, recipe, origin)
        draws = [
            recipe.draw(*photo.picture.size, renderer.row_generator(recipe, photo, k))
            for k in range(recipe.per_photo)
        ]
        sizes: dict[str, int] = {}
        rows = [_write_row(photo, draw, k, recipe, out, sizes) for k, draw in enumerate(draws)]
    except Skipped as reason:
        return PhotoResult(name, skipped=str(reason))
    except (MemoryError, OSError) as error:
        raise out_of_memory_error(name) if is_out_of_memory(error) else error from None
    except UnicodeEncodeError:
        return PhotoResult(name, skipped="its name is no Unicode text: rename it")
    signature = photos.signature(photo.picture)
    return PhotoResult(
        name, photo.sha256, signature.dhash, rows, sizes=sizes, detail=signature.encode_detail()
    )


def _write_row(
    photo: Photo, draw: Draw, k: int, recipe: Recipe, out: Path, sizes: dict[str, int]
) -> dict[str, Any]:
    """Write the pictures of one row -> the row; the files' bytes are added to ``sizes``."""

    def write(name: str, data: bytes) -> None:
        (out / name).write_bytes(data)
        sizes[name] = len(data)

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


def _finish(
    found: photos.SearchResult,
    staging: Path,
    log: GenerateLog,
    totals: PhotoTotals,
    recipe: Recipe,
    about: dict[str, Any],
    form: Form,
) -> BuildResult:
    """Second pass, over the log: splits, table, card, list of skipped photos."""
    import pandas as pd

    alike = (
        range(len(totals.hashes))
        if recipe.keep_duplicates
        else photos.groups(totals.hashes, details=totals.details)
    )
    splits = iter(photos.assign_splits(alike, recipe.split, recipe.seed))
    digest = hashlib.sha256()
    skipped: dict[str, str] = {}
    pictures = array("q")  # hashes of the names of all pictures that rows name

    def rows() -> Iterator[dict[str, Any]]:
        for number, result in enumerate(log.read(len(totals.kept))):
            digest.update(os.fsencode(f"{result.photo}\0{result.sha256}\n"))
            if number in totals.copy_of:
                first = found.names[totals.copy_of[number]]
                skipped[result.photo] = f"the same file as {first}"
            elif result.skipped:
                skipped[result.photo] = result.skipped
            else:
                split = SPLITS[next(splits)]
                for row in result.rows[: totals.kept[number]]:
                    pictures.extend(hash(row[column]) for column in PICTURES if column in row)
                    yield row | {"split": split}

    made = rows()
    parts = (dataset.frame(part) for part in iter(lambda: list(islice(made, ROWS_PER_PART)), []))
    summary = dataset.write_table(staging, parts, form)
    _delete_unlisted_pictures(staging, pictures)
    listed = skipped | found.passed_over
    rows_of = [(escape_surrogates(name), listed[name]) for name in sorted(listed)]
    reasons = pd.DataFrame(rows_of, columns=["photo", "reason"])
    folders.write(staging / "skipped.csv", dataset.to_csv(reasons))
    about |= {"photos_sha256": digest.hexdigest(), "versions": dataset.versions()}
    dataset.write_recipe_and_card(staging, summary, about, form)
    return BuildResult(summary, skipped, found.passed_over)


def _delete_unlisted_pictures(staging: Path, named: array[int]) -> None:
    """Delete pictures that no row names: of photos beyond the count, or seen twice.

    Names are compared by 64-bit hashes; two that are alike would only spare a stray picture.
    """
    known = np.sort(np.frombuffer(named, np.int64))
    for folder in PICTURES.values():
        if (staging / folder).is_dir():
            with os.scandir(staging / folder) as entries:  # pathlib would list them all at once
                for entry in entries:
                    key = hash(f"{folder}/{entry.name}")
                    at = int(np.searchsorted(known, key))
                    if at == len(known) or known[at] != key:
                        Path(entry).unlink()
