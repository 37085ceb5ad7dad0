"""robots.txt, robots tags and waiting times. All functions are pure."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from protego import Protego

from synth.scraping.outcomes import Outcome

AGENT = "acuity"  # product token in robots.txt and robots tags
_NO = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
ROBOTS_BYTES = 500 * 1024  # least size that RFC 9309 requires parsers to read
_MOST_STARS = 8  # number of wildcards in a rule
_MOST_PATTERNS = 1000  # number of rules with wildcards, each of which is matched on each address
_AGENT_LINE = re.compile(r"user[- ]?agent(?:\s*:\s*|\s+)(.*)", re.IGNORECASE)
_SITE_LINE = re.compile(r"(site-?maps?|host)\b", re.IGNORECASE)  # lines outside of groups


def user_agent(version: str, contact: str) -> str:
    """Version and contact -> value of the User-Agent header.

    >>> user_agent("0.1.0", "me@example.org")
    'acuity/0.1.0 (photo collector; me@example.org)'
    """
    return f"{AGENT}/{version} (photo collector; {contact or 'private network'})"


def forbids_use(tags: Sequence[str]) -> bool:
    """Whether values of X-Robots-Tag or of a robots meta tag forbid the use of an image.

    A value may begin with the name of the robot for which it is meant.

    >>> [forbids_use([t]) for t in ("noai", "otherbot: noai", "acuity: noindex", "all, nofollow")]
    [True, False, True, False]
    """
    for line in tags:
        applies = True
        for token in line.lower().split(","):
            name, colon, value = token.strip().partition(":")
            if colon and name.strip() not in _VALUED:
                applies = name.strip() in (AGENT, "*")
                token = value
            if applies and token.strip() in _NO:
                return True
    return False


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """A Retry-After header (seconds or a date) -> seconds from now; None if it is invalid.

    >>> retry_after("120"), retry_after("soon"), retry_after(None)
    (120.0, None, None)
    """
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def backoff(tries: int, base: float, most: float, rng: random.Random) -> float:
    """Seconds to wait before a retry: ``base`` doubled ``tries`` times, with random jitter."""
    return float(min(most, base * 2 ** min(tries, 30)) * rng.uniform(0.5, 1.0))


@dataclass(frozen=True)
class Robots:
    """The rules of a host's robots.txt for Acuity.

    Args:
        text: text of the rules, or "".
        problem: why nothing may be fetched from the host, or None.
    """

    text: str = ""
    problem: Outcome | None = None

    @cached_property
    def _rules(self) -> Protego:
        return Protego.parse(self.text)

    def allows(self, url: str) -> bool:
        """Whether an address may be fetched."""
        if self.problem is not None:
            return False
        return not self.text or bool(self._rules.can_fetch(url, AGENT))

    def delay(self) -> float:
        """Seconds between two requests; infinite if the value in the file is invalid."""
        if self.problem is not None or not self.text:
            return 0.0
        delays = [float(self._rules.crawl_delay(AGENT) or 0.0)]
        if rate := self._rules.request_rate(AGENT):
            delays.append(rate.seconds / max(rate.requests, 1))
        return max((each if each >= 0 else math.inf for each in delays), default=0.0)


def read_robots(status: int, body: bytes) -> Robots:
    """Status and body of the response to robots.txt -> rules.

    A missing file allows all addresses, a server error none. To bound the time for matching, a
    rule with too many wildcards is cut, and a file with too many such rules forbids all
    addresses. This forbids more than the file, never less.
    """
    if status == 429 or status >= 500:
        return Robots(problem=Outcome.ROBOTS)
    if status != 200:
        return Robots()
    text = body[:ROBOTS_BYTES].decode("utf-8-sig", "replace")
    lines = [_limit_wildcards(line) for line in _own_rules(re.split(r"[\r\n]+", text))]
    if sum("*" in line or "$" in line for line in lines) > _MOST_PATTERNS:
        return Robots(problem=Outcome.ROBOTS)
    return Robots("\n".join([f"User-agent: {AGENT}", *lines]) if lines else "")


def _own_rules(lines: Sequence[str]) -> list[str]:
    """The rules of the groups for Acuity, else of those for all robots (RFC 9309).

    A group is matched by its product token only; a version or words after it are ignored.
    """
    rules: dict[str, list[str]] = {AGENT: [], "*": []}
    known: set[str] = set()
    names: set[str] = set()  # product tokens of the current group
    heading = False
    for line in (each.partition("#")[0].strip() for each in lines):
        if not line or _SITE_LINE.match(line):
            continue
        if match := _AGENT_LINE.match(line[:2000]):
            if not heading:
                names = set()
            heading = True
            names.add(_token(match[1]))
            known |= names & rules.keys()
            continue
        heading = False
        for name in names & rules.keys():
            rules[name].append(line)
    return rules[AGENT if AGENT in known else "*"]


def _token(value: str) -> str:
    """A value of User-agent -> its product token.

    >>> [_token(v) for v in ("Acuity/9", "acuity bot (v2)", "*", "acuity-news", "otherbot")]
    ['acuity', 'acuity', '*', 'acuity-news', 'otherbot']
    """
    bare = value.replace("*", " ").split()
    match = re.match(r"[a-z_-]+", bare[0].lower()) if bare else None
    return match[0] if match else "*" if "*" in value and not bare else ""


def _limit_wildcards(line: str) -> str:
    line = re.sub(r"\*{2,}", "*", " ".join(line[:2000].splitlines()))
    if line.count("*") <= _MOST_STARS:
        return line
    if line.lstrip().lower().startswith("disallow"):
        return "*".join(line.split("*")[:_MOST_STARS])
    return ""
