"""A Ray cluster of three nodes with one CPU each on this machine, and commands that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
LONGEST = 900  # s that a command may take on a busy machine


class Command:
    """A command in a process of its own, in a folder."""

    def __init__(self, folder: Path, *words: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def finish(self, code: int = 0) -> tuple[str, str]:
        """Waits for the end with an exit code -> output and errors."""
        try:
            output, errors = self.process.communicate(timeout=LONGEST)
        finally:
            self.process.kill()  # it has ended, or takes too long
        assert self.process.returncode == code, errors
        return output, errors

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Waits until the running command has reached a state."""
        end = time.monotonic() + LONGEST
        while not reached():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A ``ray.cluster_utils.Cluster`` of three nodes; its ``address`` is HOST:PORT."""
    from synth import ray_cluster

    ray_cluster.check(None)  # sets the environment that the nodes inherit
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    try:
        for _ in range(2):
            made.add_node(**NODE)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()
