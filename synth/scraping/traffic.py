"""Who is asked when: a lane per host with its rules and delay, several hosts at once."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import random
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import requests

from synth.scraping import addresses, politeness
from synth.scraping.fetcher import Fetcher, LocalError
from synth.scraping.outcomes import Outcome, Problem
from synth.scraping.politeness import Robots

_IDLE_LANES = 500  # hosts without work whose rules are remembered
_HOPS = 8
_GIVE_UPS = 10  # addresses in a row lost to a busy or dead host before the rest is given up
_GIVES_UP = (Outcome.BUSY, Outcome.NO_CONNECTION, Outcome.TIMED_OUT)
_FAREWELL = 2.0  # s to wait for the threads at the end


@dataclass(frozen=True)
class Manners:
    """How to treat hosts; times in seconds.

    Args:
        delay: between two requests to a host; a longer Crawl-delay counts instead.
        per_host: connections to a host.
        threads: requests at a time, all hosts together.
        retries: tries of an address after the first.
        backoff: before the second try, doubled for each later one.
        most_wait: longest wait that a server can impose.
        seed: of the jitter.
    """

    delay: float = 1.0
    per_host: int = 1
    threads: int = 8
    retries: int = 4
    backoff: float = 2.0
    most_wait: float = 300.0
    seed: int = 0


@dataclass(frozen=True)
class Ask:
    """An address to be fetched.

    Args:
        key: what the answer is filed under: the address before any redirect.
        url: where it is now.
        work: makes the result from a session and an address, on a thread of its own.
        service: a documented interface for programs, which robots.txt is not about.
        been: the addresses that redirected here.
        tries: made already.
    """

    key: str
    url: str
    work: Callable[[requests.Session, str], Any]
    service: bool = False
    been: tuple[str, ...] = ()
    tries: int = 0


@dataclass(frozen=True)
class Moved:
    """A result that says: look there instead."""

    url: str


@dataclass(eq=False)
class _Lane:
    """A host: what waits for it, and when it may be asked next."""

    tasks: deque[Ask] = field(default_factory=deque)
    rules: dict[str, Robots] = field(default_factory=dict)
    asking: str = ""  # the origin whose robots.txt is being fetched
    tries: int = 0  # of that
    active: int = 0
    next_at: float = 0.0
    delay: float = 0.0
    armed: bool = False
    lost: int = 0
    dead: Outcome | None = None
    sessions: list[requests.Session] = field(default_factory=list)


class Traffic:
    """Fetches what is submitted, as politely as told, and hands back results as they come."""

    def __init__(self, fetcher: Fetcher, how: Manners) -> None:
        self._fetcher = fetcher
        self._how = how
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._heap: list[tuple[float, int, _Lane]] = []
        self._count = itertools.count()
        self._todo: queue.SimpleQueue[tuple[_Lane, Ask | str, requests.Session] | None]
        self._todo = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Lane, Ask | str, requests.Session, Any]]
        self._done = queue.SimpleQueue()
        self._results: list[tuple[str, Any]] = []
        self._busy = 0
        self._rng = random.Random(how.seed)
        self._threads = [
            threading.Thread(target=self._serve, daemon=True, name=f"fetch-{k}")
            for k in range(how.threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, ask: Ask) -> None:
        """Queue an address; its result, or Problem, comes out of :meth:`wait` under its key."""
        try:
            ask = replace(ask, url=addresses.clean(ask.url))
        except Problem as problem:
            self._results.append((ask.key, problem))
            return
        lane = self._lane(ask.url)
        lane.tasks.append(ask)
        self._arm(lane)

    def wait(self, longest: float) -> list[tuple[str, Any]]:
        """Results that have come, after at most that many seconds.

        Raises:
            LocalError: a file could not be written.
        """
        self._pump()
        if not self._results:
            pause = longest
            if self._heap and self._busy < self._how.threads:
                pause = min(pause, max(0.0, self._heap[0][0] - time.monotonic()))
            with contextlib.suppress(queue.Empty):
                self._finish(*self._done.get(timeout=pause))
        with contextlib.suppress(queue.Empty):
            while True:
                self._finish(*self._done.get_nowait())
        self._pump()
        results, self._results = self._results, []
        return results

    def close(self) -> None:
        """End what is under way and let the threads go.

        A thread that a name server keeps waiting is left behind: it ends with the process.
        """
        self._fetcher.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        for _ in self._threads:
            self._todo.put(None)
        until = time.monotonic() + _FAREWELL
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for lane in self._lanes.values():
            for session in lane.sessions:
                session.close()

    def _serve(self) -> None:
        while (job := self._todo.get()) is not None:
            lane, what, session = job
            result: Any
            try:
                if isinstance(what, str):
                    result = self._fetcher.robots(session, what)
                else:
                    result = what.work(session, what.url)
            except (Problem, LocalError) as error:
                result = error
            except Exception:  # one address must not end a run of thousands
                result = Problem(Outcome.FAILED)
            self._done.put((lane, what, session, result))

    def _lane(self, url: str) -> _Lane:
        host = urlsplit(url).hostname or ""
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = _Lane(delay=self._how.delay)
        self._lanes.move_to_end(host)
        if len(self._lanes) > 2 * _IDLE_LANES:
            now = time.monotonic()
            idle = [
                name
                for name, each in self._lanes.items()
                if not each.tasks and not each.active and each.next_at < now and each is not lane
            ]
            for name in idle[:_IDLE_LANES]:
                for session in self._lanes.pop(name).sessions:
                    session.close()
        return lane

    def _arm(self, lane: _Lane) -> None:
        if lane.armed or lane.asking or not lane.tasks or lane.active >= self._how.per_host:
            return
        lane.armed = True
        heapq.heappush(self._heap, (lane.next_at, next(self._count), lane))

    def _pump(self) -> None:
        """Send whatever may be sent now."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now and self._busy < self._how.threads:
            _, _, lane = heapq.heappop(self._heap)
            lane.armed = False
            if lane.next_at <= now:
                self._send(lane, now)
            self._arm(lane)

    def _send(self, lane: _Lane, now: float) -> None:
        while lane.tasks:
            ask = lane.tasks[0]
            if lane.dead is not None:
                self._results.append((lane.tasks.popleft().key, Problem(lane.dead)))
                continue
            what: Ask | str = ask
            if not ask.service:
                origin = "://".join(urlsplit(ask.url)[:2])
                if origin not in lane.rules:
                    lane.asking, what = origin, origin
                elif not lane.rules[origin].allows(ask.url):
                    refused = lane.rules[origin].problem or Outcome.ROBOTS
                    self._results.append((lane.tasks.popleft().key, Problem(refused)))
                    continue
            if what is ask:
                lane.tasks.popleft()
            session = lane.sessions.pop() if lane.sessions else self._fetcher.session()
            lane.active += 1
            lane.next_at = max(lane.next_at, now + lane.delay)
            self._busy += 1
            self._todo.put((lane, what, session))
            return

    def _finish(self, lane: _Lane, what: Ask | str, session: requests.Session, result: Any) -> None:
        self._busy -= 1
        lane.active -= 1
        lane.sessions.append(session)
        if isinstance(result, LocalError):
            raise result
        if self._how.per_host == 1:  # the delay counts from the end of an answer
            lane.next_at = max(lane.next_at, time.monotonic() + lane.delay)
        if isinstance(what, str):
            self._learn(lane, what, result)
        else:
            self._answer(lane, what, result)
        self._arm(lane)

    def _learn(self, lane: _Lane, origin: str, result: Any) -> None:
        lane.asking = ""
        if isinstance(result, Problem):
            if self._again(lane, result, lane.tries):
                lane.tries += 1
                return
            unfit = (Outcome.BUSY, Outcome.HTTP_ERROR, Outcome.BYTES, Outcome.BAD_ANSWER)
            known = Outcome.ROBOTS if result.outcome in unfit else result.outcome
            result = Robots(problem=known)
        lane.tries = 0
        try:
            asked = result.delay()
            if not asked <= self._how.most_wait:
                result = Robots(problem=Outcome.ROBOTS)
            else:
                lane.delay = max(lane.delay, asked)
        except Exception:  # rules that their parser cannot read allow nothing
            result = Robots(problem=Outcome.ROBOTS)
        lane.rules[origin] = result
        lane.next_at = max(lane.next_at, time.monotonic() + lane.delay)

    def _again(self, lane: _Lane, problem: Problem, tries: int) -> bool:
        if not problem.retry or tries >= self._how.retries:
            return False
        pause = politeness.backoff(tries, self._how.backoff, self._how.most_wait, self._rng)
        if problem.wait is not None:
            pause = max(pause, min(problem.wait, self._how.most_wait))
        lane.next_at = max(lane.next_at, time.monotonic() + pause)
        return True

    def _answer(self, lane: _Lane, ask: Ask, result: Any) -> None:
        if isinstance(result, Moved):
            self._redirect(ask, result.url)
            return
        if isinstance(result, Problem):
            if self._again(lane, result, ask.tries):
                lane.tasks.appendleft(replace(ask, tries=ask.tries + 1))
                return
            gave_up = result.outcome in _GIVES_UP
            lane.lost = lane.lost + 1 if gave_up else 0
            if lane.lost >= _GIVE_UPS:
                lane.dead = result.outcome
        else:
            lane.lost = 0
        self._results.append((ask.key, result))

    def _redirect(self, ask: Ask, target: str) -> None:
        try:
            url = addresses.clean(target)
        except Problem as problem:
            self._results.append((ask.key, problem))
            return
        been = (*ask.been, ask.url)
        if url in been or len(been) > _HOPS:
            self._results.append((ask.key, Problem(Outcome.REDIRECTS)))
            return
        lane = self._lane(url)
        service = ask.service and urlsplit(url).hostname == urlsplit(ask.url).hostname
        lane.tasks.appendleft(replace(ask, url=url, been=been, tries=0, service=service))
        self._arm(lane)
