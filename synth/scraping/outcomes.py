"""Outcomes of addresses, as counted in the table at the end of a run."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """Outcome of one address."""

    SAVED = "saved"
    DUPLICATE = "duplicate"
    NEAR = "near-duplicate"
    PAGE = "page read"
    PART = "page read in part"
    ROBOTS = "robots"
    NOAI = "noai"
    SMALL = "too small"
    BYTES = "too many bytes"
    PIXELS = "too many pixels"
    NO_IMAGE = "not an image"
    BROKEN = "broken image"
    UNUSABLE = "unusable image"
    TRUNCATED = "truncated"
    TIMED_OUT = "timed out"
    REFUSED = "refused address"
    BAD_ADDRESS = "bad address"
    REDIRECTS = "redirect loop"
    NOT_FOUND = "not found"
    BUSY = "rate limited"
    HTTP_ERROR = "http error"
    NO_CONNECTION = "connection failed"
    BAD_ANSWER = "bad answer"
    FAILED = "failed"


# Temporary failures, which ``--retry-failed`` retries.
TEMPORARY = frozenset(
    {
        Outcome.TRUNCATED,
        Outcome.TIMED_OUT,
        Outcome.BUSY,
        Outcome.HTTP_ERROR,
        Outcome.NO_CONNECTION,
        Outcome.BAD_ANSWER,
        Outcome.FAILED,
    }
)


class Problem(Exception):
    """An address gave no result. The exception does not leave the package; it is counted.

    Args:
        outcome: the outcome to count.
        retry: whether to retry.
        wait: seconds to wait before the retry if the server named a time, else None.
    """

    def __init__(self, outcome: Outcome, retry: bool = False, wait: float | None = None) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
        self.retry = retry
        self.wait = wait
