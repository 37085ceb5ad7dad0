"""The first step of a shard: rendering of its photos into an unfinished file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth import dataset
from synth.errors import InputError
from synth.recipe import Recipe
from synth.row_files import render_rows
from synth.sharding.shard_file import PhotoRecord, ShardWriter, read_record
from synth.shards import SHARDS, UNFINISHED
from synth.storage import Place, Storage, explain_storage_errors

REQUEST = f"{UNFINISHED}/request.json"  # the parameters of an unfinished run


@dataclass(frozen=True)
class Run:
    """What all shards of a run have in common.

    Args:
        photos: the folder of photos.
        out: the folder of the dataset.
        versions: libraries that determine the pixels, on the machine that started the run.
    """

    photos: Place
    out: Storage
    recipe: Recipe
    versions: dict[str, str] = field(default_factory=dataset.versions)


@dataclass(frozen=True)
class Shard:
    """The photos of a shard, each with its source address and licence."""

    number: int
    names: tuple[str, ...]
    origins: tuple[tuple[str, str], ...]

    @property
    def file(self) -> str:
        """Name of its file in the dataset."""
        return f"{SHARDS}/part-{self.number:06d}.parquet"

    @property
    def unfinished_file(self) -> str:
        return f"{UNFINISHED}/part-{self.number:06d}.parquet"

    def digest(self, run: Run) -> str:
        """A digest of what determines its rows, except the content of the photos."""
        about = [run.recipe.to_dict(), run.versions, self.names, self.origins]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def render_shard(run: Run, shard: Shard) -> list[PhotoRecord]:
    """Writes the rows of a shard, without their splits; returns the record of each photo.

    A file of an earlier run with the same parameters is kept.

    Raises:
        InputError: this machine has other library versions, does not see the photos or the
            dataset's folder, or the file cannot be written.
        Interrupted: memory is exhausted.
    """
    digest = shard.digest(run)
    for name in (shard.file, shard.unfinished_file):
        record = read_record(run.out, name)
        if record.get("digest") == digest:
            return [PhotoRecord(*each) for each in record["photos"]]
    _check_machine(run)
    writer = ShardWriter(run.recipe)
    records = []
    for name, origin in zip(shard.names, shard.origins, strict=True):
        files: dict[str, bytes] = {}
        made = render_rows(run.photos, name, origin, run.recipe, files.__setitem__)
        if made.rows:
            writer.write_rows(made.rows, files)
        records.append(
            PhotoRecord(name, made.sha256, made.dhash, made.detail, len(made.rows), made.skipped)
        )
    data = writer.finish({"digest": digest, "photos": records})
    with explain_storage_errors(run.out, "cannot be written"):
        run.out.write_bytes(shard.unfinished_file, data)
    return records


def _check_machine(run: Run) -> None:
    """Checks that this machine makes the same pixels and sees the same folders.

    Raises:
        InputError: it does not.
    """
    here = dataset.versions()
    if here != run.versions:
        name = next(name for name in run.versions if here.get(name) != run.versions[name])
        raise InputError(
            f"{_machine()} has {name} {here.get(name)}, but the run was started with "
            f"{run.versions[name]}: install the same versions on all machines"
        )
    if isinstance(run.photos, Path) and not run.photos.is_dir():
        raise InputError(
            f"{_machine()} has no folder {run.photos}: put the photos on a file system that all "
            "machines share, or name them by a URL"
        )
    with explain_storage_errors(run.out, "cannot be read"):
        if run.out.size(REQUEST) is None:
            raise InputError(
                f"{_machine()} does not see {run.out}: write to a file system that all machines "
                "share, or to a URL"
            )


def _machine() -> str:
    import platform

    return f"the machine {platform.node()}"


def request_of(run: Run, **parameters: Any) -> dict[str, Any]:
    """The parameters that a resumed run must share."""
    return {"recipe": run.recipe.to_dict(), "versions": run.versions, **parameters}
