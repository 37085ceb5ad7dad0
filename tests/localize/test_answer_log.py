"""`evaluate`, stopped and started again: nothing is asked twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import localize
from localize import comparison
from localize.cli import main
from localize.data.folder import Folder
from localize.evaluation import scoring
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.detection import MapSummary, ValueQuantiles
from localize.evaluation.provenance import fingerprint
from localize.localizer import Finding, Learns, Localizer, Told
from synth import InputError, console
from synth.record_log import RecordLog

pytestmark = pytest.mark.usefixtures("no_figures")

SLOW = """
import time
def find(image):
    with open({calls!r}, "a") as calls:
        print("asked", file=calls)
    time.sleep({pause})
    return {{"x": image[0, 0, 0] / 7, "y": 3, "score": float(image.mean())}}
"""
MEASURED = ("seconds", "ms_per_image")  # nothing else may differ


class Marking(Localizer):
    """Marks the brightest pixels, fails on one image in seven, and stops the run in the end.

    Args:
        most: images that it is asked about before.
    """

    told: frozenset[str] = frozenset()
    learns: Learns = "nothing"
    parameters = 0
    map_marks = "region"
    batch_size = 3

    def __init__(self, most: int) -> None:
        self.left, self.seen = most, set[bytes]()

    def fit(self, train: object, val: object, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        self.left -= len(images)
        if self.left < 0:
            raise KeyboardInterrupt
        self.seen |= {image.tobytes() for image in images}
        if any(int(image.sum()) % 7 == 0 for image in images):
            raise RuntimeError("of a number that is not liked")
        return [
            Finding(np.float32(image[0, 0, 0] / 7), 3, score=image.mean(), map=image.mean(2))
            for image in images
        ]


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table[[column for column in table if column not in MEASURED]]


def same(one: Path, other: Path) -> None:
    """The tables in two folders, but for the times."""
    for name in ("predictions", "clean", "scores"):
        tables = [without_times(pd.read_csv(folder / f"{name}.csv")) for folder in (one, other)]
        pd.testing.assert_frame_equal(*tables)


@given(arrays.arrays(np.float32, st.integers(0, 3000), elements=st.floats(width=32)))
def test_a_packed_sketch_is_the_same_again(values: np.ndarray) -> None:
    inside = np.arange(len(values)) % 3 == 0
    drawn = MapSummary(
        ValueQuantiles.from_values(values[~inside]), (ValueQuantiles.from_values(values[inside]),)
    )
    again = MapSummary.from_json(drawn.to_json())
    for before, after in zip(
        (drawn.clean, *drawn.regions), (again.clean, *again.regions), strict=True
    ):
        assert before.count == after.count
        assert before.values.dtype == after.values.dtype
        assert before.values.tobytes() == after.values.tobytes()


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.95])
def test_what_was_answered_is_not_asked_again(
    small_set: Path, tmp_path: Path, share: float
) -> None:
    """Scores, failures and maps are those of a run that was never stopped."""
    source = Folder(small_set, "all")
    unhindered = Marking(1000)
    whole = scoring.predict(unhindered, "marking", source)
    most = int(share * (1000 - unhindered.left))
    assert len(whole.errors)
    assert whole.maps
    path = tmp_path / "marking.jsonl"
    with closing(AnswerLog(path, {})) as journal, pytest.raises(KeyboardInterrupt):
        scoring.predict(Marking(most), "marking", source, answer_log=journal)
    with closing(RecordLog(path, {})) as log:
        kept = sum(map(len, log.read()))
    assert kept == 0 if most == 0 else 0 < kept <= most
    path.write_bytes(path.read_bytes() + b'[{"x": 1.0, "y"')  # as if killed while it wrote
    rest = Marking(1000)
    with closing(AnswerLog(path, {})) as journal:
        resumed = scoring.predict(rest, "marking", source, answer_log=journal)
    assert len(rest.seen) == len(whole.predictions) + len(whole.clean) - kept
    for name in ("predictions", "clean", "errors"):
        pd.testing.assert_frame_equal(
            *(without_times(getattr(each, name)) for each in (whole, resumed))
        )
    rows = [pd.DataFrame([scoring.score(each, source, 0)]) for each in (whole, resumed)]
    assert rows[0]["pixel_auroc"].notna().all()
    pd.testing.assert_frame_equal(*map(without_times, rows))


def test_a_killed_evaluate_goes_on(small_set: Path, tmp_path: Path) -> None:
    detector, calls = tmp_path / "mine.py", tmp_path / "calls"
    detector.write_text(SLOW.format(calls=str(calls), pause=0.05))
    spec = f"{detector}:find"
    arguments = ["evaluate", spec, "boundary", str(small_set), "--split", "all", "--out"]
    out, journal = tmp_path / "killed", tmp_path / "killed.partial" / "answers" / "find.jsonl"
    line = [sys.executable, "-m", "localize", *arguments, str(out)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not journal.is_file() or journal.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    kept = journal.read_bytes().count(b"\n") - 1
    detector.write_text(SLOW.format(calls=str(calls), pause=0) + "\n")
    assert (
        console.run(main.app, "localize", [*arguments, str(out)]) == 2
    )  # --resume or --overwrite?
    refused = [*arguments, str(out), "--resume"]
    assert console.run(main.app, "localize", refused) == 2  # another detector has answered so far
    detector.write_text(SLOW.format(calls=str(calls), pause=0.05))
    calls.unlink()
    assert console.run(main.app, "localize", [*arguments, str(out), "--resume"]) == 0
    asked = len(calls.read_text().splitlines())
    whole = localize.evaluate([spec, "boundary"], small_set, tmp_path / "whole", split="all")
    assert asked == len(calls.read_text().splitlines()) - asked - kept
    assert not (out / comparison.ANSWERS).exists()
    same(whole.folder, out)


def test_resuming_with_other_images_is_refused(small_set: Path, tmp_path: Path) -> None:
    def stop(what: str) -> AbstractContextManager[console.Progress]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        localize.evaluate(["boundary"], small_set, tmp_path / "out", split="all", step=stop)
    with pytest.raises(InputError, match="another split"):
        localize.evaluate(["boundary"], small_set, tmp_path / "out", split="test", resume=True)
    assert (tmp_path / "out.partial" / comparison.ABOUT).is_file()


def test_a_fingerprint_is_of_what_answers(tmp_path: Path) -> None:
    run, code = tmp_path / "run", tmp_path / "mine.py"
    run.mkdir()
    (run / "model.json").write_text("{}")
    code.write_text("def find(image): return 1, 2")
    before = fingerprint(run), fingerprint(f"{code}:find")
    assert all(before)
    assert (fingerprint(str(run)), fingerprint(f"{code}:find")) == before
    (run / "best.safetensors").write_bytes(b"weights")
    code.write_text("def find(image): return 2, 1")
    assert fingerprint(run) != before[0]
    assert fingerprint(f"{code}:find") != before[1]
    assert fingerprint("boundary") == fingerprint("anomalib:padim") == ""
