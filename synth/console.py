"""What both commands share: one clear line for an error, exit codes, progress, parsing."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer
from typer.exceptions import Abort, TyperException

from synth.errors import InputError

Progress = Callable[[int, int], None]  # is told how much is done, and of how much
Step = Callable[[str], contextlib.AbstractContextManager[Progress]]
MINUTE = 60.0  # s between lines where there is no terminal for a bar
RESUMABLE = ("generate", "train", "evaluate", "compare", "sharpness")  # commands that have --resume


def run(app: typer.Typer, name: str, argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 well, 1 found faults, 2 bad input."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = app(args=arguments, prog_name=name, standalone_mode=False)
        if code == 130:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except TyperException as error:
        return _fail(name, f"{error.format_message()} ({name} --help shows how)")
    except InputError as error:
        return _fail(name, str(error))
    except (KeyboardInterrupt, Abort):
        _fail(name, "stopped; what was finished is kept where --resume is offered")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has left; Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        advice = (
            "free some space"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "check the path and its rights"
        )
        again = " with --resume" if arguments[0] in RESUMABLE else ""
        return _fail(name, f"{error.strerror}{where}: {advice}, then run again{again}")


def _fail(name: str, message: str) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def silent(what: str) -> Iterator[Progress]:
    """In the place of :func:`progress`: shows nothing."""
    yield lambda done, total: None


@contextlib.contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A progress bar with rate and end on stderr; gives a function of (done, total).

    Where stderr is no terminal but a log: a line a minute.
    """
    if not sys.stderr.isatty() and "FORCE_PROGRESS" not in os.environ:
        yield _logged(what)
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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _logged(what: str) -> Progress:
    """Says how far it is, but seldom."""
    said = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= MINUTE:
            said = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return tell


def tell_passed_over(folder: Path) -> None:
    """Say on stderr, in one line, what of a folder of photos is not read."""
    from synth import photo_search

    if line := photo_search.survey(folder).sentence():
        print(f"{folder}: {line}", file=sys.stderr)


def pair(text: str, flag: str) -> tuple[float, float]:
    """``LO:HI`` -> two numbers.

    >>> pair("1.05:1.15", "--ratio")
    (1.05, 1.15)
    """
    low, colon, high = text.partition(":")
    return number(low, flag, text), number(high if colon else low, flag, text)


def number(text: str, flag: str, whole: str | None = None) -> float:
    """A word of a flag -> a number, whole where it is written so."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag} is '{whole or text}': give numbers, as in 20:80") from None


def size(text: str, flag: str = "--size") -> tuple[int, int]:
    """``WIDTHxHEIGHT`` -> (width, height) in px.

    >>> size("640x480")
    (640, 480)
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise InputError(f"{flag} is '{text}': give WIDTHxHEIGHT in px, as in 800x800")
    return int(width), int(height)


def version(package: str) -> Callable[[bool], None]:
    """The callback of ``--version``."""

    def show(wanted: bool) -> None:
        if wanted:
            import importlib.metadata

            print(f"{package} {importlib.metadata.version('acuity')}")
            raise typer.Exit

    return show


def existing(paths: Sequence[Path]) -> None:
    """Refuse paths that lead nowhere."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path")
