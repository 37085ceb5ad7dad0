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
from synth.journal import Journal, Ledger, Outcome
from synth.paths import path_of
from synth.photos import Photo
from synth.recipe import SPLITS, Draw, Recipe
from synth.terminal import legible
from synth.workers import crew, out_of_memory, require_main_guard

if TYPE_CHECKING:
    import pandas as pd

JOURNAL = "journal.jsonl"
EXTENSIONS = {"jpeg": "jpg", "png": "png"}
PART = 1024  # rows in memory at a time when the table is written
Progress = Callable[[int, int], None]
Origins = Mapping[str, tuple[str, str]]  # photo -> its source address and licence


@dataclass(frozen=True)
class Built:
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
) -> Built:
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
    found = photos.some(photos.survey(source), source)
    names = found.names
    origins = photos.provenance(source, names)
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)

    reads = paths.inputs(source, None if str(given) in recipes.PRESETS else given)
    with folders.staged(
        out, dataset.MARKER, reads=reads, overwrite=overwrite, resume=resume, scratch=[JOURNAL]
    ) as building:
        about = {"made_by": "synth generate", "recipe": recipe.to_dict(), "count": count}
        for folder, used in zip(PICTURES.values(), (True, recipe.twins, recipe.masks), strict=True):
            if used:
                (building / folder).mkdir(exist_ok=True)
        with closing(
            Journal(building / JOURNAL, about | {"files": _digest(source, names)})
        ) as journal:
            ledger = _make_all(
                source, names, origins, recipe, building, journal, wanted, workers, progress
            )
        if not ledger.rows:
            reason = next(journal.read()).skipped
            raise InputError(
                f"none of the {len(names)} photos in {source} can be used; the first: {reason}"
            )
        built = _finish(found, building, journal, ledger, recipe, about, form)
    return replace(built, unlisted=sum(name not in origins for name in names) if origins else 0)


def _make_all(
    source: Path,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    building: Path,
    journal: Journal,
    wanted: int,
    workers: int,
    progress: Progress | None,
) -> Ledger:
    """First pass: make the pictures of all photos that the journal does not know yet."""
    ledger = Ledger(wanted)

    def count(outcome: Outcome) -> bool:
        ledger.add(outcome)
        if progress:
            progress(ledger.rows, wanted)
        return ledger.rows == wanted

    for outcome in journal.read(journal.found):
        if not outcome.is_on_disk(building):
            _make_again(outcome, source, origins, recipe, building)
        if count(outcome):
            return ledger
    rest = names[journal.found :]
    with closing(_outcomes(source, rest, origins, recipe, building, workers)) as outcomes:
        for outcome in outcomes:
            journal.append(outcome)
            if count(outcome):
                break
    return ledger


def _make_again(
    outcome: Outcome, source: Path, origins: Origins, recipe: Recipe, building: Path
) -> None:
    """Write a photo's files once more where an interruption or a full disk has lost some.

    Raises:
        InputError: the photo gives other rows now.
    """
    name = outcome.photo
    if make(source, name, origins.get(name, ("", "")), recipe, building) != outcome:
        raise InputError(
            f"pictures of {name} are missing in {building}, and the photo has changed since: "
            "pass --overwrite to begin again"
        )


def _digest(source: Path, names: Sequence[str]) -> str:
    """A digest of the photos' names and file sizes, which tells other photos cheaply."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(f"{name}\0{(source / name).stat().st_size}\n"))
    return digest.hexdigest()


def _outcomes(
    source: Path,
    names: Sequence[str],
    origins: Origins,
    recipe: Recipe,
    building: Path,
    workers: int,
) -> Generator[Outcome, None, None]:
    """The outcome of each photo in order, made by ``workers`` processes, a few ahead."""

    def job(name: str) -> tuple[Path, str, tuple[str, str], Recipe, Path]:
        return source, name, origins.get(name, ("", "")), recipe, building

    if workers == 1 or len(names) < 2:
        for name in names:
            yield make(*job(name))
        return
    with crew(min(workers, len(names))) as run:
        yield from run(make, map(job, names))


def make(source: Path, name: str, origin: tuple[str, str], recipe: Recipe, out: Path) -> Outcome:
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
        return Outcome(name, skipped=str(reason))
    except MemoryError:
        raise out_of_memory(name) from None
    except UnicodeEncodeError:
        return Outcome(name, skipped="its name is no Unicode text: rename it")
    seen = photos.signature(photo.picture)
    return Outcome(name, photo.sha256, seen.dhash, rows, sizes=sizes, detail=seen.text())


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
        region = renderer.region_picture(draw.anomaly, draw.size)
        write(row["mask_file_name"], renderer.encode(region, "png", 0))
    return row


def _finish(
    found: photos.Survey,
    building: Path,
    journal: Journal,
    ledger: Ledger,
    recipe: Recipe,
    about: dict[str, Any],
    form: Form,
) -> Built:
    """Second pass, over the journal: splits, table, card, list of skipped photos."""
    import pandas as pd

    alike = (
        range(len(ledger.hashes))
        if recipe.keep_duplicates
        else photos.groups(ledger.hashes, details=ledger.details)
    )
    splits = iter(photos.assign(alike, recipe.split, recipe.seed))
    digest = hashlib.sha256()
    skipped: dict[str, str] = {}
    pictures = array("q")  # hashes of the names of all pictures that rows name

    def rows() -> Iterator[dict[str, Any]]:
        for number, outcome in enumerate(journal.read(len(ledger.kept))):
            digest.update(os.fsencode(f"{outcome.photo}\0{outcome.sha256}\n"))
            if number in ledger.copy_of:
                first = found.names[ledger.copy_of[number]]
                skipped[outcome.photo] = f"the same file as {first}"
            elif outcome.skipped:
                skipped[outcome.photo] = outcome.skipped
            else:
                split = SPLITS[next(splits)]
                for row in outcome.rows[: ledger.kept[number]]:
                    pictures.extend(hash(row[column]) for column in PICTURES if column in row)
                    yield row | {"split": split}

    made = rows()
    parts = (dataset.frame(part) for part in iter(lambda: list(islice(made, PART)), []))
    summary = dataset.write_table(building, parts, form)
    _sweep(building, pictures)
    listed = skipped | found.passed_over
    rows_of = [(legible(name), listed[name]) for name in sorted(listed)]
    reasons = pd.DataFrame(rows_of, columns=["photo", "reason"])
    folders.write(building / "skipped.csv", dataset.to_csv(reasons))
    about |= {"photos_sha256": digest.hexdigest(), "versions": dataset.versions()}
    dataset.describe(building, summary, about, form)
    return Built(summary, skipped, found.passed_over)


def _sweep(building: Path, named: array[int]) -> None:
    """Delete pictures that no row names: of photos beyond the count, or seen twice.

    Names are compared by 64-bit hashes; two that are alike would only spare a stray picture.
    """
    known = np.sort(np.frombuffer(named, np.int64))
    for folder in PICTURES.values():
        if (building / folder).is_dir():
            with os.scandir(building / folder) as entries:  # pathlib would list them all at once
                for entry in entries:
                    key = hash(f"{folder}/{entry.name}")
                    at = int(np.searchsorted(known, key))
                    if at == len(known) or known[at] != key:
                        Path(entry).unlink()
