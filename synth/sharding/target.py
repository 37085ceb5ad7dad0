"""The place where a sharded dataset is written: a staging folder, or a URL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synth import folders
from synth.errors import InputError
from synth.folders import Marker
from synth.json_files import Damaged, parse_object
from synth.run_request import check_same_request
from synth.sharding.rendering import REQUEST
from synth.shards import FORM, MANIFEST, SHARDS, UNFINISHED
from synth.storage import Storage, explain_storage_errors, is_url, storage_of

_OURS = (MANIFEST, "README.md", "skipped.csv")
MARKER = Marker(
    MANIFEST,
    lambda about: about.get("made_by") == "synth generate" and about.get("form") == FORM,
)


@contextmanager
def open_target(
    out: str | Path, *, reads: Sequence[Path], overwrite: bool, resume: bool
) -> Iterator[Storage]:
    """Yields the folder into which a dataset is written.

    For a local path it is a staging folder, which gets its name when the block succeeds. A URL is
    written in place, and the dataset is unfinished until its manifest is written.

    Args:
        reads: local files and folders that the run reads.
        overwrite: replace a dataset that synth wrote; at a URL it is deleted first.
        resume: continue an unfinished run.

    Raises:
        InputError: the folder must not be written.
    """
    if not is_url(out):
        with folders.stage(
            Path(out), MARKER, reads=reads, overwrite=overwrite, resume=resume,
            scratch=[UNFINISHED],
        ) as staging:  # fmt: skip
            yield storage_of(staging)
        return
    target = storage_of(out)
    with explain_storage_errors(target, "cannot be written"):
        _check_url(target, overwrite, resume)
    yield target
    with explain_storage_errors(target, "cannot be written"):
        for name, _ in list(target.files(UNFINISHED)):
            target.delete(name)


def _check_url(target: Storage, overwrite: bool, resume: bool) -> None:
    """Checks that a URL may be written, and deletes a dataset that is to be replaced."""
    names = [name for name, _ in target.files()]
    if not names:
        return
    if MANIFEST in names:
        if not overwrite:
            raise InputError(f"{target} exists: name another place, or pass --overwrite")
        try:
            is_ours = MARKER.is_ours(parse_object(target.read_bytes(MANIFEST)))
        except Damaged:
            is_ours = False
        if not is_ours:
            raise InputError(
                f"{target} has a file {MANIFEST} that this command did not write: "
                "name another place"
            )
    elif REQUEST not in names:
        raise InputError(f"{target} is not empty and has no {MANIFEST}: name another place")
    elif resume:
        return
    elif not overwrite:
        raise InputError(
            f"{target} holds an unfinished run: pass --resume to continue it or --overwrite to "
            "delete it"
        )
    known = [
        name for name in names if name in _OURS or name.startswith((f"{UNFINISHED}/", f"{SHARDS}/"))
    ]
    for name in sorted(known, key=lambda name: name != MANIFEST):  # the manifest first
        target.delete(name)


def write_request(target: Storage, request: dict[str, Any]) -> None:
    """Records the parameters of a run, or checks those of the run that is continued.

    Raises:
        InputError: the run was started with other parameters.
    """
    with explain_storage_errors(target, "cannot be written"):
        if target.size(REQUEST) is not None:
            try:
                earlier = parse_object(target.read_bytes(REQUEST))
            except Damaged:
                earlier = {}
            check_same_request(earlier, request, target.place)
        target.write_bytes(REQUEST, json.dumps(request).encode())
