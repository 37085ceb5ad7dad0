"""The page of `localize play` in Chromium: pixels as synth makes them, played to the end."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localize.play import page as pages
from synth import Anomaly, apply, photos

Browse = Callable[..., Any]
OPEN = "#trial[data-state=open]"
ANSWERED = "#trial[data-state=answered]"
# What is on the screen, and the place where it is.
NOW = """() => {
  const { row, ratio, place, unchanged, panes } = acuity.trial;
  return { image: acuity.album.images[row], ratio, place, unchanged, scale: panes[0].scale };
}"""
VALUES = """() => acuity.trial.panes.map(({ canvas }) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""));
})"""


@pytest.fixture(scope="module")
def dataset(
    small_set: Path,
    tmp_path_factory: pytest.TempPathFactory,
    retabled: Callable[[Path, Path, pd.DataFrame], Path],
) -> Path:
    """Eight rows of all kinds."""
    table = pd.read_csv(small_set / "metadata.csv")
    table = table[table["label"] == 1].iloc[:8].reset_index(drop=True)
    table["shape"] = ["circle", "square"] * 4
    table["overflow"] = ["clip", "clip", "wrap", "wrap"] * 2
    table["rounding"] = ["nearest", "floor", "floor", "nearest", "nearest", "stochastic"] + [
        "floor"
    ] * 2
    table["feather"] = [0.0] * 4 + [2.5, 0.0, 4.0, 3.0]
    table["r"] -= table["feather"] / 2
    return retabled(small_set, tmp_path_factory.mktemp("kinds") / "set", table)


@pytest.fixture(scope="module")
def page_file(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "play #1 ü.html"
    path.write_text(pages.build(dataset).html, encoding="utf-8")
    return path


def wanted(dataset: Path, now: dict[str, Any]) -> np.ndarray:
    """What synth draws: (H, W, 3) uint8."""
    table = pd.read_csv(dataset / "metadata.csv").set_index("file_name")
    row = table.loc[now["image"]["file_name"]]
    anomaly = Anomaly(
        row.x, row.y, row.r, now["ratio"], row["shape"], row.overflow,
        "nearest" if row.rounding == "stochastic" else row.rounding, row.feather,
    )  # fmt: skip
    return apply(photos.read(dataset, row.clean_file_name).pixels, anomaly)


def on_canvas(page: Any) -> list[np.ndarray]:
    """The images on the screen's canvases: (H, W, 3) uint8 each."""
    size = page.evaluate(NOW)["image"]
    shape = (size["height"], size["width"], 4)
    return [
        np.frombuffer(base64.b64decode(values), np.uint8).reshape(shape)[..., :3]
        for values in page.evaluate(VALUES)
    ]


def test_the_arithmetic_is_that_of_synth(browse: Browse, page_file: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    image[0] = [0, 1, 255]
    cases = []
    for i in range(3000):
        digits = int(rng.integers(0, 3))
        x, y, r = (round(float(v), digits) for v in rng.uniform((-4, -4, 0), (35, 27, 14)))
        cases.append(
            {
                "x": x, "y": y, "r": r, "ratio": round(float(np.exp(rng.normal(0, 0.4))), 4),
                "shape": ["circle", "square"][i % 2], "overflow": ["clip", "wrap"][i // 2 % 2],
                "rounding": ["nearest", "floor"][i // 4 % 2],
                "feather": float(rng.choice([0, 1, 2.5, round(rng.uniform(0.1, 9), 2)])),
            }
        )  # fmt: skip
    cases[0] |= {"ratio": 1.05, "rounding": "floor"}  # 100 x 1.05 is 105 to the last bit
    drawn = browse(page_file).evaluate(
        """([values, cases]) => cases.map((anomaly) => {
          const rgba = new Uint8ClampedArray(values);
          return acuity.pixels.checksum(acuity.pixels.apply(rgba, 31, 23, anomaly).values);
        })""",
        [np.dstack([image, np.full((23, 31), 255, np.uint8)]).ravel().tolist(), cases],
    )
    for case, checksum in zip(cases, drawn, strict=True):
        ratio = {"discolor_ratio": case["ratio"]}
        anomaly = Anomaly(**{k: v for k, v in case.items() if k != "ratio"}, **ratio)  # type: ignore[arg-type]
        assert zlib.adler32(apply(image, anomaly).tobytes()) == checksum, case


@pytest.mark.parametrize(("density", "pixel"), [(1, 1), (2, 2), (1.5, 3)])
def test_the_screen_shows_what_synth_draws(
    browse: Browse, page_file: Path, dataset: Path, density: float, pixel: int
) -> None:
    page = browse(page_file, density=density, fragment="#seed=5")
    page.locator("label", has=page.locator(f"[name=pixel][value='{pixel}']")).click()
    page.click("#go")
    for _ in range(4):
        page.wait_for_selector(OPEN)
        now = page.evaluate(NOW)
        expected = wanted(dataset, now)
        assert np.array_equal(on_canvas(page)[0], expected)
        box = page.locator(".image").bounding_box()
        shot = Image.open(io.BytesIO(page.screenshot(clip=box, scale="device"))).convert("RGB")
        assert np.array_equal(np.asarray(shot), expected.repeat(pixel, 0).repeat(pixel, 1))
        page.click("#second")
        page.wait_for_selector(ANSWERED)
        page.click("#first")


def played(page: Any, tmp_path: Path) -> pd.DataFrame:
    """The CSV that the last screen offers."""
    with page.expect_download() as download:
        page.click("#save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return pd.read_csv(path)


def check(table: pd.DataFrame, dataset: Path) -> None:
    """Checks the columns, the values copied from the dataset, and those computed from answers."""
    assert list(table) == [
        "method", "trial", "file_name", "photo", "x", "y", "r", "discolor_ratio", "x_pred",
        "y_pred", "distance", "hit", "seconds", "choice", "choice_right", "zoom", "started",
    ]  # fmt: skip
    truth = pd.read_csv(dataset / "metadata.csv").set_index("file_name").loc[table["file_name"]]
    for name in ("photo", "x", "y", "r"):
        assert table[name].tolist() == truth[name].tolist()
    distance = np.hypot(table["x_pred"] - table["x"], table["y_pred"] - table["y"])
    assert np.allclose(distance, table["distance"], atol=0.006, equal_nan=True)
    assert table["hit"].tolist() == (distance <= np.maximum(5, table["r"] / 2)).tolist()
    assert table["trial"].tolist() == list(range(1, len(table) + 1))
    assert not table["file_name"].duplicated().any()
    assert (table["discolor_ratio"] == 1).sum() == 1
    assert (table["seconds"] > 0).all()
    assert pd.to_datetime(table["started"]).is_monotonic_increasing


def test_played_with_the_mouse_then_scored(
    browse: Browse, page_file: Path, dataset: Path, tmp_path: Path
) -> None:
    page = browse(page_file, fragment="#seed=1")
    page.fill("#name", 'Ann, "the eye"')
    page.click("#go")
    for number in range(7):
        page.wait_for_selector(OPEN)
        assert page.inner_text("#count") == f"Image {number + 1} of 7"
        now = page.evaluate(NOW)
        image, scale = now["image"], now["scale"]
        if number == 4:  # what was answered is kept over a reload
            page.reload()
            page.click("#resume")
            page.wait_for_selector(OPEN)
            assert page.evaluate(NOW) == now
        x, y = (round(image["x"]), round(image["y"])) if number % 3 else (1, 1)
        page.locator(".image").click(position={"x": (x + 0.5) * scale, "y": (y + 0.5) * scale})
        page.wait_for_selector(ANSWERED)
        outlines = 0 if now["unchanged"] else 1
        assert page.locator(".truth .halo:not(line)").count() == outlines
        words = "Nothing was changed" if now["unchanged"] else "Found" if number % 3 else "Missed"
        assert page.inner_text("#headline").startswith(words)
        page.keyboard.press("o")
        before = on_canvas(page)[0]
        assert np.array_equal(before, wanted(dataset, now | {"ratio": 1}))
        page.click("#first")
    assert page.inner_text("#results h1").startswith("Your threshold: ")
    table = played(page, tmp_path)
    check(table, dataset)
    assert set(table["method"]) == {'Ann, "the eye"'}
    assert set(table["x_pred"]) >= {1.0}
    assert (table["distance"] < 1).sum() == 4
    page.click("#again")
    assert page.inner_text("#supply") == "0 of 7 images are new to you"

    from localize import external_predictions
    from localize.sharpness import design, external_trials

    trials = external_trials.read(tmp_path / "play.csv", design.Design())
    assert trials["hit"].tolist() == table["hit"].tolist()
    external_predictions.score(tmp_path / "play.csv", dataset, tmp_path / "scores")
    scores = pd.read_csv(tmp_path / "scores" / "scores.csv").set_index("method")
    assert scores.loc['Ann, "the eye"', "n"] in (6, 7)


def test_played_with_the_keyboard(
    browse: Browse, page_file: Path, dataset: Path, tmp_path: Path
) -> None:
    page = browse(page_file, dark=True, fragment="#seed=2")
    page.focus("#go")
    page.keyboard.press("Enter")
    for number in range(7):
        page.wait_for_selector(OPEN)
        image = page.evaluate(NOW)["image"]
        page.keyboard.press("Enter")  # no cross yet, so no answer
        if number == 2:
            page.keyboard.press("c")
        else:
            page.keyboard.press("ArrowUp")  # the cross appears in the middle
            at = page.evaluate("acuity.trial.cross.place")
            for axis, keys in (("x", "Left Right"), ("y", "Up Down")):
                steps = round(image[axis]) - at[axis]
                key = "Arrow" + keys.split()[steps > 0]
                for press in [key] * (abs(steps) // 12) + [f"Shift+{key}"] * (abs(steps) % 12):
                    page.keyboard.press(press)
            page.keyboard.press("Enter")
        page.wait_for_selector(ANSWERED)
        page.keyboard.press("Enter")  # next
    page.wait_for_selector("#results h1")
    table = played(page, tmp_path)
    check(table, dataset)
    assert table["distance"].isna().tolist() == [number == 2 for number in range(7)]
    assert (table["distance"].dropna() < 1).all()


def test_two_images_with_a_finger_on_a_phone(
    browse: Browse, page_file: Path, dataset: Path, tmp_path: Path
) -> None:
    page = browse(page_file, width=360, height=740, touch=True, density=3, fragment="#seed=3")

    def upright() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    assert upright()
    page.locator("label", has=page.locator("[value=compare]")).tap()
    # Six screen pixels for each of the image's: larger than the screen.
    page.evaluate("document.querySelector('[name=pixel]:checked').value = 15")
    page.locator("#go").tap()
    places = []
    for number in range(7):
        page.wait_for_selector(OPEN)
        assert upright()
        now = page.evaluate(NOW)
        image, scale = now["image"], now["scale"]
        left, right = on_canvas(page)
        changed, clean = (left, right) if now["place"] == "left" else (right, left)
        assert np.array_equal(changed, wanted(dataset, now))
        assert np.array_equal(clean, wanted(dataset, now | {"ratio": 1}))
        places.append(now["place"])
        pane = page.locator(".pane").nth(["left", "right"].index(now["place"]) ^ (number == 1))
        stage = page.locator("#stage").bounding_box()
        x, y = (image["x"] + 0.5) * scale, (image["y"] + 0.5) * scale
        pane.evaluate("(pane, [x, y]) => pane.scrollTo(x - 100, y - 100)", [x, y])
        assert page.locator("#first").is_disabled()
        at = pane.locator("canvas").bounding_box()
        page.touchscreen.tap(at["x"] + x, at["y"] + y)
        assert page.locator(".cross").count() == 1
        page.locator("#first").tap()
        page.wait_for_selector(ANSWERED)
        assert page.locator("#stage").bounding_box() == stage  # nothing moved
        page.locator("#first").tap()
    page.wait_for_selector("#results h1")
    assert upright()
    table = played(page, tmp_path)
    check(table, dataset)
    assert set(table["method"]) == {"person, two pictures"}
    assert table["choice_right"].tolist() == [int(number != 1) for number in range(7)]
    chosen = [place == right for place, right in zip(table["choice"], places, strict=True)]
    assert chosen == (table["choice_right"] == 1).tolist()
    assert set(places) == {"left", "right"}
    assert set(table["zoom"]) == {15}


def test_the_staircase_finds_known_thresholds(browse: Browse, page_file: Path) -> None:
    script = """(mode) => {
      const { estimate, hitRate, level, random, GUESS } = acuity.staircase;
      const guess = GUESS[mode];
      return Array.from({ length: 60 }, (_, run) => {
        const threshold = [0.015, 0.04, 0.12][run % 3];
        const next = random(run, 77);
        const trials = [];
        for (let i = 0; i < 40; i++) {
          const strength = level(trials, guess, run, i);
          trials.push([strength, next() < hitRate(strength, threshold, guess)]);
        }
        const { low, middle, high } = estimate(trials, guess);
        return [Math.log(middle / threshold), low <= threshold && threshold <= high];
      });
    }"""
    page = browse(page_file)
    for mode, most in (("find", 0.1), ("compare", 0.2)):
        errors, inside = zip(*page.evaluate(script, mode), strict=True)
        assert abs(np.mean(errors)) < most
        assert np.std(errors) < 2.5 * most
        assert sum(inside) >= 51  # 85 % of the 95 % intervals


def test_the_models_beside_the_person(browse: Browse, dataset: Path, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    sharp = tmp_path / "sharp"
    sharp.mkdir()
    (sharp / "thresholds.csv").write_text(
        "method,cut,level,side,threshold,threshold_low,threshold_high\n"
        f"{evil},all,,brighter,1.02,1.015,1.03\nblind,all,,brighter,,,\n"
    )
    (sharp / "rates.csv").write_text(
        f"method,side,discolor_ratio,r,hit_rate\n{evil},brighter,1.01,,0.2\n{evil},brighter,1.1,,0.9\n"
    )
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "scores.csv").write_text("method\n")
    (scores / "predictions.csv").write_text(
        "method,file_name,r,discolor_ratio,distance\n" + f"{evil},a,20,1.3,3\n{evil},b,20,1.3,90\n"
    )
    for folder, words in ((sharp, ["no threshold", "2.0"]), (scores, ["50"])):
        path = tmp_path / f"{folder.name}.html"
        path.write_text(pages.build(dataset, folder).html, encoding="utf-8")
        page = browse(path, fragment="#seed=4")
        page.click("#go")
        for _ in range(5):
            page.wait_for_selector(OPEN)
            now = page.evaluate(NOW)
            place, scale = now["image"], now["scale"]
            at = {"x": (place["x"] + 0.5) * scale, "y": (place["y"] + 0.5) * scale}
            page.locator(".image").click(position=at)
            page.click("#first")
        page.click("#finish")
        chart = (
            page.locator("section", has_text="You and the methods").locator("svg").text_content()
        )
        for word in (*words, "<img", "You"):
            assert word in chart
        assert json.loads(page.evaluate("JSON.stringify(document.images.length)")) == 0
