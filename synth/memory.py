"""Tell a machine that is short of memory from everything else that can fail."""

from __future__ import annotations

import errno

from synth.errors import Interrupted

# How libraries word it that raise errors of other types: torch, the loader of shared libraries,
# Pillow's decoders.
_WORDINGS = (
    "can't allocate memory",
    "can't start new thread",
    "cannot allocate memory",
    "CUDA out of memory",
    "failed to map segment",
    "out of memory error",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine has no memory left, whatever it was busy with.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(OSError("broken data stream"))
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    libraries = isinstance(error, (ImportError, OSError, RuntimeError))
    return libraries and any(wording in str(error) for wording in _WORDINGS)


def out_of_memory_error(where: str = "") -> Interrupted:
    """The error that ends a run for want of memory. It can go on: nothing is put down as broken.

    Args:
        where: the photo or method that was worked on.
    """
    place = f" at {where}" if where else ""
    return Interrupted(
        f"out of memory{place}: free some, or use fewer --workers or a smaller --batch, "
        "and go on with --resume where the command has it"
    )
