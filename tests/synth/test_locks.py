"""Two processes never write the same folder; the lock of an ended process is taken over."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from synth import InputError, locks
from synth.locks import lock

HOLDER = """
import sys, time
from pathlib import Path
from synth.locks import lock
with lock(Path("set"), Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def left_by(path: Path, host: str, pid: int, age: float) -> None:
    """Writes a lock file as another process did, ``age`` seconds ago."""
    path.write_text(json.dumps({"host": host, "pid": pid, "since": "2026-01-01 00:00:00"}))
    then = time.time() - age
    os.utime(path, (then, then))


def test_a_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / ".set.lock"
    for _ in range(2):
        with lock(tmp_path / "set", path):
            assert path.exists()
        assert not path.exists()


def test_another_process_is_refused_until_it_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".set.lock"
    with hold_elsewhere(path) as process:
        with (
            pytest.raises(InputError, match=f"process {process.pid} on .*wait until it ends"),
            lock(tmp_path / "set", path),
        ):
            pass
        process.send_signal(signal.SIGKILL)
    assert path.exists()
    with lock(tmp_path / "set", path):
        pass
    assert not path.exists()
    assert capsys.readouterr().err == ""


def test_another_thread_is_refused(tmp_path: Path) -> None:
    path, refused = tmp_path / ".set.lock", []

    def second() -> None:
        try:
            with lock(tmp_path / "set", path):
                pass
        except InputError as error:
            refused.append(str(error))

    with lock(tmp_path / "set", path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert path.exists()
    assert len(refused) == 1


def test_the_lock_of_another_machine_holds_while_it_is_renewed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".set.lock"
    left_by(path, "elsewhere", 7, age=locks.STALE / 2)
    with (
        pytest.raises(InputError, match=r"process 7 on elsewhere.*active 30 s ago"),
        lock(tmp_path / "set", path),
    ):
        pass
    left_by(path, "elsewhere", 7, age=locks.STALE * 2)
    with lock(tmp_path / "set", path):
        pass
    assert "taken over from process 7 on elsewhere" in capsys.readouterr().err


def test_a_lock_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".set.lock"
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with lock(tmp_path / "set", path):
        os.utime(path, (0, 0))
        for _ in range(500):
            if path.stat().st_mtime > 0:
                break
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_without_system_locks_the_process_number_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", unsupported)
    path = tmp_path / ".set.lock"
    left_by(path, platform.node(), os.getppid(), age=0)
    with pytest.raises(InputError, match="wait until it ends"), lock(tmp_path / "set", path):
        pass
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left_by(path, platform.node(), gone.pid, age=0)
    with lock(tmp_path / "set", path):
        pass


@pytest.mark.parametrize("text", ["", "null", "{", '{"host": 3}', '{"host":"a","pid":"x"}'])
def test_a_damaged_lock_file_is_taken_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".set.lock"
    path.write_text(text)
    with lock(tmp_path / "set", path):
        pass
    assert not path.exists()
