"""Executes the notebooks and stores them with their outputs.

Usage: ``python tools/execute_notebooks.py [FILE ...]``; without a file, all notebooks. Each one
runs in an empty folder. Nothing that differs between machines is stored: no execution times, no
messages on the error stream, no version of Python.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
TIME_LIMIT = 3600  # s, of one cell


def execute(path: Path) -> None:
    """Executes one notebook file in place."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=TIME_LIMIT,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    strip(notebook)
    nbformat.write(notebook, path)


def strip(notebook: nbformat.NotebookNode) -> None:
    """Removes what differs between machines from an executed notebook, in place."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for file in files:
        start = time.monotonic()
        execute(file)
        print(f"{file.name}: {time.monotonic() - start:.0f} s", flush=True)
