"""The stored notebooks have outputs and no trace of a machine, and they run on tiny data."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = {path.name[:2]: path for path in FOLDER.glob("*.ipynb")}
SLOW = ("02", "03", "04", "05", "06")
TINY = {"COUNT": 10, "SIDE": 96, "INPUT": 48, "EPOCHS_SCALE": 0.04}
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|work|Users|private|var|opt|usr|mnt)/|\b[A-Z]:\\"
)
LARGEST = 2_000_000  # bytes


def texts(output: nbformat.NotebookNode) -> list[str]:
    """The parts of an output that a reader sees as text."""
    data = output.get("data", {})
    return [output.get("text", ""), *(str(data[kind]) for kind in data if kind.startswith("text/"))]


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in sorted(NOTEBOOKS)],
)
def test_notebooks_run(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TINY.items():
        monkeypatch.setenv(f"ACUITY_{name}", str(value))
    notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": tmp_path}}).execute()


def test_there_are_six_notebooks() -> None:
    assert sorted(NOTEBOOKS) == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.values()), ids=lambda path: path.name)
def test_notebooks_are_stored_with_outputs(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert code[-1].outputs
    assert sum(bool(cell.outputs) for cell in code) >= len(code) / 2
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        for text in texts(output):
            assert not MACHINE_PATH.search(text), text[:200]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.values()), ids=lambda path: path.name)
def test_stored_notebooks_hold_no_trace_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert not cell.metadata, "execution times: run make notebooks"
        assert not any(output.get("name") == "stderr" for output in cell.get("outputs", []))
