"""Detection of errors that mean that memory is exhausted."""

from __future__ import annotations

import errno

from synth.errors import Interrupted

# Messages of libraries that raise other types for it: torch, the loader of shared libraries,
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
    """Whether an error means that memory is exhausted.

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
    """The error with which a run ends if memory is exhausted; the run can be resumed.

    Args:
        where: the photo or method that was being processed.
    """
    place = f" at {where}" if where else ""
    return Interrupted(
        f"out of memory{place}: free some, or use fewer --workers or a smaller --batch, "
        "and continue with --resume if the command has it"
    )
