"""SPEC `file.py:function`: a function of the user's, in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import localize
from localize import registry
from localize.cli import main
from localize.data.folder import Folder
from localize.external import caller, peer, worker
from localize.external.function import Function
from localize.localizer import Finding
from synth import InputError, console

MINE = '''
import os, signal, sys, time
from neighbour import OFFSET

print("imported by", os.getpid())
calls = 0

def place(image):
    """Where the first pixel of (9, 9, 9) is."""
    print("this must not reach our stdout")
    y, x = (image == 9).all(axis=2).nonzero()
    return x[0] + OFFSET, y[0]

def heat(image):
    image[:] = image  # it may write to what it got
    return image.astype(float).sum(axis=2)

class Found:
    def __init__(self, **fields):
        self.__dict__.update(fields)

def rich(image):
    return Found(x=1, y=2, r=3.5, ratio=1.1, score=0.25)

def fails(image):
    raise KeyError("no eyes")

def leaves(image):
    sys.exit("gone")

def killed(image):
    os.kill(os.getpid(), signal.SIGKILL)

def interrupts(image):
    raise KeyboardInterrupt

class Mute(BaseException):
    def __str__(self):
        raise ValueError("no words")

def mute(image):
    raise Mute

def forks(image):
    """The child comes back too: only the parent's answer counts."""
    return (5, 6) if os.fork() else (7, 8)

def fickle(image):
    """It hangs at a black image, else it returns its number of calls and its process."""
    global calls
    calls += 1
    while not image.any():
        time.sleep(1)
    return calls, os.getpid()

number = 7
'''
IMAGE = np.zeros((20, 30, 3), np.uint8)
IMAGE[4, 11] = 9

Use = Callable[..., Function]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "neighbour.py").write_text("OFFSET = 0\n")
    return tmp_path / "mine.py"


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localize.report.plots.save", lambda *args: None)
    monkeypatch.setattr("localize.report.page.write", lambda folder: None)


@pytest.fixture
def use(mine: Path) -> Iterator[Use]:
    """Loads a function of the file; its process ends with the test."""
    used: list[Function] = []

    def load(name: str, **options: float) -> Function:
        localizer = registry.load(f"{mine}:{name}", **options)
        assert isinstance(localizer, Function)
        used.append(localizer)
        return localizer

    yield load
    for each in used:
        each.close()


def test_places_maps_and_findings(use: Use, capfd: pytest.CaptureFixture[str]) -> None:
    assert use("place").locate([IMAGE, IMAGE]) == [Finding(11, 4)] * 2
    found = use("heat").locate([IMAGE])[0]
    assert (found.x, found.y, found.score) == (11, 4, 27)
    assert found.map is not None
    np.testing.assert_array_equal(found.map, IMAGE.sum(axis=2))
    assert use("rich").locate([IMAGE])[0] == Finding(1, 2, 3.5, 1.1, 0.25)
    out, err = capfd.readouterr()
    assert out == ""
    assert "must not reach our stdout" in err  # a user's own prints are not lost
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "KeyError: 'no eyes'"),
        ("leaves", "SystemExit: gone"),
        ("interrupts", "KeyboardInterrupt"),
        ("mute", "Mute: .its text cannot be read."),
        ("killed", r"its process ended \(SIGKILL\)"),
    ],
)
def test_a_failure_has_its_reason_and_the_next_image_its_chance(
    name: str, words: str, use: Use
) -> None:
    localizer = use(name)
    for _ in range(2):
        with pytest.raises(peer.Failure, match=words):
            localizer.locate([IMAGE])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_function_that_forks_answers_once(use: Use) -> None:
    localizer = use("forks")
    assert [localizer.locate([IMAGE])[0] for _ in range(3)] == [Finding(5, 6)] * 3


def test_a_reason_is_one_short_line_that_can_be_stored() -> None:
    reason = worker.error_text(ValueError("a\n\x1b[31m\x00\udcff" + "x" * 100_000))
    assert reason.startswith("ValueError: a [31m x")
    assert len(reason) == worker.MAX_LENGTH
    assert reason.isprintable()
    reason.encode()


def test_what_hangs_is_killed_and_started_again(use: Use) -> None:
    localizer = use("fickle", time_limit=20.0)
    first, second = localizer.locate([IMAGE])[0], localizer.locate([IMAGE])[0]
    assert (first.x, second.x) == (1, 2)
    assert first.y == second.y
    localizer.time_limit = 0.5
    with pytest.raises(peer.Failure, match=r"no answer within 0\.5 s"):
        localizer.locate([np.zeros_like(IMAGE)])
    localizer.time_limit = 20.0
    again = localizer.locate([IMAGE])[0]
    assert again.x == 1
    assert again.y != first.y
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.y), 0)


def test_every_process_of_ours_has_one_of_its_own(use: Use) -> None:
    localizer = use("fickle")
    here = localizer.locate([IMAGE])[0].y
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        there = pool.submit(localizer.locate, [IMAGE]).result()[0]
    assert there.x == 1
    assert there.y != here
    if hasattr(os, "fork"):
        with ProcessPoolExecutor(1, get_context("fork")) as pool:
            forked = pool.submit(localizer.locate, [IMAGE]).result()[0]
        assert forked.x == 1
        assert forked.y != here
    assert localizer.locate([IMAGE])[0] == Finding(2, here)


def gone(process: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_it_ends_when_we_do(end: str, mine: Path) -> None:
    code = (
        "import os, sys, numpy as np; from localize import registry\n"
        f"f = registry.load({f'{mine}:fickle'!r})\n"
        "print(int(f.locate([np.ones((5, 5, 3), np.uint8)])[0].y), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True)
    assert gone(int(done.stdout))


@pytest.mark.usefixtures("no_figures")
def test_the_run_goes_on_and_errors_are_counted(
    mine: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One image kills it: its name is among the errors, the others are answered."""
    first = Folder(small_set, "test")[0].image
    np.save(tmp_path / "first.npy", first)
    mine.write_text(
        "import os, pathlib, numpy as np\n"
        "first = np.load(pathlib.Path(__file__).with_name('first.npy'))\n"
        "def middling(image):\n"
        "    if np.array_equal(image, first): os._exit(3)\n"
        "    return image.shape[1] / 2, image.shape[0] / 2\n"
    )
    words = ["evaluate", f"{mine}:middling", small_set, "--out", tmp_path / "out"]
    assert console.run(main.app, "localize", [*map(str, words), "--time-limit", "30"]) == 0
    assert "1 answers are missing" in capsys.readouterr().out
    errors = pd.read_csv(tmp_path / "out/errors.csv")
    assert errors["method"].tolist() == ["middling"]
    assert errors["reason"].tolist() == ["Failure: its process ended (exit code 3)"]
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores.index.tolist() == ["centre", "middling"]
    rows = pd.read_csv(tmp_path / "out/predictions.csv").groupby("method")["x_pred"]
    assert rows.count()["middling"] == rows.size()["middling"] - 1


def test_find_goes_on_too(mine: Path, small_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((small_set / "images").iterdir())[:2]
    words = ["find", *images, "--method", f"{mine}:fails"]
    assert console.run(main.app, "localize", list(map(str, words))) == 1
    out = capsys.readouterr().out
    assert out.count("KeyError: 'no eyes'") == 2
    assert "2 of 2 images have no answer" in out


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mine.py:nothing", "mine.py has no function nothing"),
        ("mine.py:number", "number in mine.py is no function"),
        ("mine.py", "mine.py:function"),
        ("gone.py:place", "no file at gone.py"),
        ("broken.py:place", "SyntaxError"),
        ("lacking.py:place", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("quits.py:place", "its process ended (exit code 5)"),
    ],
)
def test_bad_specs_get_one_clear_line(
    spec: str,
    words: str,
    mine: Path,
    small_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(mine.parent)
    Path("broken.py").write_text("def place(:\n")
    Path("lacking.py").write_text("import nowhere_to_be_found\n")
    Path("quits.py").write_text("import os; os._exit(5)\n")
    argv = ["evaluate", spec, str(small_set), "--out", "out"]
    assert console.run(main.app, "localize", argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert not Path("out").exists()


def test_an_import_that_hangs_is_given_up(mine: Path) -> None:
    mine.write_text("import time; time.sleep(1000)")
    with pytest.raises(InputError, match=r"no answer within 0\.5 s"):
        Function(mine, "place", time_limit=0.5, start_limit=0.5)


@pytest.mark.usefixtures("no_figures")
def test_compare_takes_a_function(mine: Path, small_set: Path, tmp_path: Path) -> None:
    result = localize.compare(small_set, tmp_path / "out", [f"{mine}:heat"], time_limit=20.0)
    assert result.scores["method"].tolist() == ["centre", "heat"]
    assert result.scores["parameters"].isna().tolist() == [False, True]
    assert result.scores["image_auroc"].notna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (None, TypeError, "returned None"),
        ("left", TypeError, "returned str"),
        ((1, 2, 3), TypeError, r"shape \(3,\)"),
        ((10**400, 2), TypeError, "returned tuple"),
        ({"x": "3", "y": 4}, TypeError, "returned str as x"),
        ({"x": 1, "y": np.complex128(2j)}, TypeError, "returned complex128 as y"),
        ({"x": 1, "y": [1, 2]}, TypeError, "returned list as y"),
        (np.array([[5.0, 6.0]]), ValueError, r"shape \(1, 2\), the image \(20, 30\)"),
        ((1, np.nan), ValueError, "y = nan"),
        ((np.inf, 2), ValueError, "x = inf"),
        (np.zeros((3, 4)), ValueError, r"shape \(3, 4\), the image \(20, 30\)"),
        (np.full((20, 30), np.nan), ValueError, "NaN"),
        ({"x": 1}, TypeError, "x and y are missing"),
        ({"x": 1, "y": 2, "score": np.nan}, ValueError, "score = nan"),
        (np.zeros((20, 30), complex), TypeError, "ndarray"),
    ],
)
def test_answers_that_are_none(result: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        caller.to_message(result, (20, 30))


def test_messages_arrive_as_they_were_or_not_at_all() -> None:
    message = {"image": IMAGE, "x": [1.5, None], "kind": "ä", "map": np.ones((0, 3), np.float32)}
    stream = io.BytesIO()
    worker.write(stream, message)
    worker.write(stream, {})
    stream.seek(0)
    back = worker.read(stream)
    assert back is not None
    assert back.keys() == message.keys()
    for name, value in message.items():
        np.testing.assert_array_equal(back[name], value)
    assert back["map"].dtype == np.float32
    assert worker.read(stream) == {}
    assert worker.read(stream) is None
    whole = stream.getvalue()
    for length in (1, 7, 8, 20, 500):
        with pytest.raises(EOFError):
            worker.read(io.BytesIO(whole[:length]))


def test_tensors_and_mappings_are_answers() -> None:
    import torch

    heat = torch.zeros(20, 30, requires_grad=True)
    assert caller.to_message(heat, (20, 30))["score"] == 0
    assert caller.to_message(torch.tensor([3.0, 4.0]), (20, 30)) == {"x": 3, "y": 4}
    assert caller.to_message({"x": 1, "y": 2, "r": None}, (20, 30)) == {"x": 1, "y": 2}
