"""`localize export`: the ONNX file answers as the method does, or is not kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from localize import onnx_export, registry
from localize.data.folder import Folder
from localize.localizer import Finding, Told
from localize.onnx_export import Differences

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

FAST = {"input": (48, 32), "epochs": 1, "crops": 16, "progress": False, "device": "cpu"}
Run = Callable[..., tuple[int, str, str]]


def train(name: str, dataset: Path, folder: Path, **more: object) -> Path:
    """Trains a method for a moment -> its run folder."""
    entry = registry.METHODS[name]
    options = {option: value for option, value in FAST.items() if option in entry.option_names}
    localizer = registry.create(name, **options | more)
    localizer.fit(Folder(dataset, "train"), Folder(dataset, "val"), folder)
    return folder


def some_images() -> tuple[list[np.ndarray], list[Told]]:
    rng = np.random.default_rng(0)
    shapes = [(80, 96), (41, 64), (150, 33), (1, 1), (7, 5)]
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    return images, [Told(r, 1.1) for r in (10, 20, 12.5, 8, 15)]


@pytest.fixture(scope="module")
def told_run(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("cnn-fuse-last", small_set, tmp_path_factory.mktemp("runs") / "told")


@pytest.fixture(scope="module")
def told_file(told_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "told.onnx"
    assert not onnx_export.export(told_run, path).fault
    return path


def check_equal(run: Path, file: Path) -> None:
    """Checks that a run and its export give the same answers to images of several sizes."""
    original, exported = registry.load(run, device="cpu"), registry.load(file, device="cpu")
    original.to_onnx()  # transfer computes in float32 from here on
    images, told = some_images()
    assert exported.told == original.told
    assert exported.gives == original.gives
    assert exported.map_marks == original.map_marks
    given = told if original.told else None
    pairs = zip(original.locate(images, given), exported.locate(images, given), strict=True)
    for first, second in pairs:
        place = (first.x, first.y)
        assert (second.x, second.y) == pytest.approx(place, abs=0.01, nan_ok=True)
        if first.score is not None:
            assert second.score == pytest.approx(first.score, rel=1e-4, abs=1e-6)
        if first.map is not None:
            limit = 1e-4 * max(1e-3, float(np.ptp(first.map)))
            # A map of one pixel has no range.
            np.testing.assert_allclose(second.map, first.map, rtol=1e-5, atol=limit)


@pytest.mark.slow
def test_a_told_network_answers_as_before(told_run: Path, told_file: Path) -> None:
    check_equal(told_run, told_file)
    entries = json.loads((told_file.parent / "told.onnx.json").read_text())
    assert entries["r"] == "r"
    assert entries["size"] == [48, 32]
    assert sorted(each.name for each in told_file.parent.iterdir()) == [
        "told.onnx", "told.onnx.json",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_metadata_names_method_opset_and_versions(told_file: Path) -> None:
    model = onnx.load(told_file)
    onnx.checker.check_model(model)
    about = {each.key: each.value for each in model.metadata_props}
    assert model.producer_name == "acuity"
    assert about["method"] == "told"
    assert int(about["opset"]) == model.opset_import[0].version
    assert json.loads(about["versions"]).keys() == {"torch", "onnx", "onnxscript"}


@pytest.mark.slow
def test_evaluate_scores_both_alike(
    run: Run, told_run: Path, told_file: Path, small_set: Path, tmp_path: Path
) -> None:
    code, _, err = run("evaluate", told_run, told_file, small_set, "--out", tmp_path / "scores")
    assert code == 0, err
    scores = pd.read_csv(tmp_path / "scores/scores.csv").set_index("method")
    assert scores.index.tolist() == ["centre", "told", "told.onnx"]
    both = scores.loc[["told", "told.onnx"], "mean_distance"]
    assert both.iloc[0] == pytest.approx(both.iloc[1], abs=1e-3)


def test_an_export_that_answers_otherwise_is_not_kept(
    run: Run, told_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "encode", lambda *_: b"")
    monkeypatch.setattr(onnx_export, "OnnxModel", lambda *_, **__: registry.load("centre"))
    code, out, _ = run("export", told_run, tmp_path / "m.onnx")
    assert code == 1
    assert "is not exported: its ONNX file answers otherwise: place" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spec", ["ringvote", "boundary", "centre"])
def test_other_methods_are_refused(spec: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run("export", spec, tmp_path / "m.onnx")
    assert code == 2
    assert "these methods can: cnn-fast, cnn-slow" in err
    assert "autoencoder" in err
    assert list(tmp_path.iterdir()) == []


def test_wrong_names_are_refused(run: Run, told_run: Path, tmp_path: Path) -> None:
    assert "ends in .onnx" in run("export", told_run, tmp_path / "m.pt")[2]
    assert "must be trained first" in run("export", "cnn-fast", tmp_path / "m.onnx")[2]
    assert "no run folder" in run("export", tmp_path / "none", tmp_path / "m.onnx")[2]
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"not ours")
    assert "pass --overwrite" in run("export", told_run, foreign)[2]
    refusal = run("export", told_run, foreign, "--overwrite")[2]
    assert "was not written by this command" in refusal
    (tmp_path / "m.onnx.json").write_text("{}")
    assert "m.onnx.json" in run("export", told_run, tmp_path / "m.onnx")[2]


def test_without_the_extra_the_message_names_it(
    run: Run, told_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, err = run("export", told_run, tmp_path / "m.onnx")
    assert code == 2
    assert "pip install 'acuity[onnx]'" in err


def test_differences_beyond_a_limit_are_faults() -> None:
    assert Differences(6, 0.05, 1e-4, None).fault == ""
    assert "place 0.5 (limit 0.1)" in Differences(6, 0.5, None, None).fault
    assert "score" in Differences(6, None, float("nan"), None).fault
    assert "map 1 " in Differences(6, 0.0, 0.0, 1.0).fault
    flat = np.zeros((4, 4), np.float32)
    nowhere = Finding(float("nan"), float("nan"))
    pairs = [(nowhere, Finding(1, 1)), (Finding(1, 1), nowhere)]
    assert all(np.isnan(onnx_export._place_difference(*pair) or 0) for pair in pairs)
    assert onnx_export._place_difference(nowhere, nowhere) is None
    assert onnx_export._map_difference(Finding(1, 1, map=flat), Finding(1, 1)) == float("inf")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cnn-fast", {}), ("cnn-fuse-features", {}), ("cnn-fuse-embedded", {}), ("unet-dsnt", {}),
        ("autoencoder", {}), ("autoencoder", {"error": "ssim", "locate": "centroid"}),
        ("transfer", {}), ("transfer-clean", {}), ("transfer-clean", {"whitening": 0}),
        ("patchcore", {}),
        ("patchcore", {"convention": "paper", "neighbours": 2}),
        ("patchcore", {"neighbours": 1}),
        ("patchcore", {"backbone": "resnet18", "random_weights": True}),
    ],
)  # fmt: skip
def test_each_method_answers_as_before(
    name: str, options: dict[str, object], small_set: Path, tmp_path: Path
) -> None:
    folder = train(name, small_set, tmp_path / "run", **options)
    found = onnx_export.export(folder, tmp_path / "m.onnx")
    assert not found.fault
    check_equal(folder, tmp_path / "m.onnx")
