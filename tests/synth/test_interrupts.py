"""Ctrl-C and SIGTERM at any time: one line, the right exit code and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from synth import console, interrupts

Stop = Callable[..., tuple[int, list[str], str]]
APP = """
import sys, time
from pathlib import Path
import typer
from synth import console
app = typer.Typer(add_completion=False)
def ready():
    print("ready", flush=True)
    {wait}
@console.command(app)
def work(out: Path, resume: bool = False):
{body}
@console.command(app)
def other(): ...
"""
WAIT = "time.sleep(20)"


@pytest.fixture
def stop(tmp_path: Path) -> Stop:
    """A function: body of a command -> exit code, lines of stderr, stdout, after a signal."""

    def run(
        body: str = "ready()", wait: str = WAIT, number: int = signal.SIGINT, *, top: str = "",
        ignored: bool = False,
    ) -> tuple[int, list[str], str]:  # fmt: skip
        app = APP.format(wait=wait, body=textwrap.indent(textwrap.dedent(body), "    "))
        (tmp_path / "commands.py").write_text(app + top)
        code = "from synth import interrupts; interrupts.start('made', 'commands')"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "work", str(tmp_path / "out")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL
            ),
        )  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        return process.returncode, err.splitlines(), first + out

    return run


def test_while_a_command_is_loaded_it_ends_at_once(stop: Stop) -> None:
    code, err, _ = stop(top="\nready()\n")
    assert (code, err) == (130, [f"made: {interrupts.BEGINNING}"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_at_work_cleans_up_and_prints_what_is_kept(
    stop: Stop, number: int, code: int
) -> None:
    body = """
    Path(f"{out}.partial").mkdir()
    try:
        ready()
    finally:
        print("cleaned")
    """
    got, err, out = stop(body, number=number)
    assert (got, out) == (code, "ready\ncleaned\n")
    assert len(err) == 1
    assert "out.partial" in err[0]
    assert "--resume" in err[0]


def test_an_import_is_not_broken_off_but_the_work_after_it_is(stop: Stop, tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(
        "import commands, time\nprint('ready', flush=True)\ntime.sleep(0.4)\nprint('loaded')\n"
    )
    begun = 'console.mark_work_started()\nimport large\ntime.sleep(20)\nprint("too far")'
    code, err, out = stop(begun)
    assert (code, out, len(err)) == (130, "ready\nloaded\n", 1)
    code, err, out = stop("import large")  # before the work started, the import is interrupted
    assert (code, out, err) == (130, "ready\n", [f"made: {interrupts.BEGINNING}"])


def test_an_interruption_that_python_drops_is_delivered_again(stop: Stop) -> None:
    body = """
    import weakref
    class Thing: ...
    def last(ref):
        ready()
    thing = Thing()
    ref = weakref.ref(thing, last)
    del thing  # what is raised in the callback is dropped by Python
    time.sleep(20)
    """
    code, err, _ = stop(body)
    assert code == 130
    assert len(err) == 1


def test_an_error_that_a_library_makes_of_it_is_no_traceback(stop: Stop) -> None:
    body = """
    try:
        ready()
    except KeyboardInterrupt:
        raise SystemError("something broke off") from None
    """
    code, err, _ = stop(body)
    assert code == 130
    assert len(err) == 1


def test_a_command_may_give_its_own_message_about_kept_results(stop: Stop) -> None:
    body = """
    try:
        ready()
    except KeyboardInterrupt:
        raise console.Stopped("3 of 9 are done") from None
    """
    assert stop(body)[:2] == (130, ["made: 3 of 9 are done"])


def test_a_result_that_stands_keeps_its_exit_code(stop: Stop) -> None:
    body = """
    import atexit
    atexit.register(ready)
    """
    assert stop(body)[:2] == (0, [])


def test_an_ignored_ctrl_c_stays_ignored(stop: Stop) -> None:
    code, err, out = stop('ready()\nprint("done")', "time.sleep(0.3)", ignored=True)
    assert (code, err, out) == (0, [], "ready\ndone\n")


def test_in_process_use_installs_no_signal_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    from synth.cli import app

    assert console.run(app, "synth", ["--version"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert interrupts.current_handler() is None


def test_little_is_imported_before_signals_are_handled() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import synth.__main__, localize.__main__"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heavy = {"typer", "numpy", "PIL", "pandas", "torch", "rich", "json"}
    assert not heavy & set(done.stdout.split())
