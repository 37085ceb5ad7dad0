"""What can become of an address: the words of the table at the end of a run."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of one address."""

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


# May end better another day: what ``--retry-failed`` tries again.
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
    """Why an address gives nothing; caught within the package and counted.

    Args:
        outcome: what to count.
        retry: whether another try may help.
        wait: seconds that the server asked to wait before it, where it did.
    """

    def __init__(self, outcome: Outcome, retry: bool = False, wait: float | None = None) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
        self.retry = retry
        self.wait = wait
