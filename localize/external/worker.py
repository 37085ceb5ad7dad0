"""The other process: it takes messages on stdin, answers on what was stdout, and prints to stderr.

    python worker.py JOB.py [ARGUMENT ...]

JOB.py defines ``begin(tell, *arguments)``, which returns the function that answers a message;
``tell(done, total)`` reports progress meanwhile. The first message out is ``{"ready": true}``.
A message holds JSON values and arrays, never code. This file runs in foreign environments: it
needs numpy and the standard library alone.
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
LONGEST = 500  # characters of a reason of failure


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
    """The next message, None when there are no more.

    Raises:
        EOFError: the stream ended within one.
    """
    prefix = stream.read(_LENGTH.size)
    if not prefix:
        return None
    prefix += _exactly(stream, _LENGTH.size - len(prefix))
    body = io.BytesIO(_exactly(stream, _LENGTH.unpack(prefix)[0]))
    head = json.loads(_exactly(body, _LENGTH.unpack(_exactly(body, _LENGTH.size))[0]))
    arrays = {name: np.load(body, allow_pickle=False) for name in head["arrays"]}
    return {**head["plain"], **arrays}


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError("the other process ended within a message")
    return data


def described(error: BaseException) -> str:
    """An exception -> its kind and text on one line of at most ``LONGEST`` characters."""
    try:
        text = str(error)
    except Exception:  # of the user's own class
        text = "(its text cannot be read)"
    text = "".join(each if each.isprintable() else " " for each in text[: 4 * LONGEST])
    line = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def imported(path: Path, name: str) -> ModuleType:
    """Import a file as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _leave_with(parent: int) -> None:
    """End when the parent has, even one that was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(job: str, *arguments: str) -> None:
    """Begin a job, then answer messages until there are no more."""
    mine = os.getpid()
    inward, outward = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # a print of the job must not stand among the messages
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    here = Path(__file__).resolve().parent
    sys.path[:] = [each for each in sys.path if Path(each).resolve() != here]

    def tell(done: int, total: int) -> None:
        write(outward, {"done": done, "total": total})

    with contextlib.suppress(OSError):  # nobody listens any more, or the job closed the streams
        try:
            answer: Answer = imported(Path(job), "acuity_job").begin(tell, *arguments)
        except BaseException as error:  # of the user's file, KeyboardInterrupt too
            reply = {"error": described(error)}
            if os.getpid() != mine:  # it forked
                os._exit(0)
            write(outward, reply)
            return
        write(outward, {"ready": True})
        while (message := read(inward)) is not None:
            try:
                reply = answer(message)
            except BaseException as error:  # of the user's code, KeyboardInterrupt too
                reply = {"error": described(error)}
            if os.getpid() != mine:  # it forked: only the parent answers
                os._exit(0)
            write(outward, reply)


if __name__ == "__main__":
    main(*sys.argv[1:])
