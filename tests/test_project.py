"""Rules for all modules of the project, and the script of the documentation."""

from __future__ import annotations

import ast
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("synth/**/*.py"), *ROOT.glob("localize/**/*.py")])
assert {path.relative_to(ROOT).parts[0] for path in MODULES} == {"synth", "localize"}


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_synth_imports_neither_torch_nor_localize() -> None:
    for path in (p for p in MODULES if p.is_relative_to(ROOT / "synth")):
        tops = {name.partition(".")[0] for name in imports(path)}
        assert not tops & {"torch", "torchvision", "lightning", "localize"}, path


def test_albumentations_stays_behind_one_module() -> None:
    users = {p.name for p in MODULES if any(n.startswith("albumentations") for n in imports(p))}
    assert users == {"augmentation.py"}


def test_no_pickle() -> None:
    for path in MODULES:
        assert not imports(path) & {"pickle", "joblib", "dill"}, path
        assert "weights_only=False" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_the_script_of_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    script = re.search(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert script is not None
    (tmp_path / "script.py").write_text(script[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("script.py", run_name="__main__")
    assert "boundary" in capsys.readouterr().out
