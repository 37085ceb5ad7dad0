"""SPEC `anomalib:MODEL`: the protocol with a stand-in; slowly, with anomalib itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import localize
from localize import registry
from localize.data.folder import Folder
from localize.external import detector
from localize.external.detector import Detector
from synth import InputError, console

# It learns the mean colour of the images; its map is how far a pixel is from that.
STAND_IN = """
import json, os, sys
from pathlib import Path
import numpy as np
from PIL import Image

def begin(report, run=""):
    print("output of a library")
    weights = []
    if run:
        assert json.loads(Path(run, "model.json").read_text())["settings"]["model"]
        weights.append(np.frombuffer(Path(run, "model.safetensors").read_bytes()))

    def answer(message):
        if "image" in message:
            heat = np.abs(message["image"] - weights[0]).sum(axis=2).astype(np.float32)
            return {"map": heat, "score": float(heat.mean())}
        settings, images = message["settings"], sorted(Path(message["images"]).iterdir())
        assert Path(message["scratch"]) in Path(message["images"]).parents
        assert Path(message["scratch"]).parent == Path(message["run"])
        Path(message["run"], "pid").write_text(str(os.getpid()))
        if settings["seed"] == 13:
            raise RuntimeError("no luck")
        if settings["seed"] == 14:
            sys.stderr.flush()
            os._exit(9)
        means = []
        for i, path in enumerate(images):
            means.append(np.asarray(Image.open(path).convert("RGB")).mean(axis=(0, 1)))
            report(i + 1, len(images))
        Path(message["run"], "model.safetensors").write_bytes(np.mean(means, axis=0).tobytes())
        epochs = settings["epochs"] or round(10 * settings["epochs_scale"])
        return {
            "backbone": "", "epochs": epochs, "usual_epochs": 10, "parameters": 3,
            "train_images": len(images), "versions": {}, "input": settings["input"],
        }

    return answer
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    job = tmp_path / "stand_in.py"
    job.write_text(STAND_IN)
    monkeypatch.setattr(detector, "JOB", str(job))
    monkeypatch.setenv(detector.PYTHON, sys.executable)
    monkeypatch.setattr("localize.report.plots.save", lambda *args: None)
    monkeypatch.setattr("localize.report.page.write", lambda folder: None)
    return job


@pytest.mark.usefixtures("stand_in")
def test_train_then_use_it_as_any_run(run: Run, small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "padim"
    flags = ("--epochs", 3, "--input", "64x48")
    code, said, _ = run("train", "anomalib:padim", small_set, "--out", out, *flags)
    count = len(Folder(small_set, "train").negatives())
    assert code == 0
    assert f"{count} clean images, 3 epochs (from scratch, 3/10 epochs)" in said
    assert localize.describe(out)["about"]["input"] == [64, 48]
    assert "output of a library" in (out / "training.log").read_text()
    assert run("evaluate", out, small_set, "--out", tmp_path / "scores")[0] == 0
    scores = pd.read_csv(tmp_path / "scores/scores.csv").set_index("method")
    name = "padim (from scratch, 3/10 epochs)"
    assert scores.index.tolist() == ["centre", name]
    assert scores["parameters"][name] == 3
    assert np.isfinite(
        scores.loc[name, ["image_auroc", "pixel_auroc", "aupro"]].astype(float)
    ).all()
    picture = next((small_set / "images").iterdir())
    assert run("find", picture, "--method", out)[0] == 0
    assert "anomalib" not in sys.modules


@pytest.mark.usefixtures("stand_in")
def test_its_answer_is_the_peak_of_its_map(small_set: Path, tmp_path: Path) -> None:
    localize.train("anomalib:stfpm", small_set, tmp_path / "run", progress=False)
    localizer = registry.load(tmp_path / "run", time_limit=30.0)
    assert isinstance(localizer, Detector)
    image = np.full((30, 50, 3), 128, np.uint8)
    image[7, 31] = 255
    found = localizer.locate([image])[0]
    assert (found.x, found.y) == (31, 7)
    assert found.map is not None
    assert found.map.shape == (30, 50)
    assert found.score == pytest.approx(found.map.mean())
    assert localizer.note == "from scratch"
    localizer.close()


@pytest.mark.usefixtures("stand_in")
def test_a_bare_spec_is_trained_where_it_is_asked_for(
    run: Run, small_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    code, said, _ = run("evaluate", "anomalib:draem", "boundary", small_set, "--out", out)
    assert code == 0
    assert "anomalib:draem: training" in said
    name = "anomalib:draem (from scratch)"
    assert pd.read_csv(out / "scores.csv")["method"].tolist() == ["centre", name, "boundary"]
    code, said, _ = run(
        "compare", small_set, "--methods", "anomalib:draem", "--epochs-scale", 0.2,
        "--time-limit", 30, "--out", tmp_path / "compared",
    )  # fmt: skip
    assert code == 0
    methods = pd.read_csv(tmp_path / "compared/scores.csv")["method"].tolist()
    assert methods == ["centre", "anomalib:draem (from scratch, 2/10 epochs)"]
    for folder in (out, tmp_path / "compared"):  # what was trained can be used again
        assert registry.run_method(folder / "runs/anomalib-draem").name == "anomalib:draem"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "anomalib:padin", "SET"], "did you mean 'padim'"),
        (["train", "anomalib:winclip", "SET"], "needs a download or does not exist"),
        (["train", "anomalib:padim", "SET", "--weights", "gone.pth"], "no file at gone.pth"),
        (["train", "anomalib:padim", "SET", "--epochs", "0"], "epochs is 0"),
        (["train", "anomalib:padim", "SET", "--seed", "13"], "RuntimeError: no luck"),
        (["train", "anomalib:padim", "SET", "--seed", "14"], "ended (exit code 9)"),
        (["train", "anomalib:padim", "SET", "--device", "tpu"], "device 'tpu'"),
        (["train", "anomalib:padim", "SET", "--time-limit", "0"], "above 0"),
        (["evaluate", "anomalib:padim", "bondary", "SET"], "did you mean 'boundary'"),
        (["evaluate", "anomalib:padim", "gone"], "gone"),
        (["sharpness", "anomalib:padim", "--photos", "SET"], "trained first"),
    ],
)
def test_bad_input_gets_one_clear_line(
    words: list[str], expected: str, run: Run, small_set: Path, tmp_path: Path
) -> None:
    named = [str(small_set) if word == "SET" else word for word in words]
    code, _, err = run(*named, "--out", tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1
    assert expected in err
    assert [path.name for path in tmp_path.iterdir()] == ["stand_in.py"]


def test_without_an_environment_the_line_says_how_to_get_it(
    run: Run,
    stand_in: Path,
    small_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv(detector.PYTHON, str(tmp_path / "nowhere"))
    code, _, err = run("evaluate", "anomalib:padim", small_set, "--out", out)
    assert code == 2
    assert "ACUITY_ANOMALIB is " in err
    monkeypatch.delenv(detector.PYTHON)
    monkeypatch.setattr(detector, "ENVIRONMENT", Path("no/such/place"))
    code, _, err = run("train", "anomalib:padim", small_set, "--out", out)
    assert code == 2
    assert "make peers" in err
    assert not out.exists()


@pytest.mark.usefixtures("stand_in")
def test_a_damaged_run_is_refused(small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    localize.train("anomalib:padim", small_set, out, progress=False)
    (out / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(InputError, match="damaged: train again"):
        registry.load(out)
    about = json.loads((out / "model.json").read_text())
    (out / "model.json").write_text(json.dumps({"method": about["method"]}))
    with pytest.raises(InputError, match="damaged"):
        registry.load(out)


@pytest.mark.usefixtures("stand_in")
def test_ctrl_c_ends_its_process_and_leaves_no_images(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It uses no temporary files outside the run folder, because a kill would leave them."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError("no room for temporary files")

    @contextmanager
    def progress(what: str) -> Iterator[Callable[[int, int], None]]:
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        yield interrupt

    monkeypatch.setattr(console, "progress", progress)
    for name in ("mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        Detector(model="padim").fit(Folder(small_set, "train"), Folder(small_set, "val"), run)
    with pytest.raises(ProcessLookupError):
        os.kill(int((run / "pid").read_text()), 0)
    assert not {"scratch", "model.json"} & {path.name for path in run.iterdir()}


@pytest.mark.usefixtures("stand_in")
def test_a_model_without_a_map_answers_with_a_score_alone(small_set: Path, tmp_path: Path) -> None:
    job = Path(detector.JOB)
    job.write_text(STAND_IN.replace('{"map": heat, "score"', '{"score"'))
    localizer = Detector(model="ganomaly")
    localizer.fit(Folder(small_set, "train"), Folder(small_set, "val"), tmp_path / "run")
    loaded = registry.load(tmp_path / "run")
    [found] = loaded.locate([Folder(small_set, "test")[0].image])
    loaded.close()
    assert loaded.gives == registry.method("anomalib:ganomaly").gives == {"score"}
    assert np.isnan([found.x, found.y]).all()
    assert found.map is None
    assert found.score > 0


@pytest.mark.usefixtures("stand_in")
def test_the_job_gets_the_file_of_weights_and_the_run_its_name(
    small_set: Path, tmp_path: Path
) -> None:
    file = tmp_path / "vit.safetensors"
    file.write_bytes(b"weights")
    job = Path(detector.JOB)
    check = f"assert message['weights_file'] == {str(file.resolve())!r}"
    job.write_text(STAND_IN.replace("        means = []", f"        {check}\n        means = []"))
    run = tmp_path / "run"
    localize.train("anomalib:anomaly_dino", small_set, run, weights=file, progress=False)
    file.unlink()  # the run folder holds what is needed
    registry.load(run).close()
    description = (run / "model.json").read_text()
    assert json.loads(description)["settings"]["weights_file"] == "vit.safetensors"
    assert str(tmp_path) not in description


def anomalib_or_skip() -> str:
    try:
        return detector.python()
    except InputError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def twins(
    small_set: Path, tmp_path: Path, retabled: Callable[[Path, Path, pd.DataFrame], Path]
) -> Path:
    """A dataset of twins alone: they are more images than the few rows without an anomaly."""
    table = pd.read_csv(small_set / "metadata.csv")
    return retabled(small_set, tmp_path / "set", table[table["label"] == 1])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["padim", "fre", "stfpm", "draem", "ganomaly"])
def test_anomalib_itself(model: str, twins: Path, tmp_path: Path) -> None:
    """It trains for an epoch, is read back, and answers at the image's own size."""
    anomalib_or_skip()
    run = tmp_path / "run"
    size = (128, 128) if model == "ganomaly" else (128, 96)
    localize.train(f"anomalib:{model}", twins, run, epochs=1, input=size, progress=False)
    localizer = registry.load(run, time_limit=300.0)
    assert isinstance(localizer, Detector)
    source = Folder(twins, "test")
    found = localizer.locate([source[0].image])[0]
    if model == "ganomaly":
        assert found.map is None
    else:
        assert found.map is not None
        assert found.map.shape == source[0].image.shape[:2]
        assert np.isfinite(found.map).all()
    assert found.score is not None
    scratch = ("draem", "ganomaly")
    assert localizer.note.startswith("from scratch" if model in scratch else "ImageNet")
    localizer.close()


@pytest.mark.slow
def test_a_transformer_takes_the_weights_of_a_file(twins: Path, tmp_path: Path) -> None:
    """Two files of weights give two maps; a file of another network is refused."""
    python, scores = anomalib_or_skip(), []
    for seed, name in ((0, "vit_small_patch14_dinov2"), (1, "vit_small_patch14_dinov2"),
                       (2, "vit_tiny_patch16_224")):  # fmt: skip
        file, run = tmp_path / f"{seed}.safetensors", tmp_path / f"run-{seed}"
        code = (
            "import sys, timm, torch; from safetensors.torch import save_file; "
            f"torch.manual_seed({seed}); "
            f"save_file(timm.create_model({name!r}).state_dict(), sys.argv[1])"
        )
        subprocess.run([python, "-c", code, file], check=True, capture_output=True)
        options = {"input": (112, 112), "weights": file, "progress": False}
        if seed == 2:
            with pytest.raises(InputError, match="does not hold the weights of vit_small"):
                localize.train("anomalib:anomaly_dino", twins, run, **options)
            continue
        localize.train("anomalib:anomaly_dino", twins, run, **options)
        localizer = registry.load(run, time_limit=300.0)
        scores.append(localizer.locate([Folder(twins, "test")[0].image])[0].score)
        assert localizer.note == "backbone from a file"
        localizer.close()  # type: ignore[attr-defined]
    assert scores[0] != scores[1]
