"""The files of a dataset: in a folder, or in shards in a folder or at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from synth import folders, shards
from synth.errors import InputError
from synth.files import Files, FolderFiles
from synth.json_files import read_object
from synth.shards import ShardFiles
from synth.storage import Place, Storage, place_of

Form = Literal["csv", "parquet"]
TABLE = "metadata.csv"
TABLES: dict[Form, str] = {"csv": TABLE, "parquet": "metadata.parquet"}
RECIPE = "recipe.json"  # in every dataset folder that Acuity writes


def open_files(dataset: str | Place | Files) -> Files:
    """The path or URL of a dataset -> its files by name.

    A folder with a table has its files on disk. A sharded dataset, and any dataset at a URL, has
    them in shards (:mod:`synth.shards`).

    Raises:
        InputError: there is no dataset, or it is sharded and unfinished or damaged.
    """
    if not isinstance(dataset, (str, Path, Storage)):
        return dataset
    place = place_of(dataset)
    if isinstance(place, Storage):
        return shards.open_shards(place)
    has_table = any((place / name).is_file() for name in TABLES.values())
    if has_table or not shards.is_sharded(place):
        return FolderFiles(place)
    return shards.open_shards(place)


def table_of(folder: Path) -> Path:
    """Path of the table of a dataset folder: the CSV, else the parquet file.

    Raises:
        InputError: the folder does not exist or has neither file.
    """
    for name in TABLES.values():
        if (folder / name).is_file():
            return folder / name
    where = "no folder" if not folder.is_dir() else f"no {TABLE} in the folder"
    raise InputError(f"{where} {folder}: name a dataset that synth wrote")


def table_place(files: Files) -> Path | str:
    """Path of the table of a dataset, or the place of a sharded one, for messages.

    Raises:
        InputError: there is no table.
    """
    if isinstance(files, FolderFiles) and isinstance(files.place, Path):
        return table_of(files.place)
    return str(files.place)


def fingerprint(files: Files) -> str:
    """SHA-256 of the table of a dataset, or of the manifest of a sharded one.

    Raises:
        InputError: there is no table.
    """
    if isinstance(files, ShardFiles):
        return files.manifest.sha256
    return folders.sha256(Path(table_place(files)))


def recipe_of(files: Files, advice: str = "write it again") -> dict[str, Any]:
    """The object in ``recipe.json``, or the same entries of the manifest of a sharded dataset.

    Args:
        advice: what the user should do about a damaged file; ends the message.

    Raises:
        InputError: the file is missing or damaged.
    """
    if isinstance(files, ShardFiles):
        return files.manifest.about
    return read_object(Path(str(files.place), RECIPE), advice)
