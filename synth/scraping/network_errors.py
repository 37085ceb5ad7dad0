"""Conversion of exceptions of the HTTP libraries to outcomes."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from synth.scraping.outcomes import Outcome, Problem


def problem_of(error: Exception) -> Problem:
    """An exception of the HTTP libraries -> problem with outcome and whether to retry."""
    chain: list[BaseException] = []
    at: Any = error
    while at is not None and len(chain) < 8:
        chain.append(at)
        inner = getattr(at, "reason", None) or next(
            (arg for arg in getattr(at, "args", ()) if isinstance(arg, BaseException)), None
        )
        at = inner if isinstance(inner, BaseException) else at.__cause__
    if any(isinstance(e, Problem) for e in chain):
        return next(e for e in chain if isinstance(e, Problem))
    # Before timeouts, because in urllib3 a refused connection is a subclass of a timeout.
    if any(isinstance(e, (NewConnectionError, NameResolutionError)) for e in chain):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    late = (ReadTimeoutError, ConnectTimeoutError, TimeoutError, requests.Timeout)
    if any(isinstance(e, late) for e in chain):
        return Problem(Outcome.TIMED_OUT, retry=True)
    names = {type(e).__name__ for e in chain}
    if "IncompleteRead" in names:
        return Problem(Outcome.TRUNCATED, retry=True)
    invalid = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError)
    if isinstance(error, invalid) or "LocationParseError" in names:
        return Problem(Outcome.BAD_ADDRESS)
    if "SSLCertVerificationError" in names:
        return Problem(Outcome.NO_CONNECTION)
    if "RemoteDisconnected" in names or any(isinstance(e, OSError) for e in chain[1:]):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    if "SSLError" in names:
        return Problem(Outcome.NO_CONNECTION, retry=True)
    if any(isinstance(e, HTTPException) for e in chain):
        return Problem(Outcome.BAD_ANSWER)
    if isinstance(error, (OSError, HTTPError)):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    return Problem(Outcome.BAD_ANSWER)
