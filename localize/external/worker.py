"""The child's side of an external process: reads messages from stdin, answers on stdout.

    python worker.py JOB.py [ARGUMENT ...]

JOB.py defines ``begin(report, *arguments)``, which returns the function that answers a message;
``report(done, total)`` reports progress. The first message sent is ``{"ready": true}``. Output
that the job prints goes to stderr. A message holds JSON values and arrays, never code. This file
runs in other environments: it imports only numpy and the standard library.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

Message = dict[str, Any]
Answer = Callable[[Message], Message]
_LENGTH = struct.Struct("<Q")
MAX_LENGTH = 500  # characters of an error message


def write(stream: IO[bytes], message: Message) -> None:
    """Send a message: its length, its JSON values, its arrays."""
    arrays = {name: value for name, value in message.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in message.items() if name not in arrays}
    head = json.dumps({"plain": plain, "arrays": list(arrays)}).encode()
    body = io.BytesIO()
    body.write(_LENGTH.pack(len(head)) + head)
    for array in arrays.values():
        np.save(body, array, allow_pickle=False)
    stream.write(_LENGTH.pack(body.tell()))
    stream.write(body.getbuffer())
    stream.flush()


def read(stream: IO[bytes]) -> Message | None:
    """Receive the next message; None at the end of the stream.

    Raises:
        EOFError: the stream ended within a message.
    """
    prefix = stream.read(_LENGTH.size)
    if not prefix:
        return None
    prefix += _read_exactly(stream, _LENGTH.size - len(prefix))
    body = io.BytesIO(_read_exactly(stream, _LENGTH.unpack(prefix)[0]))
    head = json.loads(_read_exactly(body, _LENGTH.unpack(_read_exactly(body, _LENGTH.size))[0]))
    arrays = {name: np.load(body, allow_pickle=False) for name in head["arrays"]}
    return {**head["plain"], **arrays}


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other process ended within a message")
    return data


def error_text(error: BaseException) -> str:
    """An exception -> its kind and text on one line of at most ``MAX_LENGTH`` characters."""
    try:
        text = str(error)
    except Exception:  # raised by an exception class of the user
        text = "(its text cannot be read)"
    text = "".join(each if each.isprintable() else " " for each in text[: 4 * MAX_LENGTH])
    line = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"


def import_file(path: Path, name: str) -> ModuleType:
    """Import a file as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent has ended, also when the parent was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(job: str, *arguments: str) -> None:
    """Begin a job, then answer messages until there are no more."""
    pid = os.getpid()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # output that the job prints must not mix with the messages
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    own_folder = Path(__file__).resolve().parent
    sys.path[:] = [each for each in sys.path if Path(each).resolve() != own_folder]

    def report(done: int, total: int) -> None:
        write(replies, {"done": done, "total": total})

    with contextlib.suppress(OSError):  # the parent or the job closed the streams
        try:
            answer: Answer = import_file(Path(job), "acuity_job").begin(report, *arguments)
        except BaseException as error:  # of the user's file, KeyboardInterrupt too
            reply = {"error": error_text(error)}
            if os.getpid() != pid:  # a child that the job forked
                os._exit(0)
            write(replies, reply)
            return
        write(replies, {"ready": True})
        while (message := read(requests)) is not None:
            try:
                reply = answer(message)
            except BaseException as error:  # of the user's code, KeyboardInterrupt too
                reply = {"error": error_text(error)}
            if os.getpid() != pid:  # a child that the job forked: only its parent answers
                os._exit(0)
            write(replies, reply)


if __name__ == "__main__":
    main(*sys.argv[1:])
