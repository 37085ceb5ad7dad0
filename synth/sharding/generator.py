"""Generation of a sharded dataset from photos and a recipe, by one machine or a cluster."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from typing import Any

from synth import card, photos
from synth.card import Summary
from synth.errors import InputError
from synth.near_duplicates import JOB
from synth.photo_totals import BuildResult, PhotoTotals, skipped_csv
from synth.recipe import SPLITS
from synth.sharding.finishing import FinishedShard, finish_shard
from synth.sharding.rendering import Run, Shard, render_shard, request_of
from synth.sharding.target import write_request
from synth.shards import FORM, MANIFEST, SHARDS
from synth.storage import explain_storage_errors
from synth.workers import Run as RunJobs

ROWS = 1000  # default number of rows in a shard
Progress = Callable[[int, int], None]
Engine = Callable[[], AbstractContextManager[RunJobs]]


@dataclass(frozen=True)
class Source:
    """The photos of a run.

    Args:
        found: names of the photos, and of what is no photo.
        origins: photo -> source address and licence.
        sizes: a digest of the names and sizes of the photos.
    """

    found: photos.SearchResult
    origins: Mapping[str, tuple[str, str]]
    sizes: str


def generate_shards(
    run: Run,
    source: Source,
    engine: Engine,
    *,
    count: int | None,
    rows_per_shard: int,
    progress: Progress | None = None,
) -> BuildResult:
    """Writes a dataset into ``run.out``; the result does not depend on the engine.

    Args:
        engine: opens what runs the jobs of the shards and returns their results in order.
        count: number of rows after which to stop.
        rows_per_shard: the largest number of rows in a file.
        progress: called with (rows rendered, largest possible number of rows).

    Raises:
        InputError: bad input; see also :func:`render_shard`.
    """
    names, recipe = source.found.names, run.recipe
    wanted = min(count or len(names) * recipe.per_photo, len(names) * recipe.per_photo)
    request = {"count": count, "shards": rows_per_shard, "files": source.sizes}
    write_request(run.out, request_of(run, **request))
    shards = plan_shards(names, source.origins, max(1, rows_per_shard // recipe.per_photo))
    with ExitStack() as stack:
        run_jobs = stack.enter_context(engine())
        rendered = _Rendered(names, wanted)
        _render(run, shards, run_jobs, rendered, progress)
        if not rendered.totals.rows:
            reason = next(iter(rendered.skipped.values()))
            raise InputError(
                f"none of the {len(names)} photos in {run.photos} can be used; the first: {reason}"
            )
        finished = _finish(run, shards, run_jobs, rendered)
    return _write_manifest(run, source, rendered, finished, count)


def plan_shards(
    names: Sequence[str], origins: Mapping[str, tuple[str, str]], photos_per_shard: int
) -> list[Shard]:
    """Divides the photos into shards, in their order."""
    return [
        Shard(number, tuple(part), tuple(origins.get(name, ("", "")) for name in part))
        for number, start in enumerate(range(0, len(names), photos_per_shard))
        for part in [names[start : start + photos_per_shard]]
    ]


class _Rendered:
    """The photos that are rendered so far, up to the one that completes the rows.

    Args:
        names: of all photos, in the order in which they are added.
        wanted: total number of rows to keep.
    """

    def __init__(self, names: Sequence[str], wanted: int) -> None:
        self.totals = PhotoTotals(wanted)
        self.digest = hashlib.sha256()
        self.skipped: dict[str, str] = {}
        self._names = names

    @property
    def is_complete(self) -> bool:
        return self.totals.rows == self.totals.wanted

    def add(self, photo: str, sha256: str, dhash: int, detail: str, rows: int, skip: str) -> None:
        """Counts the next photo."""
        number = len(self.totals.kept)
        self.totals.add(sha256, dhash, detail, rows)
        self.digest.update(os.fsencode(f"{photo}\0{sha256}\n"))
        if number in self.totals.copy_of:
            self.skipped[photo] = f"the same file as {self._names[self.totals.copy_of[number]]}"
        elif skip:
            self.skipped[photo] = skip


def _render(
    run: Run, shards: Sequence[Shard], run_jobs: RunJobs, rendered: _Rendered,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Renders shards in order until there are enough rows.

    Photos that cannot be used make further shards necessary, so the shards are rendered in rounds.
    """
    start = 0
    while start < len(shards) and not rendered.is_complete:
        missing = rendered.totals.wanted - rendered.totals.rows
        end = start
        while end < len(shards) and missing > 0:
            missing -= len(shards[end].names) * run.recipe.per_photo
            end += 1
        with closing(run_jobs(render_shard, [(run, shard) for shard in shards[start:end]])) as made:
            for records in made:
                for record in records:
                    if not rendered.is_complete:
                        rendered.add(*record)
                if progress:
                    progress(rendered.totals.rows, rendered.totals.wanted)
        start = end


def _finish(
    run: Run, shards: Sequence[Shard], run_jobs: RunJobs, rendered: _Rendered
) -> list[FinishedShard]:
    """Writes the final files of all shards that have rows."""
    totals = rendered.totals
    splits = totals.splits(run.recipe, run_jobs if len(totals.hashes) > JOB else None)
    jobs = _finish_jobs(run, shards, totals.kept, splits)
    with closing(run_jobs(finish_shard, jobs)) as finished:
        return list(finished)


def _finish_jobs(
    run: Run, shards: Sequence[Shard], rows_kept: Iterable[int], split_of: Iterable[int]
) -> Iterator[tuple[Any, ...]]:
    splits, kept = iter(split_of), iter(rows_kept)
    for shard in shards:
        rows = [next(kept, 0) for _ in shard.names]
        if any(rows):
            yield run, shard, rows, [SPLITS[next(splits)] if n else "" for n in rows]


def _write_manifest(
    run: Run,
    source: Source,
    rendered: _Rendered,
    finished: Iterable[FinishedShard],
    count: int | None,
) -> BuildResult:
    """Writes the list of skipped photos, the card and, last of all, the manifest."""
    summary = Summary()
    entries = []
    for shard in finished:
        summary.merge(shard.summary)
        entries.append(shard.entry())
    passed_over = source.found.passed_over
    manifest = {
        "made_by": "synth generate",
        "form": FORM,
        "recipe": run.recipe.to_dict(),
        "count": count,
        "photos_sha256": rendered.digest.hexdigest(),
        "versions": run.versions,
        "rows": summary.rows,
        "photos": summary.photos,
        "splits": dict(summary.splits),
        "shards": entries,
    }
    with explain_storage_errors(run.out, "cannot be written"):
        run.out.write_bytes("skipped.csv", skipped_csv(rendered.skipped, passed_over).encode())
        text = card.card_text(summary, manifest, f"{SHARDS}/*.parquet")
        run.out.write_bytes("README.md", text.encode())
        run.out.write_bytes(MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    unlisted = sum(name not in source.origins for name in source.found.names)
    return BuildResult(summary, rendered.skipped, passed_over, unlisted if source.origins else 0)
