"""What the commands synth and localize share: errors, exit codes, progress, parsing."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

import typer
from typer.exceptions import Abort, TyperException

from synth import folders, interrupts
from synth.errors import InputError
from synth.memory import is_out_of_memory, out_of_memory_error
from synth.paths import path_of
from synth.storage import Place, is_url, place_of
from synth.text_escapes import escape_unprintable

Progress = Callable[[int, int], None]  # called with (done, total)
ProgressFactory = Callable[[str], contextlib.AbstractContextManager[Progress]]
Function = TypeVar("Function", bound=Callable[..., None])
MINUTE = 60.0  # s between two lines of progress if stderr is not a terminal
DATASET_HELP = "Dataset folder, or path or URL of a sharded dataset."
# The commands with --resume.
RESUMABLE = ("generate", "train", "evaluate", "compare", "learning-curve", "sharpness", "find")


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended a command; the message says what is kept and how to continue."""


class _OutputClosed(Exception):
    """The reader of stdout closed it, as ``| head`` does."""


def command(app: typer.Typer, name: str | None = None) -> Callable[[Function], Function]:
    """A decorator that registers a function as a command of ``app``.

    ``~`` in the paths is replaced by the home folder. If Ctrl-C or SIGTERM stops the command,
    one line says which results are kept; a function may raise :class:`Stopped` with its own line.
    """

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def call(**given: Any) -> None:
            given = {key: _expand(value) for key, value in given.items()}
            handler = interrupts.current_handler()
            if handler:
                handler.work(lambda: _may_have_results(given))
            try:
                function(**given)
            except Stopped:
                raise
            except KeyboardInterrupt:
                raise Stopped(_stop_line(given)) from None
            except Exception as error:
                # Libraries convert the interruption into their own errors.
                if handler and handler.received:
                    raise Stopped(_stop_line(given)) from None
                if isinstance(error, BrokenPipeError):
                    raise _OutputClosed from None
                raise

        app.command(name)(call)
        return function

    return register


def _expand(value: Any) -> Any:
    """Replaces ``~`` in a path or in a list of paths; other values stay."""
    if isinstance(value, list):
        return [_expand(each) for each in value]
    return path_of(value) if isinstance(value, Path) else value


def _staging_folder(given: Mapping[str, Any]) -> Path | None:
    """The staging folder of a command with these parameters, if it exists."""
    if given.get("out") is None or is_url(given["out"]):
        return None
    staging = folders.staging_folder(Path(os.path.realpath(given["out"])))
    return staging if staging.is_dir() else None


def _may_have_results(given: Mapping[str, Any]) -> bool:
    """Whether a stopped command with these parameters may have kept results."""
    return is_url(given.get("out")) or _staging_folder(given) is not None


def _stop_line(given: Mapping[str, Any]) -> str:
    """A sentence: what a stopped command has kept, and how to continue."""
    staging = given["out"] if is_url(given.get("out")) else _staging_folder(given)
    if "resume" not in given:
        return "stopped: no results of this run are kept; run the command again"
    if staging is None:
        return "stopped before there were results: run the command again without --resume"
    return (
        f"stopped: the results so far are kept in {staging}; "
        "to continue, run the command again with --resume"
    )


def mark_work_started() -> None:
    """Records that the command may have results: a signal no longer ends it at once."""
    if handler := interrupts.current_handler():
        handler.has_begun = lambda: True


def run(app: typer.Typer, name: str, argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    0: success; 1: the command found faults; 2: bad input; 130: stopped by Ctrl-C; 143: stopped
    by SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    with _lenient_output():
        try:
            code = app(args=arguments, prog_name=name, standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except TyperException as error:
            return _fail(name, f"{error.format_message()} (see {name} --help)")
        except InputError as error:
            return _fail(name, str(error))
        except (Stopped, KeyboardInterrupt, Abort) as error:
            handler = interrupts.current_handler()
            code = 128 + ((handler and handler.received) or signal.SIGINT)
            if handler:
                handler.finish(code)
            _fail(name, str(error) or "stopped: run the command again")
            return code
        except (BrokenPipeError, _OutputClosed):
            _close_output()
            return 0
        except Exception as error:
            if is_out_of_memory(error):
                return _fail(name, str(out_of_memory_error()))
            if not isinstance(error, OSError) or error.errno is None:
                raise
            where = f" ({error.filename})" if error.filename else ""
            advice = (
                "free some space"
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "check the path and its permissions"
            )
            again = " with --resume" if arguments[0] in RESUMABLE else ""
            code = _fail(
                name, f"{error.strerror}{where}: {advice}, then run the command again{again}"
            )
            _close_output()
            return code


@contextlib.contextmanager
def _lenient_output() -> Iterator[None]:
    """In the block, stdout and stderr write escapes for characters that they cannot encode."""
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, before in changed:
            # Unwritten text on a full disk or closed pipe fails again; it was reported.
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=before)


def _close_output() -> None:
    """Redirects stdout to the null device if it cannot be flushed, as Python flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_line(line: object, file: TextIO | None = None) -> None:
    """Prints one line to stdout or ``file`` and flushes, with escapes for control characters."""
    print(escape_unprintable(line), file=file, flush=True)


def _fail(name: str, message: str) -> int:
    """Prints an error as one line to stderr; returns exit code 2."""
    line = " ".join(each.strip() for each in message.split("\n") if each.strip())
    print(escape_unprintable(f"{name}: {line}"), file=sys.stderr)
    return 2


@contextlib.contextmanager
def no_progress(what: str) -> Iterator[Progress]:
    """A replacement for :func:`progress` that shows nothing."""
    yield lambda done, total: None


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Shows a progress bar on stderr; the block gets a function of (done, total).

    If stderr is not a terminal, one line per minute is printed instead.
    """
    mark_work_started()
    if not sys.stderr.isatty() and "FORCE_PROGRESS" not in os.environ:
        yield _log_progress(what)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "", style="dim")

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(escape_unprintable(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def ray_progress(what: str) -> Iterator[Progress]:
    """Replaces :func:`progress` where Ray draws bars of its own in a terminal."""
    mark_work_started()
    yield (lambda done, total: None) if sys.stderr.isatty() else _log_progress(what)


def print_table(table: Any) -> None:
    """Prints a rich table in its full width, without interpreting markup in its texts."""
    from rich.console import Console

    options: dict[str, Any] = {"markup": False, "emoji": False}
    whole = Console(width=10_000, **options).measure(table).maximum
    Console(width=max(Console().width, whole), **options).print(table)


def _log_progress(what: str) -> Progress:
    """-> a function of (done, total) that prints at most one line per minute to stderr."""
    printed = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal printed
        if time.monotonic() - printed >= MINUTE:
            printed = time.monotonic()
            print(f"{escape_unprintable(what)}: {done} of {total}", file=sys.stderr, flush=True)

    return report


def print_passed_over(folder: str | Place) -> None:
    """Prints one line to stderr: the files of a folder of photos that are passed over."""
    from synth import photo_search

    folder = place_of(folder)
    if line := photo_search.search(folder).summary():
        print_line(f"{folder}: {line}", sys.stderr)


def parse_range(text: str, flag: str) -> tuple[float, float]:
    """``LO:HI``, or one number for both -> (low, high).

    >>> parse_range("1.05:1.15", "--ratio")
    (1.05, 1.15)

    Raises:
        InputError: a part is not a number.
    """
    low, colon, high = text.partition(":")
    return parse_number(low, flag, text), parse_number(high if colon else low, flag, text)


def parse_number(text: str, flag: str, whole: str | None = None) -> float:
    """Parses one number in the value of a flag.

    Args:
        text: the number.
        flag: name of the flag, for the message.
        whole: whole value of the flag, for the message; default: ``text``.

    Raises:
        InputError: the text is not a number.
    """
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} is '{whole or text}': give numbers, as in 20:80") from None


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """``WIDTHxHEIGHT`` -> (width, height) in px.

    >>> parse_size("640x480")
    (640, 480)

    Raises:
        InputError: the text has another form, or a side is 0.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise InputError(f"{flag} is '{text}': give WIDTHxHEIGHT in px, as in 800x800")
    return int(width), int(height)


def version_callback(package: str) -> Callable[[bool], None]:
    """The callback of ``--version``: prints the version and ends the command."""

    def show(wanted: bool) -> None:
        if wanted:
            import importlib.metadata

            print(f"{package} {importlib.metadata.version('acuity')}")
            raise typer.Exit

    return show


def require_paths(paths: Sequence[Path]) -> None:
    """Raises InputError for the first path that does not exist."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path")
