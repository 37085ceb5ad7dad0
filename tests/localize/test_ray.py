"""`--engine ray`: the answers of one machine, and one line for what cannot be done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localize.comparison import evaluate
from localize.ray_pool import RayEngine, collect_files
from synth import Recipe, generator, ray_cluster

Run = Callable[..., tuple[int, str, str]]


def test_ray_on_this_machine_changes_no_result(
    small_set: Path, photo_folder: Path, tmp_path: Path, no_figures_here: None
) -> None:
    pytest.importorskip("ray")
    recipe = Recipe(size=(48, 40), radius=(4, 9), per_photo=2)
    generator.build(photo_folder, tmp_path / "set here", recipe, count=5, shards=2)
    here = evaluate(["boundary"], small_set, tmp_path / "here")
    with ray_cluster.connect(None, 1):  # used by both commands
        generator.build(
            photo_folder, tmp_path / "set there", recipe, count=5, shards=2, engine="ray"
        )
        there = evaluate(["boundary"], small_set, tmp_path / "there", ray=RayEngine(None, 1, 1))
    for name in ("predictions", "clean", "errors", "scores"):
        one, other = (
            getattr(each, name).drop(columns=["seconds", "ms_per_image"], errors="ignore")
            for each in (here, there)
        )
        assert one.equals(other), name
    files = [path for path in (tmp_path / "set here").rglob("*") if path.is_file()]
    assert len(files) == 6  # three shards
    for path in files:
        same = tmp_path / "set there" / path.relative_to(tmp_path / "set here")
        assert same.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "ray", "--address", "127.0.0.1:1"], "127.0.0.1:1: nothing answers there"),
        (["--engine", "ray", "--address", "somewhere"], "give auto, or HOST:PORT"),
        (["--engine", "ray", "--actors", "-1"], "--actors is -1"),
        (["--address", "auto"], "--address is for --engine ray"),
        (["--actors", "2"], "--actors is for --engine ray"),
        (["--engine", "spark"], "--engine"),
    ],
)
def test_flags_that_cannot_be_used(
    run: Run, small_set: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    pytest.importorskip("ray")
    code, _, errors = run("evaluate", "boundary", small_set, "--out", tmp_path / "out", *words)
    assert code == 2
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_ray_is_not_installed(
    run: Run, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, errors = run(
        "evaluate", "boundary", small_set, "--out", tmp_path / "out", "--engine", "ray"
    )
    assert code == 2
    assert "pip install 'acuity[ray]'" in errors
    assert not list(tmp_path.iterdir())


def test_the_adaptive_mode_of_sharpness_is_local(
    run: Run, scene_folder: Path, tmp_path: Path
) -> None:
    code, _, errors = run(
        "sharpness", "boundary", "--photos", scene_folder, "--out", tmp_path / "out",
        "--adaptive", "20", "--engine", "ray",
    )  # fmt: skip
    assert code == 2
    assert "--adaptive runs on this machine" in errors
    assert not list(tmp_path.iterdir())


def test_the_files_of_specs_are_collected(tmp_path: Path) -> None:
    for name in ("mine.py", "beside.py", "photo.jpg", "net.onnx", "net.onnx.json", "other.onnx"):
        (tmp_path / "files" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "run" / "more").mkdir(parents=True)
    (tmp_path / "run" / "more" / "model.json").write_text("{}")
    specs = [
        "boundary", tmp_path / "run", f"{tmp_path}/files/mine.py:find", tmp_path / "files/net.onnx"
    ]  # fmt: skip
    places = collect_files(specs, tmp_path / "sent")
    assert places == {
        str(specs[1]): "acuity-specs/1/run",
        str(specs[2]): "acuity-specs/2/mine.py:find",
        str(specs[3]): "acuity-specs/3/net.onnx",
    }
    sent = tmp_path / "sent" / "acuity-specs"
    names = {path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file()}
    assert names == {
        "1/run/more/model.json", "2/mine.py", "2/beside.py", "3/net.onnx", "3/net.onnx.json"
    }  # fmt: skip
