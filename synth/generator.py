"""Photos and recipe to dataset: in parallel, resumable, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth import dataset, folders, photos, renderer
from synth import recipe as recipes
from synth.errors import InputError, Interrupted, Skipped
from synth.photos import Photo
from synth.recipe import SPLITS, Draw, Recipe

if TYPE_CHECKING:
    import pandas as pd

JOURNAL = "journal.jsonl"
EXTENSIONS = {"jpeg": "jpg", "png": "png"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its rows, or why it has none."""

    photo: str
    sha256: str = ""
    dhash: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""


def generate(
    photo_folder: str | Path,
    out: str | Path,
    recipe: str | Path | Recipe = "default",
    *,
    count: int | None = None,
    workers: int = 1,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Make a dataset in the folder ``out`` and return its table.

    Photos are taken in the order of their names, each with ``recipe.per_photo`` rows, until
    there are ``count`` rows. The result depends on photos, recipe and count alone, not on
    the number of workers. Photos that cannot be used are listed in ``skipped.csv`` and in
    ``attrs["skipped"]`` (name -> reason).

    Args:
        progress: called with rows made and rows expected at most.

    Raises:
        InputError: bad input; nothing is left behind under the name ``out``.
    """
    import pandas as pd

    source, out = Path(photo_folder), Path(out)
    recipe = recipe if isinstance(recipe, Recipe) else recipes.load(recipe)
    if count is not None and count < 1:
        raise InputError(f"count is {count}: ask for at least one row")
    if workers < 1:
        raise InputError(f"workers is {workers}: give at least one")
    here, there = source.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(f"{out} and {source} lie in each other: name a folder elsewhere")
    names = photos.find(source)
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)

    with folders.staged(out, dataset.MARKER, overwrite=overwrite, resume=resume) as building:
        about = {"made_by": "synth generate", "recipe": recipe.to_dict(), "count": count}
        done = _open_journal(building, about | {"files": _digest(source, names)})
        kept: list[Outcome] = []
        rows = 0
        seen: dict[str, str] = {}
        outcomes = _outcomes(source, names, recipe, building, done, workers)
        with (building / JOURNAL).open("a", encoding="utf-8") as journal, closing(outcomes):
            for outcome in outcomes:
                if outcome.photo not in done:
                    journal.write(json.dumps(asdict(outcome)) + "\n")
                    journal.flush()
                outcome = _without_twice(outcome, seen)
                outcome = replace(outcome, rows=outcome.rows[: wanted - rows])
                kept.append(outcome)
                rows += len(outcome.rows)
                if progress:
                    progress(rows, wanted)
                if rows == wanted:
                    break
        table, skipped = _finish(kept, recipe)
        if table.empty:
            reason = next(iter(skipped.values()))
            raise InputError(
                f"none of the {len(names)} photos in {source} can be used; the first: {reason}"
            )
        _sweep(building, table)
        used = "".join(f"{outcome.photo}\0{outcome.sha256}\n" for outcome in kept)
        digest = hashlib.sha256(os.fsencode(used)).hexdigest()
        about |= {"photos_sha256": digest, "versions": dataset.versions()}
        reasons = pd.DataFrame(sorted(skipped.items()), columns=["photo", "reason"])
        text = dataset.to_csv(reasons)
        folders.write(building / "skipped.csv", text.encode("utf-8", errors="replace"))
        dataset.write(building, table, about)
        (building / JOURNAL).unlink()
    table.attrs |= {"folder": str(out), "skipped": skipped}
    return table


def _digest(source: Path, names: Sequence[str]) -> str:
    """A digest of the photos' names and file sizes, which tells other photos cheaply."""
    sizes = "".join(f"{name}\0{(source / name).stat().st_size}\n" for name in names)
    return hashlib.sha256(os.fsencode(sizes)).hexdigest()


def _open_journal(building: Path, about: dict[str, Any]) -> dict[str, Outcome]:
    """Outcomes that an interrupted run left, by photo; starts the journal where there is none."""
    path = building / JOURNAL
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    if len(lines) < 2:
        recipe = about["recipe"]
        for folder, used in (
            ("images", True),
            ("clean", recipe["twins"]),
            ("masks", recipe["masks"]),
        ):
            if used:
                (building / folder).mkdir(exist_ok=True)
        folders.write(path, json.dumps(about) + "\n")
        return {}
    if json.loads(lines[0]) != about:
        raise InputError(
            f"{building} was begun with another recipe or count, or with other photos: "
            "resume with the same, or pass --overwrite"
        )
    # The text after the last newline is a line that the interruption cut short, or nothing.
    folders.write(path, "\n".join(lines[:-1]) + "\n")
    outcomes = (Outcome(**json.loads(line)) for line in lines[1:-1])
    return {outcome.photo: outcome for outcome in outcomes}


def _outcomes(
    source: Path,
    names: Sequence[str],
    recipe: Recipe,
    building: Path,
    done: dict[str, Outcome],
    workers: int,
) -> Generator[Outcome, None, None]:
    """The outcome of each photo in order, made by ``workers`` processes, a few ahead."""
    origins = photos.provenance(source)

    def job(name: str) -> tuple[Path, str, tuple[str, str], Recipe, Path]:
        return source, name, origins.get(name, ("", "")), recipe, building

    if workers == 1 or len(names) == 1:
        for name in names:
            yield done.get(name) or make(*job(name))
        return
    # Not fork: the caller may hold threads and locks (torch), which a fork would copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(names)), mp_context=context, initializer=_die_with_parent
    )
    ahead: deque[Outcome | Future[Outcome]] = deque()
    try:
        for name in names:
            ahead.append(done.get(name) or pool.submit(make, *job(name)))
            if len(ahead) > 4 * workers:
                yield _result(ahead.popleft())
        while ahead:
            yield _result(ahead.popleft())
    except BrokenProcessPool:
        raise Interrupted(
            "a worker process died (out of memory?): go on with --resume and fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent() -> None:
    """In a worker: end when the parent is gone, however it went, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(item: Outcome | Future[Outcome]) -> Outcome:
    return item if isinstance(item, Outcome) else item.result()


def make(source: Path, name: str, origin: tuple[str, str], recipe: Recipe, out: Path) -> Outcome:
    """Make all rows of one photo and write their files below ``out``."""
    try:
        name.encode()
        photo = photos.read(source, name, recipe.decode_size, origin)
        draws = [
            recipe.draw(*photo.picture.size, renderer.row_generator(recipe, photo, k))
            for k in range(recipe.per_photo)
        ]
        rows = [_write_row(photo, draw, k, recipe, out) for k, draw in enumerate(draws)]
    except Skipped as reason:
        return Outcome(name, skipped=str(reason))
    except UnicodeEncodeError:
        return Outcome(name, skipped="its name is no Unicode text: rename it")
    return Outcome(name, photo.sha256, photos.dhash(photo.picture), rows)


def _write_row(photo: Photo, draw: Draw, k: int, recipe: Recipe, out: Path) -> dict[str, Any]:
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
    (out / row["file_name"]).write_bytes(data)
    if recipe.twins:
        row["clean_file_name"] = f"clean/{file_name}"
        if draw.anomaly is not None:
            data = renderer.encode(painted.clean, recipe.codec, recipe.quality)
        (out / row["clean_file_name"]).write_bytes(data)
    if recipe.masks:
        row["mask_file_name"] = f"masks/{base}.png"
        region = renderer.region_picture(draw.anomaly, draw.size)
        (out / row["mask_file_name"]).write_bytes(renderer.encode(region, "png", 0))
    return row


def _without_twice(outcome: Outcome, seen: dict[str, str]) -> Outcome:
    """Drop the rows of a photo whose bytes an earlier photo had."""
    if not outcome.rows:
        return outcome
    first = seen.setdefault(outcome.sha256, outcome.photo)
    if first == outcome.photo:
        return outcome
    return Outcome(outcome.photo, outcome.sha256, skipped=f"the same file as {first}")


def _sweep(building: Path, table: pd.DataFrame) -> None:
    """Delete pictures that no row names: of photos beyond the count, or seen twice."""
    named = set(table[["file_name", "clean_file_name", "mask_file_name"]].to_numpy().ravel())
    for path in building.glob("*/*"):
        if path.relative_to(building).as_posix() not in named:
            path.unlink()


def _finish(kept: Sequence[Outcome], recipe: Recipe) -> tuple[pd.DataFrame, dict[str, str]]:
    """Outcomes -> the table with its splits, and the skipped photos with their reasons."""
    used = [outcome for outcome in kept if outcome.rows]
    members = photos.groups([outcome.dhash for outcome in used])
    splits = photos.assign(members, recipe.split, recipe.seed)
    rows = [
        row | {"split": SPLITS[split]}
        for outcome, split in zip(used, splits, strict=True)
        for row in outcome.rows
    ]
    skipped = {outcome.photo: outcome.skipped for outcome in kept if outcome.skipped}
    return dataset.frame(rows), skipped
