"""Who is asked when: a host per host with its rules and delay, several hosts at once."""

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

_IDLE_HOSTS = 500  # hosts without work whose rules are remembered
_HOPS = 8
_GIVE_UPS = 10  # addresses in a row lost to a busy or dead host before the rest is given up
_GIVES_UP = (Outcome.BUSY, Outcome.NO_CONNECTION, Outcome.TIMED_OUT)
_FAREWELL = 2.0  # s to wait for the threads at the end


@dataclass(frozen=True)
class Politeness:
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
class Request:
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
class Redirect:
    """A result that says: look there instead."""

    url: str


@dataclass(eq=False)
class _HostQueue:
    """A host: what waits for it, and when it may be asked next."""

    tasks: deque[Request] = field(default_factory=deque)
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

    def __init__(self, fetcher: Fetcher, how: Politeness) -> None:
        self._fetcher = fetcher
        self._how = how
        self._hosts: OrderedDict[str, _HostQueue] = OrderedDict()
        self._heap: list[tuple[float, int, _HostQueue]] = []
        self._count = itertools.count()
        self._todo: queue.SimpleQueue[tuple[_HostQueue, Request | str, requests.Session] | None]
        self._todo = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_HostQueue, Request | str, requests.Session, Any]]
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

    def submit(self, request: Request) -> None:
        """Queue an address; its result, or Problem, comes out of :meth:`wait` under its key."""
        try:
            request = replace(request, url=addresses.clean(request.url))
        except Problem as problem:
            self._results.append((request.key, problem))
            return
        host = self._host_queue(request.url)
        host.tasks.append(request)
        self._arm(host)

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
        for host in self._hosts.values():
            for session in host.sessions:
                session.close()

    def _serve(self) -> None:
        while (job := self._todo.get()) is not None:
            host, what, session = job
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
            self._done.put((host, what, session, result))

    def _host_queue(self, url: str) -> _HostQueue:
        name = urlsplit(url).hostname or ""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _HostQueue(delay=self._how.delay)
        self._hosts.move_to_end(name)
        if len(self._hosts) > 2 * _IDLE_HOSTS:
            now = time.monotonic()
            idle = [
                other
                for other, each in self._hosts.items()
                if not each.tasks and not each.active and each.next_at < now and each is not host
            ]
            for other in idle[:_IDLE_HOSTS]:
                for session in self._hosts.pop(other).sessions:
                    session.close()
        return host

    def _arm(self, host: _HostQueue) -> None:
        if host.armed or host.asking or not host.tasks or host.active >= self._how.per_host:
            return
        host.armed = True
        heapq.heappush(self._heap, (host.next_at, next(self._count), host))

    def _pump(self) -> None:
        """Send whatever may be sent now."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now and self._busy < self._how.threads:
            _, _, host = heapq.heappop(self._heap)
            host.armed = False
            if host.next_at <= now:
                self._send(host, now)
            self._arm(host)

    def _send(self, host: _HostQueue, now: float) -> None:
        while host.tasks:
            request = host.tasks[0]
            if host.dead is not None:
                self._results.append((host.tasks.popleft().key, Problem(host.dead)))
                continue
            what: Request | str = request
            if not request.service:
                origin = "://".join(urlsplit(request.url)[:2])
                if origin not in host.rules:
                    host.asking, what = origin, origin
                elif not host.rules[origin].allows(request.url):
                    refused = host.rules[origin].problem or Outcome.ROBOTS
                    self._results.append((host.tasks.popleft().key, Problem(refused)))
                    continue
            if what is request:
                host.tasks.popleft()
            session = host.sessions.pop() if host.sessions else self._fetcher.session()
            host.active += 1
            host.next_at = max(host.next_at, now + host.delay)
            self._busy += 1
            self._todo.put((host, what, session))
            return

    def _finish(
        self, host: _HostQueue, what: Request | str, session: requests.Session, result: Any
    ) -> None:
        self._busy -= 1
        host.active -= 1
        host.sessions.append(session)
        if isinstance(result, LocalError):
            raise result
        if self._how.per_host == 1:  # the delay counts from the end of an answer
            host.next_at = max(host.next_at, time.monotonic() + host.delay)
        if isinstance(what, str):
            self._learn(host, what, result)
        else:
            self._answer(host, what, result)
        self._arm(host)

    def _learn(self, host: _HostQueue, origin: str, result: Any) -> None:
        host.asking = ""
        if isinstance(result, Problem):
            if self._again(host, result, host.tries):
                host.tries += 1
                return
            unfit = (Outcome.BUSY, Outcome.HTTP_ERROR, Outcome.BYTES, Outcome.BAD_ANSWER)
            known = Outcome.ROBOTS if result.outcome in unfit else result.outcome
            result = Robots(problem=known)
        host.tries = 0
        try:
            asked = result.delay()
            if not asked <= self._how.most_wait:
                result = Robots(problem=Outcome.ROBOTS)
            else:
                host.delay = max(host.delay, asked)
        except Exception:  # rules that their parser cannot read allow nothing
            result = Robots(problem=Outcome.ROBOTS)
        host.rules[origin] = result
        host.next_at = max(host.next_at, time.monotonic() + host.delay)

    def _again(self, host: _HostQueue, problem: Problem, tries: int) -> bool:
        if not problem.retry or tries >= self._how.retries:
            return False
        pause = politeness.backoff(tries, self._how.backoff, self._how.most_wait, self._rng)
        if problem.wait is not None:
            pause = max(pause, min(problem.wait, self._how.most_wait))
        host.next_at = max(host.next_at, time.monotonic() + pause)
        return True

    def _answer(self, host: _HostQueue, request: Request, result: Any) -> None:
        if isinstance(result, Redirect):
            self._redirect(request, result.url)
            return
        if isinstance(result, Problem):
            if self._again(host, result, request.tries):
                host.tasks.appendleft(replace(request, tries=request.tries + 1))
                return
            gave_up = result.outcome in _GIVES_UP
            host.lost = host.lost + 1 if gave_up else 0
            if host.lost >= _GIVE_UPS:
                host.dead = result.outcome
        else:
            host.lost = 0
        self._results.append((request.key, result))

    def _redirect(self, request: Request, target: str) -> None:
        try:
            url = addresses.clean(target)
        except Problem as problem:
            self._results.append((request.key, problem))
            return
        been = (*request.been, request.url)
        if url in been or len(been) > _HOPS:
            self._results.append((request.key, Problem(Outcome.REDIRECTS)))
            return
        host = self._host_queue(url)
        service = request.service and urlsplit(url).hostname == urlsplit(request.url).hostname
        host.tasks.appendleft(replace(request, url=url, been=been, tries=0, service=service))
        self._arm(host)
