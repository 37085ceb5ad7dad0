"""Connection to a Ray cluster, or to a Ray that is started on this machine, with one-line errors.

Ray is the extra ``ray``. This module imports it when it connects, as all others must.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from synth.errors import InputError, Interrupted

INSTALL = "--engine ray needs Ray, which is not installed: pip install 'acuity[ray]'"
NOT_THERE = (
    "Acuity is not installed on a node of the cluster: install the same version on all nodes, "
    "with the extra ray"
)
REACH = 5.0  # s to open a connection to the address
ANSWER = 20.0  # s in which a cluster answers, with the start of the process that asks
_ENVIRONMENT = {  # read by Ray when it is imported
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of workers that Ray starts here; 15 would starve beside others
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else Ray Data's pools of actors cause a warning on stderr
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about its future default
}
_ASK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"


@dataclass(frozen=True)
class Cluster:
    """What a connected cluster has.

    Args:
        address: HOST:PORT.
        cpus: of each node that is alive and has some.
        gpus: of all nodes.
    """

    address: str
    cpus: tuple[int, ...]
    gpus: int


@dataclass(frozen=True)
class Parcel:
    """An object in a cell of a Ray dataset; Ray serialises it."""

    content: Any


@contextmanager
def connect(
    address: str | None = None, workers: int = 0, runtime_env: dict[str, Any] | None = None
) -> Iterator[Cluster]:
    """Connects to a cluster for the block; errors of Ray's tasks come out as our own.

    A connection that this process has already is used and kept.

    Args:
        address: ``auto`` (the cluster that this machine belongs to) or HOST:PORT of a cluster; None
            starts Ray on this machine and stops it at the end.
        workers: CPUs of the Ray that is started; 0 for all of this machine.
        runtime_env: Ray's runtime environment of all tasks.

    Raises:
        InputError: Ray is not installed, or there is no such cluster, or it has other versions, or
            a task raised one.
        Interrupted: a task failed because of a lost node or process.
    """
    ray = _import_ray()
    if ray.is_initialized():
        with explain_task_errors():
            yield _describe(ray)
        return
    found = None if address is None else _find(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    started = {"num_cpus": workers or None, "include_dashboard": False} if found is None else {}
    try:
        with _explain_connection_errors(found), _silent_stderr():
            ray.init(
                address=found or "local",
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env=runtime_env,
                **started,
            )
        for number, handler in handlers.items():  # Ray replaces the handler of SIGTERM
            with suppress(ValueError):  # not in the main thread
                signal.signal(number, handler)
        _set_up_ray_data()
        with explain_task_errors():
            yield _describe(ray)
    finally:
        ray.shutdown()


def check(address: str | None) -> None:
    """Checks that Ray is installed and that a cluster answers at an address; see :func:`connect`.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    ray = _import_ray()
    if address is not None and not ray.is_initialized():
        _find(address)


def _import_ray() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise InputError(INSTALL) from None
    return ray


def _describe(ray: Any) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = tuple(int(each.get("CPU", 0)) for each in nodes if each.get("CPU", 0) >= 1)
    gpus = sum(int(each.get("GPU", 0)) for each in nodes)
    return Cluster(ray.get_runtime_context().gcs_address, cpus, gpus)


def _set_up_ray_data() -> None:
    """Ray Data shows bars in a terminal and logs nothing: its errors are raised."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = sys.stderr.isatty()
    context.raise_original_map_exception = True  # else the class of the error is lost


def _find(address: str) -> str:
    """``auto`` or HOST:PORT -> HOST:PORT of a cluster that answers.

    Ray would try for minutes to reach an address where there is none.

    Raises:
        InputError: there is none.
    """
    from ray._private import services

    found = address
    if address == "auto":
        try:
            found = services.canonicalize_bootstrap_address("auto") or ""
        except ConnectionError:
            raise InputError(
                "--address auto: no Ray cluster runs on this machine: join one with ray start "
                "--address HOST:PORT, name another --address, or leave it out"
            ) from None
    host, colon, port = found.rpartition(":")
    if not colon or "://" in found or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(f"--address is '{found}': give auto, or HOST:PORT as ray start prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--address {found}: nothing answers there ({reason})") from None
    try:
        subprocess.run(
            [sys.executable, "-c", _ASK, found], timeout=ANSWER, check=True, capture_output=True
        )
    except (subprocess.SubprocessError, OSError):
        raise InputError(
            f"--address {found}: what answers there is no Ray cluster that can be used: give the "
            "address that ray start prints"
        ) from None
    return found


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drops what Ray's libraries write to stderr in the block, such as their level of logging."""
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


@contextmanager
def _explain_connection_errors(address: str | None) -> Iterator[None]:
    """Turns errors of ``ray.init`` into errors with a one-line message."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        text = str(error)
        where = "this machine" if address is None else f"--address {address}"
        if "Version mismatch" in text:
            versions = re.findall(r"(?:Ray|Python): (\S+)", text)
            theirs, ours = (f"Ray {r} and Python {p}" for r, p in (versions[:2], versions[2:4]))
            raise InputError(
                f"{where}: the cluster runs {theirs}, this command {ours}: use the same versions"
            ) from None
        reason = " ".join(text.split())[:300]
        if "size" in reason and "exceeds" in reason:
            raise InputError(f"{where}: the files are too large for Ray: {reason}") from None
        advice = "" if address is None else ": run the command on a node of the cluster"
        raise InputError(f"{where}: Ray cannot be used ({reason}){advice}") from None


def require_version(version: str) -> None:
    """Checks, in a process of a cluster, that it has the Acuity of the command.

    Raises:
        InputError: it has another version.
    """
    own = importlib.metadata.version("acuity")
    if own != version:
        raise InputError(
            f"the node {socket.gethostname()} has Acuity {own}, this command {version}: install "
            "the same version on all nodes"
        )


@contextmanager
def explain_task_errors() -> Iterator[None]:
    """Turns errors of Ray about tasks in the block into those that the tasks raised.

    Raises:
        InputError: a task raised it.
        Interrupted: a node or process was lost and Ray's retries did not help.
    """
    from ray import exceptions

    lost = (
        exceptions.WorkerCrashedError, exceptions.RayActorError, exceptions.NodeDiedError,
        exceptions.ObjectLostError, exceptions.OutOfMemoryError,
        exceptions.LocalRayletDiedError, exceptions.RaySystemError,
    )  # fmt: skip
    try:
        yield
    except InputError as error:
        raise (_find_cause(error, InputError) or error) from None
    except Exception as error:
        if cause := _find_cause(error, InputError):
            raise cause from None
        if re.search(r"No module named '(synth|localize)", str(error)):
            raise InputError(NOT_THERE) from None
        if found := _find_cause(error, lost):
            line = (str(found).strip().splitlines() or [""])[0]
            raise Interrupted(
                f"a process or node of the cluster was lost ({type(found).__name__}: {line}): "
                "continue with --resume"
            ) from None
        raise


def _find_cause(error: BaseException, kind: Any) -> Any:
    """The first error of a kind among an error and its causes; None if there is none.

    Ray raises a task's error as a class of its own that also inherits from the error's class.
    """
    from ray.exceptions import RayTaskError

    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, kind) and not isinstance(each, RayTaskError):
            # Ray Data appends lines about its retries to the message.
            return each if kind is not InputError else type(each)(str(each).split("\n")[0])
        waiting += [getattr(each, "cause", None), each.__cause__, each.__context__]
    return None
