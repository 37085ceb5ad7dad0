"""Jobs as tasks of a Ray cluster, scheduled and retried by Ray Data."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from synth.ray_cluster import Parcel, connect
from synth.workers import Run


@contextmanager
def ray_pool(address: str | None, workers: int) -> Iterator[Run]:
    """Connects to a cluster; yields a function of (function, arguments of each job).

    That function yields the results of the jobs in order. Ray runs a job again if its process or
    machine ends, so a job must have the same result each time.

    Args:
        address: the cluster; None: Ray is started on this machine.
        workers: number of CPUs of Ray on this machine, if it is started here.

    Raises:
        InputError: there is no cluster at the address, or Ray is not installed.
    """
    with connect(address, workers):
        yield _run_jobs


def _run_jobs(
    function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
) -> Generator[Any, None, None]:
    import ray.data

    rows = [{"number": number, "job": Parcel(job)} for number, job in enumerate(jobs)]
    if not rows:
        return
    run_job: Any = partial(_run_job, function)
    # One job is a block, so that it is a task of its own.
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(run_job)
    early: dict[int, Any] = {}  # results that came before those of earlier jobs
    wanted = 0
    for row in results.iter_rows():
        early[row["number"]] = row["result"].content
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def _run_job(function: Callable[..., Any], row: dict[str, Any]) -> dict[str, Any]:
    return {"number": row["number"], "result": Parcel(function(*row["job"].content))}
