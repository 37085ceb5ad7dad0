"""Training that is interrupted or whose unfinished run is damaged: nothing is lost or changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from localize.data.folder import Folder
from localize.methods.cnn import Cnn
from localize.training import runs, trainer
from synth import InputError
from synth.errors import Interrupted

EPOCHS, STOP = 4, 2  # epochs of a run, and after how many it is stopped
NAMES = ("best.safetensors", "last.safetensors", "history.csv", "model.json")


def fit(small_set: Path, run: Path, **options: object) -> None:
    known = {"input": (48, 32), "epochs": EPOCHS, "progress": False, "device": "cpu"}
    cnn = Cnn("cnn-fuse-last", **known | options)  # type: ignore[arg-type]
    cnn.fit(Folder(small_set, "train"), Folder(small_set, "val"), run)


def stop_at(epoch: int, patch: pytest.MonkeyPatch, by: Callable[[], None]) -> None:
    """Let the epoch end with ``by``, once all its files are written."""
    keep = trainer.RunWriter.on_train_epoch_end

    def keep_and_stop(self: trainer.RunWriter, trainer: object, module: object) -> None:
        keep(self, trainer, module)  # type: ignore[arg-type]
        if trainer.current_epoch + 1 == epoch:  # type: ignore[attr-defined]
            by()

    patch.setattr(trainer.RunWriter, "on_train_epoch_end", keep_and_stop)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    fit(small_set, run)
    return run


@pytest.fixture(scope="module")
def stopped(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(STOP, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(small_set, run)
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run."""
    return shutil.copytree(stopped, tmp_path / "run")


def same(one: Path, other: Path) -> None:
    for name in NAMES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert {path.name for path in other.iterdir()} == set(NAMES)


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def empty(data: bytes) -> bytes:
    return b""


def blank(data: bytes) -> bytes:
    start = len(data) // 2
    while not any(data[start : start + 300]):
        start += 300
    return data[:start] + bytes(300) + data[start + 300 :]


def flip(data: bytes) -> bytes:
    middle = len(data) // 3
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


DAMAGES = [truncate, empty, blank, flip]


def test_ctrl_c_keeps_what_was_trained(small_set: Path, whole: Path, run: Path) -> None:
    """Lightning would exit with code 1 and ignore every later Ctrl-C."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [row["epoch"] for row in runs.read_history(run)] == [1, 2]
    fit(small_set, run)
    same(whole, run)


@pytest.mark.parametrize("place", ["validation", "checkpoint"])
def test_ctrl_c_twice_in_the_middle_of_an_epoch(
    small_set: Path, whole: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = {
        "validation": (trainer.Regression, "validation_step"),
        "checkpoint": (runs, "write_with_checksum"),
    }[place]
    calls, original = [0], getattr(owner, name)

    def twice(*args: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            interrupt()
            interrupt()
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, twice)
        with pytest.raises(KeyboardInterrupt):
            fit(small_set, tmp_path)
    fit(small_set, tmp_path)
    same(whole, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_repeats_an_epoch(
    small_set: Path,
    whole: Path,
    run: Path,
    damage: Callable[[bytes], bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = run / "last.ckpt"
    path.write_bytes(damage(path.read_bytes()))
    fit(small_set, run)
    assert capsys.readouterr().err == f"{path} is damaged: resuming from epoch 1\n"
    same(whole, run)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["start.json", *NAMES[:3]])
def test_other_damaged_files_are_written_again(
    small_set: Path, whole: Path, run: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    if name == "start.json":
        (run / "earlier.ckpt").unlink()
    (run / name).write_bytes(damage((run / name).read_bytes()))
    fit(small_set, run)
    same(whole, run)


def test_where_every_checkpoint_is_damaged_one_line_says_so(small_set: Path, run: Path) -> None:
    for name in ("last.ckpt", "earlier.ckpt"):
        (run / name).write_bytes(flip((run / name).read_bytes()))
    with pytest.raises(InputError, match=r"last\.ckpt and .*earlier\.ckpt .*: delete them"):
        fit(small_set, run)


def test_files_of_another_run_are_refused_or_replaced(
    small_set: Path, whole: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    with monkeypatch.context() as patched:
        stop_at(STOP, patched, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(small_set, other, seed=5)
    kept = shutil.copytree(run, tmp_path / "kept")
    for name in NAMES[:3]:
        shutil.copy(other / name, run / name)
    fit(small_set, run)
    same(whole, run)
    shutil.copy(other / "last.ckpt", kept / "last.ckpt")
    with pytest.raises(InputError, match="other settings"):
        fit(small_set, kept)


@pytest.mark.parametrize("augment", [(), ("flip",)])
def test_nothing_goes_through_the_folder_for_temporary_files(
    small_set: Path, tmp_path: Path, augment: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in this process nor in the workers that augment."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError("no room for temporary files")

    for name in ("mkstemp", "mkdtemp", "mktemp", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    fit(small_set, tmp_path, augment=augment, epochs=1)
    assert (tmp_path / "model.json").is_file()


@pytest.fixture
def broken_set(
    small_set: Path, tmp_path: Path, retabled: Callable[[Path, Path, pd.DataFrame], Path]
) -> tuple[Path, Path]:
    """A dataset, and the image of it that is cut short."""
    table = pd.read_csv(small_set / "metadata.csv")
    copy = retabled(small_set, tmp_path / "set", table)
    (copy / "images").unlink()
    shutil.copytree(small_set / "images", copy / "images")
    rows = table[(table["split"] == "train") & (table["label"] == 1)]
    path = copy / rows["file_name"].iloc[1]
    path.write_bytes(path.read_bytes()[:700])
    return copy, path


def test_an_error_in_a_worker_is_one_line(broken_set: tuple[Path, Path], tmp_path: Path) -> None:
    folder, path = broken_set
    with pytest.raises(InputError) as caught:
        fit(folder, tmp_path / "run", augment=("flip",))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, Interrupted)


def test_an_error_after_a_checkpoint_keeps_the_run(
    broken_set: tuple[Path, Path], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image broke after two epochs: bad input, but what was trained must not be dropped."""
    folder, path = broken_set
    monkeypatch.setattr("localize.data.batches.PRELOAD_BYTES", 0)
    with pytest.raises(Interrupted, match="use --resume") as caught:
        fit(folder, run)
    assert str(path) in str(caught.value)
    assert (run / "last.ckpt").is_file()


WORKER = """
import sys
from localize.data.loader import set_up_worker
set_up_worker(0)
for error in (BrokenPipeError("the parent is gone"), ValueError("a fault")):
    sys.excepthook(type(error), error, None)
"""


def test_a_worker_says_nothing_of_a_parent_that_stopped() -> None:
    """Threads of multiprocessing send images and report their own errors to the hook."""
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True)
    assert done.stderr == "ValueError: a fault\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_at_the_terminal_leaves_no_worker(photo_folder: Path, tmp_path: Path) -> None:
    """It reaches the whole process group; here while workers draw images."""
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"size": [64, 64], "radius": [8, 12]}')
    command = [
        sys.executable, "-m", "localize", "train", "cnn-fast", "--photos", str(photo_folder),
        "--recipe", str(recipe), "--input", "32x32", "--epochs", "9999", "--device", "cpu",
        "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run.partial" / "last.ckpt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.count("\n") == 1, said
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # the group has no process any more
    assert not list((tmp_path / "temporary").iterdir())
