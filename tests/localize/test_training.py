from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from localize import localizer
from localize.cli import main
from localize.data import batches
from localize.data.batches import Examples, Order
from localize.data.folder import Folder
from localize.methods.cnn import Cnn
from localize.training import trainer
from synth import InputError, console

Retabled = Callable[[Path, Path, pd.DataFrame], Path]

FAST = {"input": (48, 32), "progress": False, "device": "cpu"}


def fit(small_set: Path, run: Path, variant: str = "cnn-fuse-last", **options: object) -> Cnn:
    cnn = Cnn(variant, **{**FAST, **options})  # type: ignore[arg-type]
    cnn.fit(Folder(small_set, "train"), Folder(small_set, "val"), run)
    return cnn


def test_a_run_folder_holds_what_it_says(small_set: Path, tmp_path: Path) -> None:
    fit(small_set, tmp_path, epochs=3)
    assert {p.name for p in tmp_path.iterdir()} == {
        "best.safetensors", "last.safetensors", "history.csv", "model.json",
    }  # fmt: skip
    history = trainer.read_history(tmp_path)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    about = json.loads((tmp_path / "model.json").read_text())
    best = min(history, key=lambda row: row["val_distance"])
    assert about["best_epoch"] == best["epoch"]
    assert about["val_distance"] == best["val_distance"]


def test_history_is_what_the_weights_score(small_set: Path, tmp_path: Path) -> None:
    """The last epoch's validation distance, computed again from the saved weights."""
    fit(small_set, tmp_path, epochs=2)
    val = Folder(small_set, "val")
    last = Cnn.load(tmp_path, "last", device="cpu")
    gaps = []
    for i in range(len(val)):
        sample, truth = val[i], val.truth(i)[0]
        told = [localizer.Told(truth.r, truth.discolor_ratio)]
        found = last.locate([sample.image], told)[0]
        gaps.append(np.hypot(found.x - truth.x, found.y - truth.y))
    recorded = trainer.read_history(tmp_path)[-1]["val_distance"]
    assert np.mean(gaps) == pytest.approx(recorded, rel=1e-4)


def test_training_learns_a_bright_spot(tmp_path: Path) -> None:
    """On images whose anomaly is obvious the network leaves the centre guess far behind."""
    from synth import Recipe, generate

    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(1)
    for number in range(40):
        patches = Image.fromarray(rng.integers(20, 120, (4, 4, 3), dtype=np.uint8))
        photo = patches.resize((64, 64), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / f"{number}.png")
    recipe = Recipe(size="keep", per_photo=4, radius=(10, 14), ratio=(3, 3), split=(0.8, 0.2, 0))
    generate(tmp_path / "photos", tmp_path / "set", recipe)
    cnn = fit(tmp_path / "set", tmp_path / "run", "cnn-fast", input=(64, 64), epochs=16)
    del cnn
    from localize.evaluation.baseline import centre_distance

    found = min(row["val_distance"] for row in trainer.read_history(tmp_path / "run"))
    assert found < 0.6 * centre_distance(Folder(tmp_path / "set", "val"))


def test_resumed_training_equals_an_undisturbed_one(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(small_set, tmp_path / "whole", epochs=4)

    class Cut(Exception):
        pass

    keep = trainer.RunWriter.on_train_epoch_end

    def die(self: trainer.RunWriter, trainer: object, module: object) -> None:
        keep(self, trainer, module)  # type: ignore[arg-type]
        if trainer.current_epoch == 1:  # type: ignore[attr-defined]
            raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(trainer.RunWriter, "on_train_epoch_end", die)
        with pytest.raises(Cut):
            fit(small_set, tmp_path / "cut", epochs=4)
    assert len(trainer.read_history(tmp_path / "cut")) == 2
    resumed = fit(small_set, tmp_path / "cut", epochs=4)
    assert (tmp_path / "cut/history.csv").read_text() == (
        tmp_path / "whole/history.csv"
    ).read_text()
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(a, b)


def test_kill_9_then_resume(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "localize", "train", "cnn-fast", str(small_set), "--out", str(out),
        "--input", "48x32", "--epochs", "300", "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "run.partial" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    epochs = len(trainer.read_history(tmp_path / "run.partial"))
    assert epochs >= 1
    words = command[3:]
    assert console.run(main.app, "localize", words) == 2
    assert "--resume" in capsys.readouterr().err
    # With other settings it is another run.
    other = [*words[:-3], "301", *words[-2:], "--resume"]
    assert console.run(main.app, "localize", other) == 2


def test_a_checkpoint_of_another_variant_is_refused(small_set: Path, tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text('{"method": "cnn-slow", "options": {}}')
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match="other settings"):
        fit(small_set, tmp_path)


def test_more_devices_than_there_are_is_refused(small_set: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="devices is 3"):
        fit(small_set, tmp_path, epochs=1, devices=3)


@pytest.mark.slow
def test_two_processes_train_one_network(small_set: Path, tmp_path: Path) -> None:
    """Lightning's strategy for several GPUs, with two CPU processes standing in for them."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from localize.training import trainer
from localize.methods.cnn import Cnn
from localize.data.folder import Folder

if __name__ == "__main__":
    trainer.lightning_hardware = lambda schedule: trainer.lightning_devices("cpu", 2)
    cnn = Cnn("cnn-fuse-last", input=(48, 32), epochs=2, device="cpu", progress=False)
    run = Path({str(tmp_path / "run")!r})
    cnn.fit(Folder({str(small_set)!r}, "train"), Folder({str(small_set)!r}, "val"), run)
"""
    )
    subprocess.run([sys.executable, script], check=True, capture_output=True, timeout=240)
    assert [row["epoch"] for row in trainer.read_history(tmp_path / "run")] == [1, 2]
    assert not (tmp_path / "run" / "last.ckpt").exists()
    assert Cnn.load(tmp_path / "run").parameters > 0


def test_early_stopping(small_set: Path, tmp_path: Path) -> None:
    fit(small_set, tmp_path, epochs=40, patience=1, learning_rate=1e-9)
    assert len(trainer.read_history(tmp_path)) < 40


def test_same_seed_same_weights_other_seed_others(small_set: Path, tmp_path: Path) -> None:
    texts = [
        (fit(small_set, tmp_path / str(i), epochs=1, seed=seed), (tmp_path / str(i)))[1]
        for i, seed in enumerate((5, 5, 6))
    ]
    first, again, other = ((folder / "best.safetensors").read_bytes() for folder in texts)
    assert first == again
    assert first != other


def test_numeric_features_are_standardised_with_the_training_split(
    small_set: Path, tmp_path: Path
) -> None:
    cnn = fit(small_set, tmp_path / "a", epochs=1)
    train = Folder(small_set, "train")
    r = [batches.to_input(train.truth(i)[0].r, (96, 80), (48, 32)) for i in range(len(train))]
    assert cnn.network is not None
    assert cnn.network.mean[0].item() == pytest.approx(np.mean(r), rel=1e-5)  # type: ignore[index]
    assert cnn.network.scale[0].item() == pytest.approx(np.std(r), rel=1e-5)  # type: ignore[index]
    raw = fit(small_set, tmp_path / "b", epochs=1, raw_numeric=True)
    assert raw.network.mean.tolist() == [0, 0]  # type: ignore[union-attr, operator]
    assert raw.network.scale.tolist() == [1, 1]  # type: ignore[union-attr, operator]


def test_order_is_of_seed_and_epoch_alone() -> None:
    order = Order(50, seed=3, shuffle=True)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    order.set_epoch(0)
    assert list(order) == first
    assert first != second
    assert sorted(i for i, _ in first) == list(range(50))
    assert [i for i, _ in Order(5, 0, shuffle=False)] == [0, 1, 2, 3, 4]


def test_preloaded_and_read_anew_are_the_same(
    small_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Folder(small_set, "train")
    kept = Examples(source, (48, 32))
    monkeypatch.setattr(batches, "PRELOAD_BYTES", 0)
    read = Examples(source, (48, 32))
    assert kept.is_preloaded
    assert not read.is_preloaded
    for key in ((0, 1), (3, 2)):
        for name in ("image", "numeric", "target", "size"):
            assert torch.equal(kept[key][name], read[key][name])  # type: ignore[literal-required]


def test_an_empty_split_is_refused(small_set: Path, tmp_path: Path, retabled: Retabled) -> None:
    table = pd.read_csv(small_set / "metadata.csv")
    copy = retabled(small_set, tmp_path / "set", table.assign(split="train"))
    with pytest.raises(InputError, match="validation split"):
        fit(copy, tmp_path / "run")
