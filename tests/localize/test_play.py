"""The page of `localize play`: what is put into it."""

from __future__ import annotations

import base64
import fnmatch
import io
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from localize.cli.play import play
from localize.play import method_scores, page
from synth import InputError, console, photos

ROOT = Path(__file__).parents[2]


def embedded(html: str) -> dict[str, Any]:
    """The data that a page holds."""
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert block is not None
    data: dict[str, Any] = json.loads(block[1])
    return data


def test_the_page_holds_the_clean_twins_without_loss(small_set: Path) -> None:
    made = page.build(small_set)
    data = embedded(made.html)
    table = pd.read_csv(small_set / "metadata.csv").set_index("file_name")
    assert made.images == len(data["images"]) == (table["label"] == 1).sum()
    assert made.left_out == 0
    for image in data["images"]:
        row = table.loc[image["file_name"]]
        assert [image[name] for name in ("x", "y", "r", "photo")] == [
            row.x,
            row.y,
            row.r,
            row.photo,
        ]
        with Image.open(io.BytesIO(base64.b64decode(image["data"]))) as file:
            twin = photos.read(small_set, row.clean_file_name).pixels
            assert np.array_equal(np.asarray(file.convert("RGB")), twin)
    splits = [table.loc[image["file_name"]].split for image in data["images"]]
    assert splits == sorted(splits, key=["test", "val", "train"].index)
    assert made == page.build(small_set)


def test_images_that_do_not_fit_are_left_out_with_a_message(small_set: Path) -> None:
    everything = page.build(small_set)
    max_bytes = len(everything.html.encode()) - 1
    less = page.build(small_set, max_bytes=max_bytes)
    assert less.images == everything.images - 1
    assert less.left_out == 1
    assert len(less.html.encode()) <= max_bytes
    chosen = page.build(small_set, split="train", count=3)
    assert chosen.images == 3
    assert len({image["photo"] for image in embedded(chosen.html)["images"]}) == 3
    with pytest.raises(InputError, match="smaller"):
        page.build(small_set, max_bytes=1000)


def test_bad_input(small_set: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="extra"):
        page.build(small_set, split="extra")
    with pytest.raises(InputError, match=r"no thresholds\.csv and no scores\.csv"):
        page.build(small_set, tmp_path)
    bare = shutil.copytree(small_set, tmp_path / "bare")
    table = pd.read_csv(bare / "metadata.csv").drop(columns="clean_file_name")
    table.to_csv(bare / "metadata.csv", index=False)
    with pytest.raises(InputError, match=r"no clean twin to draw the change on.*--twins"):
        page.build(bare)
    other = shutil.copytree(small_set, tmp_path / "other")
    for path in (other / "clean").iterdir():
        Image.new("RGB", (96, 81)).save(path)
    with pytest.raises(InputError, match="is 96x81, the table says 96x80"):
        page.build(other)


def test_nothing_in_the_data_can_leave_its_element(small_set: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    copy = shutil.copytree(small_set, tmp_path / "<!--<script>")
    table = pd.read_csv(copy / "metadata.csv")
    table["photo"] = evil
    table["split"] = "test"
    table.to_csv(copy / "metadata.csv", index=False)
    html = page.build(copy, count=2).html
    assert evil not in html
    assert html.count("<script") == html.count("</script>") == 2
    assert "<!--<script>" not in html
    assert embedded(html)["images"][0]["photo"] == evil
    assert embedded(html)["dataset"] == "<!--<script>"


def test_every_asset_is_package_data() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["localize"]
    files = list((ROOT / "localize" / "play" / "web").iterdir())
    assert {path.name for path in files} == {"page.html", page.STYLE, *page.SCRIPTS}
    for path in files:
        name = path.relative_to(ROOT / "localize").as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, name


def thresholds(folder: Path) -> Path:
    """A folder as `localize sharpness` writes it: one method sees, one does not."""
    folder.mkdir()
    (folder / "thresholds.csv").write_text(
        "method,cut,level,side,threshold,threshold_low,threshold_high,verdict\n"
        "keen,all,,brighter,1.02,1.015,1.03,\n"
        "keen,all,,darker,0.98,0.97,0.985,\n"
        "keen,radius,20-40,brighter,1.5,1.4,1.6,\n"
        "007,all,,brighter,,,,no threshold\n"
    )
    (folder / "rates.csv").write_text(
        "method,side,discolor_ratio,r,n,hit_rate\n"
        "keen,brighter,1.1,,9,0.9\nkeen,brighter,1.01,,9,0.2\nkeen,brighter,1.01,30,9,0.5\n"
        "keen,none,1,,9,0.01\n007,brighter,1.1,,9,0\n"
    )
    return folder


def test_thresholds_of_models(tmp_path: Path) -> None:
    found = method_scores.read(thresholds(tmp_path / "sharp"))
    keen, other = found["methods"]
    assert (keen["name"], other["name"]) == ("keen", "007")
    assert keen["brighter"] == {
        "threshold": [1.02, 1.015, 1.03],
        "rates": [[1.01, 0.2], [1.1, 0.9]],
    }
    assert keen["darker"] == {"threshold": [0.98, 0.97, 0.985], "rates": []}
    assert other["brighter"] == {"threshold": None, "rates": [[1.1, 0.0]]}
    assert keen["colour"] != other["colour"]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "thresholds.csv",
            "1.02,",
            "banana,",
            "row 0, line 2: threshold is 'banana', not a number",
        ),
        ("thresholds.csv", "0.97,", "nan,", "row 1, line 3: threshold_low is 'nan'"),
        ("rates.csv", ",0.2", ",1e308", "row 1, line 3: hit_rate is '1e308', not a number from 0"),
        (
            "rates.csv",
            "1.01,30",
            "0,30",
            "row 2, line 4: discolor_ratio is '0', not a number above",
        ),
    ],
)
def test_scores_that_are_no_numbers_are_named(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    path = thresholds(tmp_path / "sharp") / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        method_scores.read(tmp_path / "sharp")


def test_hit_rates_of_models(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("method\na\n")
    rows = [
        ("a", f"{i}.png", 20.0, 1.1 if i < 24 else 0.9, [9.9, 10.1][i % 4 == 0]) for i in range(32)
    ]
    columns = ["method", "file_name", "r", "discolor_ratio", "distance"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "predictions.csv", index=False)
    found = method_scores.read(tmp_path)
    (method,) = found["methods"]
    rate, low, high = method["overall"]
    assert rate == 0.75  # 10 px is half the radius
    assert 0.5 < low < rate < high < 1
    assert method["brighter"]["rates"] == [[1.1, 0.75]] * 3
    assert found["ratios"] == {"brighter": [1.1] * 10, "darker": [0.9] * 10}


def test_the_command(small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command()(play)
    app.command("other")(lambda: None)
    out = tmp_path / "play.html"

    def run(*arguments: object) -> int:
        return console.run(app, "localize", ["play", str(small_set), *map(str, arguments)])

    assert run("--out", out, "--count", 2) == 0
    assert re.search(
        r"2 images, 0\.\d MB\n\d+ images of the .* left out$", capsys.readouterr().out.strip()
    )
    first = out.read_bytes()
    assert run("--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == first
    assert run("--out", out, "--overwrite", "--split", "test") == 0
    assert out.read_bytes() != first
    mine = tmp_path / "mine.html"
    mine.write_text("<title>My page</title>")
    assert run("--out", mine, "--overwrite") == 2
    assert mine.read_text() == "<title>My page</title>"
    mine.unlink()
    for bad in (tmp_path / "play.png", tmp_path, tmp_path / "none" / "play.html"):
        assert run("--out", bad) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["play.html"]
