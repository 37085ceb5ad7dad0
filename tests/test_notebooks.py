"""The notebooks run from top to bottom, in order, on tiny data."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (slice(0, 3), "results/scores.csv"),
        pytest.param(slice(3, 4), "chart/thresholds.csv", marks=pytest.mark.slow),
    ],
)
def test_notebooks_run(
    chosen: slice, left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "OUT": tmp_path, "COUNT": 10, "SIDE": 96, "INPUT": 48, "EPOCHS_SCALE": 0.04,
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"ACUITY_{name}", str(value))
    assert len(NOTEBOOKS) == 4
    for path in NOTEBOOKS[chosen]:
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": tmp_path}}).execute()
    assert (tmp_path / left).is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_notebooks_are_committed_without_output(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
