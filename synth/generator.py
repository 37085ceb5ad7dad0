"""Generation of a dataset from photos and a recipe: parallel, resumable, reproducible."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import dataset, folders, paths, photo_search, photos
from synth import recipe as recipes
from synth.dataset import IMAGE_FOLDERS, Form
from synth.engine_names import ENGINES, EngineName
from synth.errors import InputError
from synth.generate_log import GenerateLog, PhotoResult
from synth.paths import path_of
from synth.photo_totals import BuildResult, PhotoTotals, skipped_csv
from synth.recipe import SPLITS, Recipe
from synth.row_files import make_rows
from synth.sharding.generator import ROWS, Source, generate_shards
from synth.sharding.ray_jobs import ray_pool
from synth.sharding.rendering import Run
from synth.sharding.target import open_target
from synth.storage import Place, is_url, place_of
from synth.workers import local_pool, require_main_guard

if TYPE_CHECKING:
    import pandas as pd

LOG = "journal.jsonl"
ROWS_PER_PART = 1024  # rows in memory while the table is written
Progress = Callable[[int, int], None]
Origins = Mapping[str, tuple[str, str]]  # photo -> source address and licence


def generate(
    photo_folder: str | Place,
    out: str | Path,
    recipe: str | Path | Recipe = "default",
    **options: Any,
) -> pd.DataFrame:
    """Writes a dataset into the folder ``out`` and returns its table.

    ``attrs["skipped"]`` of the table maps unusable photos to the reason, ``attrs["passed_over"]``
    files and folders that are not photos.

    Args:
        photo_folder: path or URL of the folder of photos, searched with its subfolders.
        out: dataset folder to write.
        recipe: a recipe, the path of a recipe file, or the name of a preset.
        options: ``count`` (number of rows after which to stop), ``workers`` (number of processes),
            ``form`` of the table (csv or parquet), ``overwrite`` and ``resume``, as the flags of
            the command; ``progress``, which is called with (rows made, largest number of rows).

    Raises:
        InputError: bad input; ``out`` is not written.
    """
    built = build(photo_folder, out, recipe, **options)
    table = dataset.parse(path_of(out))
    table.attrs["skipped"] = built.skipped
    table.attrs["passed_over"] = built.passed_over
    return table


def build(
    photo_folder: str | Place,
    out: str | Path,
    recipe: str | Path | Recipe = "default",
    *,
    count: int | None = None,
    workers: int = 1,
    form: Form = "csv",
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    shards: int | None = None,
    engine: EngineName = "local",
    address: str | None = None,
) -> BuildResult:
    """Writes a dataset into the folder ``out``; its memory does not grow with the rows.

    Photos are used in the order of their names, each for ``recipe.per_photo`` rows, until there
    are ``count`` rows. The result depends on photos, recipe and count only. ``skipped.csv``
    lists unusable photos, and files and folders that are not photos.

    Args:
        form: format of the table: ``csv`` or ``parquet``.
        progress: called with (rows made, largest possible number of rows).
        shards: write a sharded dataset with at most this number of rows in a file. None: the
            folder form, or :data:`synth.sharding.generator.ROWS` at a URL and with ``ray``.
        engine: ``local``: processes of this machine; ``ray``: a Ray cluster.
        address: the Ray cluster, HOST:PORT or auto. None: Ray is started on this machine.

    Raises:
        InputError: bad input; ``out`` is not written.
    """
    source = place_of(photo_folder)
    named, recipe = recipe, recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    if count is not None and count < 1:
        raise InputError(f"count is {count}: give 1 or more")
    if workers < 1:
        raise InputError(f"workers is {workers}: give 1 or more")
    if form not in dataset.TABLES:
        raise InputError(f"table is '{form}': use one of {', '.join(dataset.TABLES)}")
    if shards is not None and shards < 1:
        raise InputError(f"shards is {shards}: give 1 or more rows")
    if engine not in ENGINES:
        raise InputError(f"engine is '{engine}': use one of {', '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise InputError("an address is given without a cluster: pass --engine ray with it")
    require_main_guard()
    found = photos.require_photos(photos.search(source), source)
    names = found.names
    origins = photos.provenance(source, names)
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)

    reads = paths.inputs(source, None if str(named) in recipes.PRESETS else named)
    if shards or engine == "ray" or is_url(out):
        photo_source = Source(found, origins, _digest(source, names))
        pool = (address, workers) if engine == "ray" else (workers,)
        with open_target(out, reads=reads, overwrite=overwrite, resume=resume) as target:
            return generate_shards(
                Run(source, target, recipe),
                photo_source,
                partial(ray_pool if engine == "ray" else local_pool, *pool),
                count=count,
                rows_per_shard=shards or ROWS,
                progress=progress,
            )
    out = path_of(out)
    with folders.stage(
        out, dataset.MARKER, reads=reads, overwrite=overwrite, resume=resume, scratch=[LOG]
    ) as staging:
        about = {"made_by": "synth generate", "recipe": recipe.to_dict(), "count": count}
        for folder, used in zip(
            IMAGE_FOLDERS.values(), (True, recipe.twins, recipe.masks), strict=True
        ):
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
    source: Place,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    staging: Path,
    log: GenerateLog,
    wanted: int,
    workers: int,
    progress: Progress | None,
) -> PhotoTotals:
    """First pass: writes the images of all photos that are not in the log yet."""
    totals = PhotoTotals(wanted)

    def count(result: PhotoResult) -> bool:
        totals.add(result.sha256, result.dhash, result.detail, len(result.rows))
        if progress:
            progress(totals.rows, wanted)
        return totals.rows == wanted

    for result in log.read(log.found):
        if not result.is_on_disk(staging):
            _restore_files(result, source, origins, recipe, staging)
        if count(result):
            return totals
    remaining_names = names[log.found :]
    with closing(
        _make_results(source, remaining_names, origins, recipe, staging, workers)
    ) as results:
        for result in results:
            log.append(result)
            if count(result):
                break
    return totals


def _restore_files(
    result: PhotoResult, source: Place, origins: Origins, recipe: Recipe, staging: Path
) -> None:
    """Writes the files of a photo again if an interruption or a full disk has lost some.

    Raises:
        InputError: the photo has changed, so its rows differ.
    """
    name = result.photo
    if make_rows(source, name, origins.get(name, ("", "")), recipe, staging) != result:
        raise InputError(
            f"images of {name} are missing in {staging}, and the photo has changed: "
            "pass --overwrite to start again"
        )


def _digest(source: Place, names: Sequence[str]) -> str:
    """A digest of the names and file sizes of the photos."""
    digest = hashlib.sha256()
    for name, size in zip(names, photo_search.file_sizes(source, names), strict=True):
        digest.update(os.fsencode(f"{name}\0{size}\n"))
    return digest.hexdigest()


def _make_results(
    source: Place,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    staging: Path,
    workers: int,
) -> Generator[PhotoResult, None, None]:
    """The result of each photo in order, made by ``workers`` processes."""

    def job(name: str) -> tuple[Place, str, tuple[str, str], Recipe, Path]:
        return source, name, origins.get(name, ("", "")), recipe, staging

    with local_pool(min(workers, len(names))) as run:
        yield from run(make_rows, map(job, names))


def _finish(
    found: photos.SearchResult,
    staging: Path,
    log: GenerateLog,
    totals: PhotoTotals,
    recipe: Recipe,
    about: dict[str, Any],
    form: Form,
) -> BuildResult:
    """Second pass, over the log: writes splits, table, card and list of skipped photos."""
    splits = iter(totals.splits(recipe))
    digest = hashlib.sha256()
    skipped: dict[str, str] = {}
    pictures = array("q")  # hashes of all file names in the rows

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
                    pictures.extend(hash(row[column]) for column in IMAGE_FOLDERS if column in row)
                    yield row | {"split": split}

    all_rows = rows()
    chunks = iter(lambda: list(islice(all_rows, ROWS_PER_PART)), [])
    parts = map(dataset.frame, chunks)
    summary = dataset.write_table(staging, parts, form)
    _delete_unlisted_pictures(staging, pictures)
    folders.write(staging / "skipped.csv", skipped_csv(skipped, found.passed_over))
    about |= {"photos_sha256": digest.hexdigest(), "versions": dataset.versions()}
    dataset.write_recipe_and_card(staging, summary, about, form)
    return BuildResult(summary, skipped, found.passed_over)


def _delete_unlisted_pictures(staging: Path, named: array[int]) -> None:
    """Deletes images that are in no row: of photos beyond the count and of repeated files.

    Names are compared by 64-bit hashes. A collision only keeps an unused image.
    """
    known = np.sort(np.frombuffer(named, np.int64))
    for folder in IMAGE_FOLDERS.values():
        if (staging / folder).is_dir():
            with os.scandir(staging / folder) as entries:  # pathlib would load the whole list
                for entry in entries:
                    key = hash(f"{folder}/{entry.name}")
                    at = int(np.searchsorted(known, key))
                    if at == len(known) or known[at] != key:
                        Path(entry).unlink()
