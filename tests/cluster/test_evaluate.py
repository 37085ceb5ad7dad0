"""`localize evaluate` and `sharpness` on three nodes give the tables of one machine."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cluster_commands import NODE, Command

import localize
from synth import Recipe, generate, scenes

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TIMES = ["seconds", "ms_per_image"]
MINE = """
import time
from pathlib import Path
import beside

def find(image):
    Path({seen!r}).joinpath(Path(__file__).parent.as_posix().replace("/", "_")).touch()
    time.sleep({pause})
    return beside.brightest(image)
"""
BESIDE = """
import numpy as np

def brightest(image):
    grey = image.astype(float).mean(2)
    if int(image.sum()) % 3 == 0:
        raise ValueError("a sum that is a multiple of 3")
    y, x = np.unravel_index(grey.argmax(), grey.shape)
    return {"x": float(x), "y": float(y), "score": float(grey.std())}
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, a dataset, a run folder and two files with functions."""
    folder = tmp_path_factory.mktemp("cluster")
    scenes.write(folder / "photos", 8, 120, 96, seed=7)
    recipe = Recipe(
        size=(96, 80), per_photo=3, radius=(10, 20), ratio=(1.2, 1.4), twins=True,
        split=(0.25, 0.25, 0.5), seed=3,
    )  # fmt: skip
    generate(folder / "photos", folder / "set", recipe)
    localize.train("cnn-fast", folder / "set", folder / "run", epochs=1, input=(32, 32))
    (folder / "seen").mkdir()
    (folder / "beside.py").write_text(BESIDE)
    for name, pause in (("mine", 0), ("patient", 0.3)):
        text = MINE.format(seen=str(folder / "seen"), pause=pause)
        (folder / f"{name}.py").write_text(text)
    return folder


def tables(folder: Path) -> dict[str, str]:
    """Name -> content of the tables of a run, without times."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        table = pd.read_csv(path)
        found[path.name] = table.drop(columns=[c for c in TIMES if c in table]).to_csv()
    return found


def evaluate(work: Path, out: str, *words: str) -> Command:
    return Command(work, "localize", "evaluate", *words, "set", "--split", "all", "--out", out)


def log_lines(work: Path, out: str, name: str) -> int:
    """The number of lines in the answer log of an unfinished run."""
    path = work / f"{out}.partial" / "answers" / f"{name}.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def actors(cluster: Any) -> list[int]:
    """The processes of the cluster that hold a localizer."""
    nodes = {str(node.all_processes["raylet"][0].process.pid) for node in cluster.list_all_nodes()}
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if b"MapWorker" in (folder / "cmdline").read_bytes():
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                found += [int(folder.name)] if parent in nodes else []
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def patient(work: Path) -> dict[str, str]:
    """The tables of the slow function, from this machine."""
    evaluate(work, "patient", "patient.py:find").finish()
    return tables(work / "patient")


def test_one_node_and_three_nodes_give_the_tables_of_one_machine(work: Path, cluster: Any) -> None:
    specs = ("boundary", "run", "mine.py:find")
    evaluate(work, "local", *specs).finish()
    expected = tables(work / "local")
    assert expected.keys() >= {"predictions.csv", "clean.csv", "scores.csv", "errors.csv"}
    _, errors = evaluate(work, "one", *specs, "--engine", "ray", "--actors", "1").finish()
    assert not [line for line in errors.splitlines() if not line.startswith("answers: ")]
    assert tables(work / "one") == expected
    for path in (work / "seen").iterdir():
        path.unlink()
    address = ("--engine", "ray", "--address", cluster.address)
    _, errors = evaluate(work, "three", *specs, *address).finish()
    assert not [line for line in errors.splitlines() if not line.startswith("answers: ")]
    assert tables(work / "three") == expected
    # On this machine the function is loaded once, to check it; the nodes have a copy of their own.
    assert {path.name.endswith("acuity-specs_3") for path in (work / "seen").iterdir()} == {True}


def test_a_lost_actor_and_a_lost_node_change_nothing(
    work: Path, cluster: Any, patient: dict[str, str]
) -> None:
    address = ("--engine", "ray", "--address", cluster.address)
    command = evaluate(work, "lost", "patient.py:find", *address)
    command.wait_until(lambda: log_lines(work, "lost", "find") > 4)
    os.kill(actors(cluster)[0], signal.SIGKILL)
    command.wait_until(lambda: log_lines(work, "lost", "find") > 8)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    command.finish()
    cluster.add_node(**NODE)
    assert tables(work / "lost") == patient


def test_a_killed_command_goes_on_from_its_answers(
    work: Path, cluster: Any, patient: dict[str, str]
) -> None:
    address = ("--engine", "ray", "--address", cluster.address)
    command = evaluate(work, "killed", "patient.py:find", *address)
    command.wait_until(lambda: log_lines(work, "killed", "find") > 8)
    command.process.kill()
    command.process.communicate()
    before = log_lines(work, "killed", "find")
    evaluate(work, "killed", "patient.py:find", *address, "--resume").finish()
    assert before > 8
    assert tables(work / "killed") == patient


def test_sharpness_has_the_trials_of_one_machine(work: Path, cluster: Any) -> None:
    words = (
        "localize", "sharpness", "boundary", "run", "mine.py:find", "--photos", "photos", "--size",
        "96x80", "--radii", "10", "--ratios", "1.2,1.5", "--per-cell", "6",
    )  # fmt: skip
    Command(work, *words, "--workers", "1", "--out", "sharp").finish()
    address = ("--engine", "ray", "--address", cluster.address)
    _, errors = Command(work, *words, *address, "--out", "sharp-ray").finish()
    assert not [line for line in errors.splitlines() if not line.startswith("trials: ")]
    assert tables(work / "sharp-ray") == tables(work / "sharp")


def test_bad_input_is_one_line(work: Path, cluster: Any) -> None:
    (work / "here.py").write_text(
        "import socket\nfrom pathlib import Path\n"
        "if 'acuity-specs' in __file__: raise ValueError('not on a node')\n"
        "def find(image): return 1.0, 2.0\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        threading.Thread(target=other.accept, daemon=True).start()
        for spec, address, message in (
            ("boundary", "127.0.0.1:1", "--address 127.0.0.1:1: nothing answers there"),
            ("boundary", f"127.0.0.1:{port}", "is no Ray cluster that can be used"),
            ("here.py:find", cluster.address, "cannot be used: ValueError: not on a node"),
        ):
            command = evaluate(work, "bad", spec, "--engine", "ray", "--address", address)
            _, errors = command.finish(2)
            assert message in errors
            assert len(errors.strip().splitlines()) == 1
            assert not (work / "bad").exists()


def test_a_cluster_of_other_versions_is_refused(
    work: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import utils

    from synth import InputError, ray_cluster

    monkeypatch.setattr(utils, "compute_version_info", lambda: ("2.61.0", "3.12.1"))
    with pytest.raises(InputError, match=r"runs Ray 2\.60.*this command Ray 2\.61\.0 and Python"):  # noqa: SIM117
        with ray_cluster.connect(cluster.address):
            pass
