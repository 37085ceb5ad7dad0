"""SPEC `model.onnx`: how images enter, what comes out, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localize import registry
from localize.localizer import Told
from localize.onnx import sidecar as sidecars
from localize.onnx.sidecar import Sidecar
from synth import Anomaly, InputError, apply
from synth.errors import Skipped

sys.path.append(str(Path(__file__).parent))

from onnx_files import brightness, write

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

Run = Callable[..., tuple[int, str, str]]
IMAGE = ("image", "FLOAT", (1, 3, 8, 10))
HEAT = {"map": "heat"}


def spot(width: int = 40, height: int = 24) -> np.ndarray:
    """Grey with a bright square of 4 x 4 px around (20.5, 9.5)."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[8:12, 19:23] = 200
    return image


@pytest.mark.parametrize("kind", ["UINT8", "FLOAT", "FLOAT16", "DOUBLE"])
@pytest.mark.parametrize(
    "shape",
    [
        ("b", 3, "h", "w"), (1, 3, "h", "w"), ("b", 1, "h", "w"), ("b", "h", "w", 3),
        (1, 24, 40, 1), (1, 3, 24, 40), (2, 3, "h", "w"), ("b", 3, 48, 80),
    ],
)  # fmt: skip
def test_layout_channels_size_and_type_are_read_from_the_file(
    kind: str, shape: tuple[Any, ...], tmp_path: Path
) -> None:
    path = brightness(tmp_path / "m.onnx", HEAT, kind=kind, shape=shape)
    (found,) = registry.load(path).locate([spot()])
    assert (found.x, found.y) == pytest.approx((20.5, 9.5), abs=0.01)
    assert found.map is not None
    assert found.map.shape == (24, 40)
    bright, dark = (200, 60) if kind == "UINT8" else (200 / 255, 60 / 255)
    assert found.score == pytest.approx(bright, rel=2e-3)
    assert found.map[0, 0] == pytest.approx(dark, rel=2e-3)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({}, 10 / 255),
        ({"scale": 255}, 10),
        ({"colour": "bgr", "scale": 255}, 30),
        ({"mean": [0.5, 0, 0], "std": [0.25, 1, 1]}, (10 / 255 - 0.5) / 0.25),
        ({"scale": 255, "mean": [4], "std": [2]}, 3),
        ({"scale": 255, "colour": "bgr", "mean": [1, 2, 3]}, 29),
    ],
)
def test_colour_order_scale_mean_and_std(
    entries: dict[str, Any], expected: float, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "m.onnx", [("image", "FLOAT", (1, 3, "h", "w"))],
        [("Gather", ["image", "first"], ["heat"], {"axis": 1})],
        [("heat", "FLOAT", (1, "h", "w"))], {"first": np.array(0)}, HEAT | entries,
    )  # fmt: skip
    image = np.tile(np.array([10, 20, 30], np.uint8), (6, 5, 1))
    (found,) = registry.load(path).locate([image])
    assert found.map == pytest.approx(np.full((6, 5), expected), rel=1e-5)


def test_a_told_network_gets_r_in_px_of_the_input(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx",
        [("image", "FLOAT", (1, 3, 20, 20)), ("r", "FLOAT", ("b",)), ("q", "FLOAT", ("b", 1))],
        [("Flatten", ["r"], ["r2"], {"axis": 1}), ("Concat", ["r2", "q"], ["xy"], {"axis": 1})],
        [("xy", "FLOAT", ("b", 2))],
        sidecar={"place": "xy", "r": "r", "ratio": "q"},
    )
    model = registry.load(path)
    assert model.told == {"r", "discolor_ratio"}
    assert model.gives == {"place"}
    (found,) = model.locate([np.zeros((40, 80, 3), np.uint8)], [Told(16, 1.5)])
    r = 16 * (20 / 40 * 20 / 80) ** 0.5  # the geometric mean of both factors
    assert found.x == pytest.approx((r + 0.5) * 4 - 0.5)
    assert found.y == pytest.approx((1.5 + 0.5) * 2 - 0.5)
    with pytest.raises(InputError, match="told r and ratio"):
        model.locate([np.zeros((40, 80, 3), np.uint8)])


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("px", (4.5, 3.5), (19.5, 7.5)), ("fraction", (0.5, 0.5), (19.5, 7.5)),
     ("fraction", (0, 1), (-0.5, 15.5))],
)  # fmt: skip
def test_units_of_the_place(
    unit: str, value: tuple[float, float], expected: tuple[float, float], tmp_path: Path
) -> None:
    path = write(
        tmp_path / "m.onnx", [IMAGE], [("Identity", ["c"], ["xy"], {})], [("xy", "FLOAT", (2,))],
        {"c": np.array(value, np.float32)}, {"place": "xy", "place_unit": unit},
    )  # fmt: skip
    (found,) = registry.load(path).locate([np.zeros((16, 40, 3), np.uint8)])
    assert (found.x, found.y) == pytest.approx(expected)


def test_a_score_alone_gives_no_place(run: Run, tmp_path: Path, small_set: Path) -> None:
    path = write(
        tmp_path / "m.onnx", [("image", "FLOAT", (1, 3, "h", "w"))],
        [("ReduceMax", ["image"], ["s"], {"keepdims": 0})], [("s", "FLOAT", ())],
        sidecar={"score": "s"},
    )  # fmt: skip
    model = registry.load(path)
    assert model.gives == {"score"}
    (found,) = model.locate([spot()])
    assert found.score == pytest.approx(200 / 255)
    assert np.isnan(found.x)


def test_an_export_of_anomalib_needs_no_sidecar(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx", [("input", "FLOAT", ("b", 3, "h", "w"))],
        [("ReduceMean", ["input", "one"], ["anomaly_map"], {}),
         ("ReduceMax", ["anomaly_map", "rest"], ["pred_score"], {"keepdims": 0})],
        [("pred_score", "FLOAT", ("b", 1)), ("anomaly_map", "FLOAT", ("b", 1, "h", "w"))],
        {"one": np.array([1]), "rest": np.array([2, 3])},
    )  # fmt: skip
    (found,) = registry.load(path).locate([spot()])
    assert (found.x, found.y) == (20.5, 9.5)
    assert found.score == pytest.approx(200 / 255)


def test_an_answer_does_not_depend_on_the_other_images(tmp_path: Path) -> None:
    model = registry.load(brightness(tmp_path / "m.onnx", HEAT))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((9, 7), (20, 30))]
    together = model.locate(images)
    assert together == [model.locate([image])[0] for image in images]
    assert model.locate([]) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"mapp": "heat"}, "'mapp' is unknown; did you mean 'map'"),
        ({}, "names no output"),
        (HEAT | {"colour": "gbr"}, "use rgb or bgr or grey"),
        (HEAT | {"scale": 100}, "use 1 or 255"),
        (HEAT | {"scale": True}, "use 1 or 255"),
        (HEAT | {"std": [1, 0, 1]}, "1 or 3 numbers above 0"),
        (HEAT | {"mean": [1, 2]}, "1 or 3 numbers"),
        (HEAT | {"mean": "0.5"}, "1 or 3 numbers"),
        (HEAT | {"size": [100]}, r"\[width, height\] in px"),
        (HEAT | {"size": [10, 9]}, "its height is 8 px, in the sidecar 9"),
        (HEAT | {"resize": "crop"}, "use stretch"),
        (HEAT | {"r": "r"}, "give both or neither"),
        (HEAT | {"r": "r", "ratio": "q"}, "no input 'r'"),
        (HEAT | {"image": "img"}, "no input 'img': it has image"),
        (HEAT | {"place_unit": "px"}, "name it as place"),
        ({"map": "hot"}, r"no output 'hot' \(map\): it has heat"),
        (HEAT | {"colour": "grey"}, "has 3 channels, and grey 1"),
    ],
)
def test_wrong_sidecars_are_refused(entries: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = brightness(tmp_path / "m.onnx", entries, shape=(1, 3, 8, 10))
    with pytest.raises(InputError, match=words):
        registry.load(path)


@pytest.mark.parametrize("text", ["{", "[]", '"map"'])
def test_a_sidecar_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    path = brightness(tmp_path / "m.onnx", None)
    (tmp_path / "m.onnx.json").write_text(text)
    with pytest.raises(InputError, match=r"m\.onnx\.json"):
        registry.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name, words in (
        ("text.onnx", "is no ONNX file"), ("empty.onnx", "is no ONNX file"),
        ("missing.onnx", "no file at"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            registry.load(tmp_path / name)


@pytest.mark.parametrize(
    ("shape", "kind", "sidecar", "words"),
    [
        ((1, 4, 8, 10), "FLOAT", HEAT, "no axis of 1 or 3 channels"),
        ((1, 3, 8), "FLOAT", HEAT, "0 inputs with 4 axes"),
        ((1, 3, 8, 10), "INT32", HEAT, "images are uint8"),
        ((1, 3, 8, 10), "UINT8", HEAT | {"mean": [1]}, "are for floats"),
        ((1, 3, 8, 10), "FLOAT", None, r"known by its name: it has heat.*m\.onnx\.json.*\"map\""),
    ],
)
def test_files_that_take_no_images_are_refused(
    shape: tuple[int, ...], kind: str, sidecar: dict[str, Any] | None, words: str, tmp_path: Path
) -> None:
    write(
        tmp_path / "m.onnx", [("image", kind, shape)],
        [("Cast", ["image"], ["f"], {"to": 1}), ("ReduceMean", ["f", "axis"], ["heat"], {})],
        [("heat", "FLOAT", [1] * len(shape))], {"axis": np.array([1])}, sidecar,
    )  # fmt: skip
    with pytest.raises(InputError, match=words):
        registry.load(tmp_path / "m.onnx")


def test_a_file_with_a_further_input_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx", [IMAGE, ("alpha", "FLOAT", (1,))],
        [("Mul", ["image", "alpha"], ["heat"], {})], [("heat", "FLOAT", (1, 3, 8, 10))],
        sidecar=HEAT,
    )  # fmt: skip
    with pytest.raises(InputError, match="needs the input alpha"):
        registry.load(path)


def test_without_onnxruntime_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = brightness(tmp_path / "m.onnx", HEAT)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'acuity\[onnx\]'"):
        registry.load(path)


def test_a_device_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = brightness(tmp_path / "m.onnx", HEAT)
    assert registry.load(path, device="cpu").told == frozenset()
    with pytest.raises(InputError, match="cpu or cuda"):
        registry.load(path, device="mps")


def test_what_is_no_answer_is_recorded_and_does_not_end_a_run(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx", [("image", "FLOAT", (1, 3, "h", "w"))],
        [("ReduceMean", ["image", "axis"], ["mean"], {}), ("Log", ["mean"], ["log"], {}),
         ("Mul", ["log", "zero"], ["heat"], {})],
        [("heat", "FLOAT", (1, 1, "h", "w"))],
        {"axis": np.array([1]), "zero": np.zeros(1, np.float32)}, HEAT,
    )  # fmt: skip
    model = registry.load(path)
    with pytest.raises(Skipped, match="holds NaN"):
        model.locate([np.zeros((8, 9, 3), np.uint8)])
    assert np.isnan(model.locate([spot()])[0].x)  # a flat map


def test_a_size_that_the_network_cannot_take_is_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx", [("image", "FLOAT", (1, 3, "h", "w"))],
        [("Reshape", ["image", "shape"], ["heat"], {})], [("heat", "FLOAT", (30, 12))],
        {"shape": np.array([30, 12])}, HEAT,
    )  # fmt: skip
    with pytest.raises(Skipped, match="onnxruntime:"):
        registry.load(path).locate([np.zeros((8, 9, 3), np.uint8)])


def test_evaluate_and_find_take_it(run: Run, tmp_path: Path, small_set: Path) -> None:
    path = brightness(tmp_path / "bright.onnx", HEAT)
    code, _, err = run("evaluate", path, small_set, "--out", tmp_path / "scores")
    assert code == 0, err
    scores = pd.read_csv(tmp_path / "scores/scores.csv")
    assert scores["method"].tolist() == ["centre", "bright.onnx"]
    assert scores["image_auroc"].notna().iloc[1]
    picture = sorted((small_set / "images").iterdir())[0]
    code, out, _ = run("find", picture, "--method", path)
    assert code == 0
    assert " x " in out


def level_detector(path: Path, sidecar: dict[str, Any]) -> Path:
    """A file that finds where red is 135, if it is normalised as it was made for."""
    return write(
        path, [("image", "FLOAT", (1, 3, "h", "w"))],
        [("Gather", ["image", "red"], ["plane"], {"axis": 1}), ("Abs", ["plane"], ["off"], {}),
         ("Neg", ["off"], ["level"], {}), ("Unsqueeze", ["level", "one"], ["deep"], {}),
         ("AveragePool", ["deep"], ["heat"], {"kernel_shape": [9, 9], "pads": [4, 4, 4, 4]})],
        [("heat", "FLOAT", (1, 1, "h", "w"))],
        {"red": np.array(0), "one": np.array([1])}, HEAT | sidecar,
    )  # fmt: skip


RIGHT = {"mean": [135 / 255, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
COLOUR = (90, 150, 135)  # of the photos: a region with ratio 1.5 has red 135, and no other place


@pytest.mark.parametrize("wrong", [RIGHT | {"colour": "bgr"}, {}])
def test_a_wrong_normalisation_is_found_out(wrong: dict[str, Any], tmp_path: Path) -> None:
    models = [
        registry.load(level_detector(tmp_path / f"{name}.onnx", entries))
        for name, entries in (("right", RIGHT), ("wrong", wrong))
    ]
    rng = np.random.default_rng(0)
    hits = np.zeros(2)
    for _ in range(12):
        truth = Anomaly(x=rng.uniform(12, 68), y=rng.uniform(12, 48), r=10, discolor_ratio=1.5)
        image = apply(np.tile(np.array(COLOUR, np.uint8), (60, 80, 1)), truth)
        found = [model.locate([image])[0] for model in models]
        hits += [np.hypot(each.x - truth.x, each.y - truth.y) <= 5 for each in found]
    assert hits[0] == 12
    assert hits[1] <= 3


@pytest.mark.slow
def test_sharpness_pairs_it_with_the_right_one(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(-3, 4, (220, 220, 3))
        pixels = (np.array(COLOUR) + noise).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    right = level_detector(tmp_path / "right.onnx", RIGHT)
    wrong = level_detector(tmp_path / "wrong.onnx", RIGHT | {"colour": "bgr"})
    code, _, err = run(
        "sharpness", right, wrong, "--photos", tmp_path / "photos", "--out", tmp_path / "chart",
        "--size", "200x200", "--radii", "20", "--ratios", "1.1,1.3,1.5", "--sides", "brighter",
        "--per-cell", "6", "--workers", "1",
    )  # fmt: skip
    assert code == 0, err
    trials = pd.read_csv(tmp_path / "chart/trials.csv")
    strong = trials[trials["discolor_ratio"] > 1.4]
    rates = strong.groupby("method")["hit"].mean()
    assert rates["right.onnx"] == 1
    assert rates["wrong.onnx"] < 0.4
    pairs = pd.read_csv(tmp_path / "chart/pairs.csv")
    assert {"right.onnx", "wrong.onnx"} <= set(pairs.iloc[:, :4].to_numpy().ravel())


def test_a_sidecar_is_written_and_read_again(tmp_path: Path) -> None:
    sidecar = Sidecar(image="i", size=(4, 5), mean=(0.1,), std=(1.0, 2.0, 3.0), map="m", scale=255)
    (tmp_path / "s.json").write_text(sidecar.to_json())
    assert sidecars.read(tmp_path / "s.json") == sidecar
    assert "layout" not in json.loads(sidecar.to_json())
