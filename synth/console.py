"""What both commands share: one clear line for an error, exit codes, progress, parsing."""

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
from synth.text_escapes import escape_unprintable

Progress = Callable[[int, int], None]  # is told how much is done, and of how much
ProgressFactory = Callable[[str], contextlib.AbstractContextManager[Progress]]
Function = TypeVar("Function", bound=Callable[..., None])
MINUTE = 60.0  # s between lines where there is no terminal for a bar
RESUMABLE = ("generate", "train", "evaluate", "compare", "sharpness")  # commands that have --resume


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended a command; the message says what is kept and how to go on."""


class _OutputClosed(Exception):
    """Nobody reads the output any more (``| head``)."""


def command(app: typer.Typer, name: str | None = None) -> Callable[[Function], Function]:
    """A decorator that makes a function a command of ``app``.

    ``~`` in its paths is replaced by the home folder. When Ctrl-C or SIGTERM stops it, one
    line says what is kept; a function that knows better raises :class:`Stopped` itself.
    """

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def call(**given: Any) -> None:
            given = {key: _expand(value) for key, value in given.items()}
            handler = interrupts.current_handler()
            if handler:
                handler.work(lambda: _staging_folder(given) is not None)
            try:
                function(**given)
            except Stopped:
                raise
            except KeyboardInterrupt:
                raise Stopped(_stop_line(given)) from None
            except Exception as error:
                # Libraries turn the interruption into errors of their own.
                if handler and handler.received:
                    raise Stopped(_stop_line(given)) from None
                if isinstance(error, BrokenPipeError):
                    raise _OutputClosed from None
                raise

        app.command(name)(call)
        return function

    return register


def _expand(value: Any) -> Any:
    """Paths among the values of a command's parameters, with ``~`` replaced."""
    if isinstance(value, list):
        return [_expand(each) for each in value]
    return path_of(value) if isinstance(value, Path) else value


def _staging_folder(given: Mapping[str, Any]) -> Path | None:
    """The folder in which a command with these parameters builds, if it exists."""
    if given.get("out") is None:
        return None
    staging = folders.staging_folder(Path(os.path.realpath(given["out"])))
    return staging if staging.is_dir() else None


def _stop_line(given: Mapping[str, Any]) -> str:
    """What a stopped command leaves, by its parameters, and how to go on."""
    staging = _staging_folder(given)
    if "resume" not in given:
        return "stopped: nothing is kept of this run; run the command again"
    if staging is None:
        return "stopped before anything was finished: run the command again, without --resume"
    return (
        f"stopped: what is finished is kept in {staging}; "
        "to go on, run the command again with --resume"
    )


def mark_work_started() -> None:
    """Note that a command has results to lose: it is not ended at once any more."""
    if handler := interrupts.current_handler():
        handler.has_begun = lambda: True


def run(app: typer.Typer, name: str, argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0: done; 1: it found faults; 2: bad input; 130 and 143: Ctrl-C and SIGTERM stopped it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    with _lenient_output():
        try:
            code = app(args=arguments, prog_name=name, standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except TyperException as error:
            return _fail(name, f"{error.format_message()} ({name} --help shows how)")
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
                else "check the path and its rights"
            )
            again = " with --resume" if arguments[0] in RESUMABLE else ""
            code = _fail(name, f"{error.strerror}{where}: {advice}, then run again{again}")
            _close_output()
            return code


@contextlib.contextmanager
def _lenient_output() -> Iterator[None]:
    """In the block, stdout and stderr write escapes for what their encoding has no bytes for."""
    changed = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            changed.append((stream, stream.errors))
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, before in changed:
            # What a full disk or a reader that left did not take fails again: it was reported.
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=before)


def _close_output() -> None:
    """Let what stdout still holds go nowhere if it cannot be written: Python flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_line(line: object, file: TextIO | None = None) -> None:
    """Print one line at once, to stdout or ``file``, with escapes for control characters."""
    print(escape_unprintable(line), file=file, flush=True)


def _fail(name: str, message: str) -> int:
    """Print one line to stderr."""
    line = " ".join(each.strip() for each in message.split("\n") if each.strip())
    print(escape_unprintable(f"{name}: {line}"), file=sys.stderr)
    return 2


@contextlib.contextmanager
def no_progress(what: str) -> Iterator[Progress]:
    """In the place of :func:`progress`: shows nothing."""
    yield lambda done, total: None


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A progress bar with rate and end on stderr; gives a function of (done, total).

    Where stderr is no terminal but a log: a line a minute.
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


def print_table(table: Any) -> None:
    """Print a table of rich in its full width, its texts as they are: a name is no markup."""
    from rich.console import Console

    options: dict[str, Any] = {"markup": False, "emoji": False}
    whole = Console(width=10_000, **options).measure(table).maximum
    Console(width=max(Console().width, whole), **options).print(table)


def _log_progress(what: str) -> Progress:
    """Says how far it is, but seldom."""
    said = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= MINUTE:
            said = time.monotonic()
            print(f"{escape_unprintable(what)}: {done} of {total}", file=sys.stderr, flush=True)

    return tell


def print_passed_over(folder: Path) -> None:
    """Say on stderr, in one line, what of a folder of photos is not read."""
    from synth import photo_search

    if line := photo_search.search(folder).summary():
        print_line(f"{folder}: {line}", sys.stderr)


def parse_range(text: str, flag: str) -> tuple[float, float]:
    """``LO:HI`` -> two numbers.

    >>> parse_range("1.05:1.15", "--ratio")
    (1.05, 1.15)
    """
    low, colon, high = text.partition(":")
    return parse_number(low, flag, text), parse_number(high if colon else low, flag, text)


def parse_number(text: str, flag: str, whole: str | None = None) -> float:
    """A word of a flag -> a number, whole where it is written so."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} is '{whole or text}': give numbers, as in 20:80") from None


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """``WIDTHxHEIGHT`` -> (width, height) in px.

    >>> parse_size("640x480")
    (640, 480)
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise InputError(f"{flag} is '{text}': give WIDTHxHEIGHT in px, as in 800x800")
    return int(width), int(height)


def version_callback(package: str) -> Callable[[bool], None]:
    """The callback of ``--version``."""

    def show(wanted: bool) -> None:
        if wanted:
            import importlib.metadata

            print(f"{package} {importlib.metadata.version('acuity')}")
            raise typer.Exit

    return show


def require_paths(paths: Sequence[Path]) -> None:
    """Refuse paths that lead nowhere."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path")
