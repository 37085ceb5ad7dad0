"""Generation of a dataset from photos and a recipe: parallel, resumable, reproducible."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import dataset, folders, paths, photo_search, photos
from synth import recipe as recipes
from synth.card import Summary
from synth.dataset import IMAGE_FOLDERS, Form
from synth.errors import InputError
from synth.generate_log import GenerateLog, PhotoResult, PhotoTotals
from synth.paths import path_of
from synth.recipe import SPLITS, Recipe
from synth.row_files import make_rows
from synth.storage import Place, place_of
from synth.text_escapes import escape_surrogates
from synth.workers import require_main_guard, worker_pool

if TYPE_CHECKING:
    import pandas as pd

LOG = "journal.jsonl"
ROWS_PER_PART = 1024  # rows in memory while the table is written
Progress = Callable[[int, int], None]
Origins = Mapping[str, tuple[str, str]]  # photo -> source address and licence


@dataclass(frozen=True)
class BuildResult:
    """Result of a run, without the table, which is on disk.

    Args:
        unlisted: number of photos that ``photos.csv`` does not name; 0 without ``photos.csv``.
    """

    summary: Summary
    skipped: dict[str, str]  # reason by photo
    passed_over: dict[str, str]  # reason by name of a file or folder
    unlisted: int = 0


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
) -> BuildResult:
    """Writes a dataset into the folder ``out``; its memory does not grow with the rows.

    Photos are used in the order of their names, each for ``recipe.per_photo`` rows, until there
    are ``count`` rows. The result depends on photos, recipe and count only. ``skipped.csv``
    lists unusable photos, and files and folders that are not photos.

    Args:
        form: format of the table: ``csv`` or ``parquet``.
        progress: called with (rows made, largest possible number of rows).

    Raises:
        InputError: bad input; ``out`` is not written.
    """
    source, out = place_of(photo_folder), path_of(out)
    named, recipe = recipe, recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    if count is not None and count < 1:
        raise InputError(f"count is {count}: give 1 or more")
    if workers < 1:
        raise InputError(f"workers is {workers}: give 1 or more")
    if form not in dataset.TABLES:
        raise InputError(f"table is '{form}': use one of {', '.join(dataset.TABLES)}")
    require_main_guard()
    found = photos.require_photos(photos.search(source), source)
    names = found.names
    origins = photos.provenance(source, names)
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)

    reads = paths.inputs(source, None if str(named) in recipes.PRESETS else named)
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
        totals.add(result)
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

    if workers == 1 or len(names) < 2:
        for name in names:
            yield make_rows(*job(name))
        return
    with worker_pool(min(workers, len(names))) as run:
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
    import pandas as pd

    groups = (
        range(len(totals.hashes))
        if recipe.keep_duplicates
        else photos.groups(totals.hashes, details=totals.details)
    )
    splits = iter(photos.assign_splits(groups, recipe.split, recipe.seed))
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
    reason_of = skipped | found.passed_over
    reasons = [(escape_surrogates(name), reason_of[name]) for name in sorted(reason_of)]
    table = pd.DataFrame(reasons, columns=["photo", "reason"])
    folders.write(staging / "skipped.csv", dataset.to_csv(table))
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
