"""A pool of Ray actors that each load a localizer once and answer items in order.

The files behind a SPEC (a run folder, a Python file, an ONNX file) go to the nodes of a cluster in
the working directory of Ray's runtime environment. Images do not: each node must reach them.
"""

from __future__ import annotations

import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from localize.onnx.options import is_onnx
from localize.registry import expand_home, is_folder
from synth import ray_cluster
from synth.engine_names import EngineName
from synth.errors import InputError, Interrupted
from synth.paths import name_of
from synth.ray_cluster import Cluster, Parcel

SENT = "acuity-specs"  # folder of the files in the working directory of a node
PER_BLOCK = 16  # most items that an actor gets at once


@dataclass(frozen=True)
class RayEngine:
    """Where localizers answer on Ray.

    Args:
        address: ``auto`` or HOST:PORT of a cluster; None starts Ray on this machine.
        actors: number of processes that hold a localizer; 0: one per GPU of the cluster; where
            there is no GPU, as many as its CPUs suffice for.
        workers: CPUs of a Ray that is started on this machine; 0 for all.

    Raises:
        InputError: a number is below 0.
    """

    address: str | None = None
    actors: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        if self.actors < 0:
            raise InputError(f"--actors is {self.actors}: give a number of processes from 1 up")

    def check(self) -> None:
        """Checks that Ray is installed and the cluster answers, before any work.

        Raises:
            InputError: it is not, or there is no such cluster.
        """
        ray_cluster.check(self.address)


def engine_of(engine: EngineName, address: str | None = None, actors: int = 0) -> RayEngine | None:
    """The flags of a command -> the engine; None for this process.

    Raises:
        InputError: a flag of Ray is given without it.
    """
    if engine == "ray":
        return RayEngine(address, actors)
    for flag, value in (("--address", address), ("--actors", actors)):
        if value:
            raise InputError(f"{flag} is for --engine ray: pass that too, or leave it out")
    return None


@dataclass(frozen=True)
class NodeSpec:
    """A SPEC as a node names it.

    Args:
        text: the SPEC, or a path in the working directory that Ray made for the actor.
        is_sent: whether it is such a path.
    """

    text: str
    is_sent: bool = False

    def at(self, home: Path) -> str:
        """The SPEC for an actor with a working directory that Ray made."""
        return str(home / self.text) if self.is_sent else self.text


class Worker(Protocol):
    """A class whose instances live in the actors.

    They are made with the working directory that Ray made for the actor, then other arguments.
    """

    def answer(self, item: Any) -> Any:
        """The answer to an item, in JSON types."""


class _Actor:
    """The class that Ray Data calls with batches of one item; it makes its worker once.

    The worker is made with the first item, as an error in the constructor of an actor reaches the
    driver without its class.
    """

    def __init__(
        self, worker: Callable[..., Worker], folder: str, version: str, arguments: Any
    ) -> None:
        self._make, self._arguments = worker, arguments
        self._folder, self._version = folder, version
        self._worker: Worker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import ray

        if self._worker is None:
            ray_cluster.require_version(self._version)
            home = Path.cwd()
            with suppress(OSError):  # relative paths are those of the command, also in messages
                os.chdir(self._folder)
            self._worker = self._make(home, *ray.get(self._arguments))
        answers = [self._worker.answer(item.content) for item in batch["item"]]
        return {"answer": [json.dumps(answer) for answer in answers]}


@dataclass(frozen=True)
class Pool:
    """A connected cluster.

    Args:
        specs: SPECs whose files were sent to the nodes -> their path in the working directory.
        cluster: what it has.
        actors: wanted number of actors; 0: as many as fit.
    """

    specs: Mapping[str, str]
    cluster: Cluster
    actors: int = 0

    def spec(self, spec: str | Path) -> NodeSpec:
        """A SPEC of this machine -> the same on a node."""
        sent = self.specs.get(str(spec))
        return NodeSpec(expand_home(spec)) if sent is None else NodeSpec(sent, is_sent=True)

    def resources(self, threads: int) -> tuple[int, int, float]:
        """Number of actors, CPUs of each and GPUs of each, for actors with a number of threads."""
        cpus = max(1, min([threads, *self.cluster.cpus]))
        room = self.cluster.gpus or sum(node // cpus for node in self.cluster.cpus)
        actors = self.actors or max(1, room)
        return actors, cpus, min(1.0, self.cluster.gpus / actors)

    def map(
        self,
        worker: Callable[..., Worker],
        arguments: Sequence[Any],
        items: Sequence[Any],
        threads: int,
    ) -> Iterator[Any]:
        """The answers to the items, in their order.

        Ray starts an actor that died again and gives its items to another one.

        Args:
            worker: makes the worker of an actor, once, with the arguments.
            threads: number of threads that a worker computes with.
        """
        import ray

        if not items:
            return
        shared = ray.put(tuple(arguments))  # kept here for actors that start again
        actors, cpus, gpus = self.resources(threads)
        actors = min(actors, len(items))
        size = max(1, min(PER_BLOCK, len(items) // (4 * actors)))
        dataset = ray.data.from_items(
            [{"item": Parcel(item)} for item in items],
            override_num_blocks=math.ceil(len(items) / size),
        )
        dataset.context.execution_options.preserve_order = True
        answers = dataset.map_batches(
            _Actor,
            fn_constructor_args=(worker, str(Path.cwd()), version("acuity"), shared),
            batch_size=1,
            concurrency=(1, actors, actors),  # with a node lost, the remaining actors go on
            **({"num_gpus": gpus} if gpus else {"num_cpus": cpus}),
        )
        for row in answers.iter_rows():
            yield json.loads(row["answer"])


@contextmanager
def open_pool(engine: RayEngine, specs: Iterable[str | Path]) -> Iterator[Pool]:
    """Connects to the cluster with the files of the SPECs.

    Raises:
        Interrupted: there is no connection; the results so far are kept.
        InputError: an actor raised it.
    """
    with ExitStack() as stack:
        places: dict[str, str] = {}
        # By default, Ray gives libraries for linear algebra one thread, which may change last bits.
        threads = os.environ.get("OMP_NUM_THREADS") or str(_own_cpus())
        environment: dict[str, Any] = {"env_vars": {"OMP_NUM_THREADS": threads}}
        if engine.address is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acuity-")))
            places = collect_files(specs, folder)
            environment |= {"working_dir": str(folder)} if places else {}
        try:
            connection = ray_cluster.connect(engine.address, engine.workers, environment)
            cluster = stack.enter_context(connection)
        except InputError as error:
            raise Interrupted(str(error)) from None
        yield Pool(places, cluster, engine.actors)


def _own_cpus() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def collect_files(specs: Iterable[str | Path], folder: Path) -> dict[str, str]:
    """Copies the files of SPECs -> SPEC -> the same as a path relative to ``folder``.

    With a Python file go the other Python files beside it, with an ONNX file its sidecar and
    weights. A registered name has no files.
    """
    places: dict[str, str] = {}
    for number, each in enumerate(specs):
        spec = expand_home(each)
        file, _, function = spec.rpartition(":")
        target = folder / SENT / str(number)
        path = Path(file if file.endswith(".py") else spec)
        if is_folder(path):
            name = name_of(path)
            shutil.copytree(path, target / name)
        elif file.endswith(".py") or is_onnx(spec):
            name = path.name
            pattern = "*.py" if file.endswith(".py") else f"{glob.escape(name)}*"
            target.mkdir(parents=True)
            for source in path.parent.glob(pattern):
                if source.is_file():
                    shutil.copy(source, target / source.name)
        else:
            continue
        place = (target / name).relative_to(folder).as_posix()
        places[str(each)] = f"{place}:{function}" if file.endswith(".py") else place
    return places
