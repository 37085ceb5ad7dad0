"""The answers of a localizer to many images, as a table on disk that survives an interruption.

The rows of an unfinished table are in a log beside it, ``OUT.partial``; each is added as soon as it
is known. The table itself is written at the end, whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from localize import api
from localize.evaluation.calibration import sigmoid
from localize.external.worker import error_text
from localize.localizer import Finding, Known, Localizer
from synth import folders, output_file
from synth.console import Progress
from synth.errors import InputError, Skipped
from synth.locks import lock
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.paths import fit_name
from synth.record_log import RecordLog
from synth.text_escapes import escape_surrogates

FIRST_COLUMNS = ("path", "x", "y", "r", "ratio", "score", "confidence")  # of every version
COLUMNS = (*FIRST_COLUMNS, "gap_evidence", "seconds", "error")
FORMATS = (".csv", ".json")
MARK = "localize find"  # the value of "command" in a JSON table
DIGITS = 4  # of seconds


@dataclass(frozen=True)
class Search:
    """What is sought, and with what.

    Args:
        spec: of the localizer; recorded.
        fingerprint: SHA-256 of the files behind the SPEC.
    """

    localizer: Localizer
    spec: str
    known: Known
    fingerprint: str = ""


Read = Callable[[int], np.ndarray]  # number of an image -> (H, W, 3) uint8; may raise Skipped
Draw = Callable[[int, np.ndarray, Finding], None]  # draws an answer; may raise FileExistsError


def log_path(out: Path) -> Path:
    """The log of an unfinished table."""
    return out.with_name(fit_name(out.name, ".partial"))


def check(out: Path, overwrite: bool, resume: bool) -> None:
    """Check that a table may be written.

    Raises:
        InputError: its format is unknown, it exists, or there is an unfinished one.
    """
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {out}: give a name that ends in .csv or .json")
    log = log_path(out)
    # A run that was killed between its last two steps has written the table and kept the log.
    output_file.check(out, _is_ours, overwrite or (resume and log.exists()))
    if log.exists() and not (resume or overwrite):
        raise InputError(
            f"{log} holds an unfinished run: pass --resume to continue it or --overwrite to "
            "delete it"
        )


def write(
    search: Search,
    paths: Sequence[Path],
    read: Read,
    out: Path,
    *,
    draw: Draw | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = lambda done, total: None,
) -> int:
    """Locates in all images and writes the table; a failure in an image is recorded.

    Args:
        paths: of the images, for the table.
        read: reads an image by its number.
        draw: draws an answer that has a place, before it is recorded.
        overwrite: replace a table of an earlier run, and delete an unfinished one.
        resume: continue an unfinished table.

    Returns:
        the number of images without an answer.

    Raises:
        InputError: the table must not be written, or the unfinished one is of another request.
    """
    check(out, overwrite, resume)
    log = log_path(out)
    with lock(out.absolute(), out.absolute().with_name(fit_name(f".{out.name}", ".lock"))):
        if not resume:
            log.unlink(missing_ok=True)
        with closing(RecordLog(log, _request(search, paths))) as records:
            for number in range(records.count, len(paths)):
                progress(number, len(paths))
                records.append(_row(search, number, read, draw))
            progress(len(paths), len(paths))
            rows = [
                dict(zip(COLUMNS, (str(path), *values), strict=True))
                for path, values in zip(paths, records.read(), strict=True)
            ]
        folders.write(out, _encode(rows, search, out.suffix.lower()))
        log.unlink()
    return sum(row["error"] != "" for row in rows)


def confidence(localizer: Localizer, finding: Finding) -> float | None:
    """The probability of an anomaly by the score; None if the score is not log odds."""
    if localizer.score_kind != "log odds" or finding.score is None:
        return None
    return float(sigmoid(finding.score))


def _request(search: Search, paths: Sequence[Path]) -> dict[str, Any]:
    """What a table depends on; a resumed run must have the same."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        line = f"{escape_surrogates(str(path))}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return {
        "method": search.spec,
        "files_of_the_method": search.fingerprint,
        "r": search.known.r,
        "ratio": search.known.ratio,
        "images": digest.hexdigest(),
    }


def _row(search: Search, number: int, read: Read, draw: Draw | None) -> list[Any]:
    """The cells of an image after its path."""
    finding, seconds, error = None, None, ""
    try:
        image = read(number)
        began = time.perf_counter()
        known = search.known
        finding = api.locate(search.localizer, image, r=known.r, ratio=known.ratio)
        seconds = round(time.perf_counter() - began, DIGITS)
        if draw is not None:
            draw(number, image, finding)
    except Skipped as reason:
        error = str(reason)
    except InputError:
        raise
    except FileExistsError as reason:
        error = f"{reason.filename}: another program wrote this file: not drawn"
    except Exception as reason:  # one image must not end a run of thousands
        if is_out_of_memory(reason):
            raise out_of_memory_error("an image") from None
        error = error_text(reason)
    if finding is None:
        return [None] * 7 + [seconds, error]
    numbers = (finding.x, finding.y, finding.r, finding.ratio, finding.score)
    sure = confidence(search.localizer, finding)
    return [*map(_cell, numbers), sure, _cell(finding.gap_evidence), seconds, error]


def _cell(value: float | None) -> float | None:
    """A number for the table; None, an empty cell, where it is not finite."""
    return float(value) if value is not None and np.isfinite(value) else None


def _encode(rows: list[dict[str, Any]], search: Search, suffix: str) -> str:
    """The text of the table."""
    if suffix == ".json":
        about = {"command": MARK, "method": search.spec, "findings": rows}
        return json.dumps(about, indent=1) + "\n"
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().replace("\0", "")


def _is_ours(path: Path) -> bool:
    """Whether this command wrote a file."""
    if path.suffix.lower() == ".json":
        return output_file.contains(path, f'"command": "{MARK}"')
    try:
        with path.open("rb") as file:
            return file.readline(1000).startswith(",".join(FIRST_COLUMNS).encode())
    except OSError:
        return False
