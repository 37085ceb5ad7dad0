"""Scheduling of requests: a queue per host with robots rules and delay, several hosts at once."""

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

_IDLE_HOSTS = 500  # number of idle hosts whose rules are kept
_HOPS = 8  # number of redirects of a request
_GIVE_UPS = 10  # consecutive failures of a host after which its other requests fail at once
_GIVES_UP = (Outcome.BUSY, Outcome.NO_CONNECTION, Outcome.TIMED_OUT)
_JOIN_TIMEOUT = 2.0  # s to wait for the threads at the end


@dataclass(frozen=True)
class Politeness:
    """Limits on requests to hosts; times in seconds.

    Args:
        delay: time between two requests to a host; a longer Crawl-delay replaces it.
        per_host: connections to a host at a time.
        threads: requests at a time to all hosts.
        retries: number of retries of an address.
        backoff: time before the first retry, doubled for each later one.
        longest_wait: longest waiting time that is accepted from a server.
        seed: seed of the jitter.
    """

    delay: float = 1.0
    per_host: int = 1
    threads: int = 8
    retries: int = 4
    backoff: float = 2.0
    longest_wait: float = 300.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """A request for an address.

    Args:
        key: identifies the result.
        url: the address, after redirects.
        work: function of session and address that makes the result, called on another thread.
        service: whether the address is an interface for programs, to which robots.txt does not
            apply.
        redirected_from: addresses that redirected to this one.
        tries: number of failed tries.
    """

    key: str
    url: str
    work: Callable[[requests.Session, str], Any]
    service: bool = False
    redirected_from: tuple[str, ...] = ()
    tries: int = 0


@dataclass(frozen=True)
class Redirect:
    """A result: the address redirects to ``url``."""

    url: str


@dataclass(eq=False)
class _HostQueue:
    """The state of one host.

    Args:
        tasks: requests that wait.
        rules: robots rules by origin.
        robots_origin: origin whose robots.txt is being fetched, or "".
        tries: number of failed tries of that robots.txt.
        active: number of running requests.
        next_at: time on the monotonic clock before which no request is sent.
        delay: seconds between two requests.
        scheduled: whether the host is in the heap of scheduled hosts.
        failures: number of consecutive failures.
        failure: outcome of all further requests, or None.
        sessions: idle sessions.
    """

    tasks: deque[Request] = field(default_factory=deque)
    rules: dict[str, Robots] = field(default_factory=dict)
    robots_origin: str = ""
    tries: int = 0
    active: int = 0
    next_at: float = 0.0
    delay: float = 0.0
    scheduled: bool = False
    failures: int = 0
    failure: Outcome | None = None
    sessions: list[requests.Session] = field(default_factory=list)


class Traffic:
    """Runs submitted requests on threads within the limits of :class:`Politeness`."""

    def __init__(self, fetcher: Fetcher, limits: Politeness) -> None:
        self._fetcher = fetcher
        self._limits = limits
        self._hosts: OrderedDict[str, _HostQueue] = OrderedDict()
        self._heap: list[tuple[float, int, _HostQueue]] = []
        self._count = itertools.count()
        self._todo: queue.SimpleQueue[tuple[_HostQueue, Request | str, requests.Session] | None]
        self._todo = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_HostQueue, Request | str, requests.Session, Any]]
        self._done = queue.SimpleQueue()
        self._results: list[tuple[str, Any]] = []
        self._busy = 0
        self._rng = random.Random(limits.seed)
        self._threads = [
            threading.Thread(target=self._run_thread, daemon=True, name=f"fetch-{k}")
            for k in range(limits.threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Queues a request; :meth:`wait` returns its result, or a Problem, with its key."""
        try:
            request = replace(request, url=addresses.clean(request.url))
        except Problem as problem:
            self._results.append((request.key, problem))
            return
        host = self._host_queue(request.url)
        host.tasks.append(request)
        self._schedule(host)

    def wait(self, longest: float) -> list[tuple[str, Any]]:
        """Waits at most ``longest`` seconds; returns the available (key, result) pairs.

        Raises:
            LocalError: a file could not be written.
        """
        self._send_due()
        if not self._results:
            pause = longest
            if self._heap and self._busy < self._limits.threads:
                pause = min(pause, max(0.0, self._heap[0][0] - time.monotonic()))
            with contextlib.suppress(queue.Empty):
                self._finish(*self._done.get(timeout=pause))
        with contextlib.suppress(queue.Empty):
            while True:
                self._finish(*self._done.get_nowait())
        self._send_due()
        results, self._results = self._results, []
        return results

    def close(self) -> None:
        """Ends all requests and threads.

        A thread that still waits for a name server ends with the process.
        """
        self._fetcher.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        for _ in self._threads:
            self._todo.put(None)
        until = time.monotonic() + _JOIN_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for host in self._hosts.values():
            for session in host.sessions:
                session.close()

    def _run_thread(self) -> None:
        while (item := self._todo.get()) is not None:
            host, job, session = item
            result: Any
            try:
                if isinstance(job, str):
                    result = self._fetcher.robots(session, job)
                else:
                    result = job.work(session, job.url)
            except (Problem, LocalError) as error:
                result = error
            except Exception:  # one address must not end the run
                result = Problem(Outcome.FAILED)
            self._done.put((host, job, session, result))

    def _host_queue(self, url: str) -> _HostQueue:
        name = urlsplit(url).hostname or ""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _HostQueue(delay=self._limits.delay)
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

    def _schedule(self, host: _HostQueue) -> None:
        if (
            host.scheduled
            or host.robots_origin
            or not host.tasks
            or host.active >= self._limits.per_host
        ):
            return
        host.scheduled = True
        heapq.heappush(self._heap, (host.next_at, next(self._count), host))

    def _send_due(self) -> None:
        """Sends all requests that may be sent now."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now and self._busy < self._limits.threads:
            _, _, host = heapq.heappop(self._heap)
            host.scheduled = False
            if host.next_at <= now:
                self._send(host, now)
            self._schedule(host)

    def _send(self, host: _HostQueue, now: float) -> None:
        while host.tasks:
            request = host.tasks[0]
            if host.failure is not None:
                self._results.append((host.tasks.popleft().key, Problem(host.failure)))
                continue
            job: Request | str = request
            if not request.service:
                origin = "://".join(urlsplit(request.url)[:2])
                if origin not in host.rules:
                    host.robots_origin, job = origin, origin
                elif not host.rules[origin].allows(request.url):
                    refused = host.rules[origin].problem or Outcome.ROBOTS
                    self._results.append((host.tasks.popleft().key, Problem(refused)))
                    continue
            if job is request:
                host.tasks.popleft()
            session = host.sessions.pop() if host.sessions else self._fetcher.session()
            host.active += 1
            host.next_at = max(host.next_at, now + host.delay)
            self._busy += 1
            self._todo.put((host, job, session))
            return

    def _finish(
        self, host: _HostQueue, job: Request | str, session: requests.Session, result: Any
    ) -> None:
        self._busy -= 1
        host.active -= 1
        host.sessions.append(session)
        if isinstance(result, LocalError):
            raise result
        if self._limits.per_host == 1:  # the delay begins at the end of a response
            host.next_at = max(host.next_at, time.monotonic() + host.delay)
        if isinstance(job, str):
            self._handle_robots(host, job, result)
        else:
            self._handle_result(host, job, result)
        self._schedule(host)

    def _handle_robots(self, host: _HostQueue, origin: str, result: Any) -> None:
        host.robots_origin = ""
        if isinstance(result, Problem):
            if self._retry_later(host, result, host.tries):
                host.tries += 1
                return
            unfit = (Outcome.BUSY, Outcome.HTTP_ERROR, Outcome.BYTES, Outcome.BAD_ANSWER)
            outcome = Outcome.ROBOTS if result.outcome in unfit else result.outcome
            result = Robots(problem=outcome)
        host.tries = 0
        try:
            delay = result.delay()
            if not delay <= self._limits.longest_wait:
                result = Robots(problem=Outcome.ROBOTS)
            else:
                host.delay = max(host.delay, delay)
        except Exception:  # rules that cannot be parsed allow nothing
            result = Robots(problem=Outcome.ROBOTS)
        host.rules[origin] = result
        host.next_at = max(host.next_at, time.monotonic() + host.delay)

    def _retry_later(self, host: _HostQueue, problem: Problem, tries: int) -> bool:
        if not problem.retry or tries >= self._limits.retries:
            return False
        pause = politeness.backoff(
            tries, self._limits.backoff, self._limits.longest_wait, self._rng
        )
        if problem.wait is not None:
            pause = max(pause, min(problem.wait, self._limits.longest_wait))
        host.next_at = max(host.next_at, time.monotonic() + pause)
        return True

    def _handle_result(self, host: _HostQueue, request: Request, result: Any) -> None:
        if isinstance(result, Redirect):
            self._redirect(request, result.url)
            return
        if isinstance(result, Problem):
            if self._retry_later(host, result, request.tries):
                host.tasks.appendleft(replace(request, tries=request.tries + 1))
                return
            gave_up = result.outcome in _GIVES_UP
            host.failures = host.failures + 1 if gave_up else 0
            if host.failures >= _GIVE_UPS:
                host.failure = result.outcome
        else:
            host.failures = 0
        self._results.append((request.key, result))

    def _redirect(self, request: Request, target: str) -> None:
        try:
            url = addresses.clean(target)
        except Problem as problem:
            self._results.append((request.key, problem))
            return
        redirected_from = (*request.redirected_from, request.url)
        if url in redirected_from or len(redirected_from) > _HOPS:
            self._results.append((request.key, Problem(Outcome.REDIRECTS)))
            return
        host = self._host_queue(url)
        service = request.service and urlsplit(url).hostname == urlsplit(request.url).hostname
        host.tasks.appendleft(
            replace(request, url=url, redirected_from=redirected_from, tries=0, service=service)
        )
        self._schedule(host)
