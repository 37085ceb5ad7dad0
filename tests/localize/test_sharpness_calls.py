"""`localize sharpness --false-calls`: columns, tables, what told methods are told, the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localize import registry, sharpness
from localize.cli import main
from localize.evaluation import calls
from localize.localizer import Finding, Learns, Localizer, Told
from localize.sharpness import Design, Measurement, run_pod, runner, thresholds, trial_calls
from localize.sharpness.pod import PodOptions, contour, measure
from synth import console, scenes

DESIGN = Design(
    ratios=(1.05, 1.1, 1.2, 1.4), radii=(8.0, 12.0), per_cell=10, size=(64, 64), seed=3,
    false_calls=0.1, clean=60, sides=("brighter",),
)  # fmt: skip


class Half(Localizer):
    """Finds changes by chance, the larger the likelier; its score is the told ratio and noise."""

    told = frozenset({"r", "discolor_ratio"})
    learns: Learns = "nothing"
    parameters = 0

    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)
        self.ratios: list[float] = []

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        assert told is not None
        ratio = told[0].discolor_ratio
        self.ratios.append(ratio)
        changed = images[0].astype(float).max() > 180  # the photos are plain, with values of 150
        found = changed and self.rng.random() < (ratio - 1) * 2.4
        rows, cols = np.nonzero(images[0][..., 0] > 155)
        place = (cols.mean(), rows.mean()) if len(rows) else (0.0, 0.0)
        score = 3.0 * found + self.rng.normal()
        return [Finding(*(place if found else (0.0, 0.0)), score=score)]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurement]:
    """A run of the method above and of the centre guess."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("calls")
    (folder / "photos").mkdir()
    for i in range(12):
        Image.new("RGB", (90, 80), (150, 150, 150)).save(folder / "photos" / f"{i}.png")
    original, half = registry.load, Half()

    def load(spec: str, **options: Any) -> Any:
        return half if spec == "half" else original(spec, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            registry,
            "load",
            lambda spec, **more: half if spec == "half" else original(spec, **more),
        )
        patch.setattr(thresholds, "DRAWS", 60)
        for name, value in (("DIRECTIONS", 60), ("LAPSE_DIRECTIONS", 12), ("LAPSES", 3)):
            patch.setattr(contour, name, value)
        yield sharpness.measure(["half"], folder / "photos", folder / "out", DESIGN, workers=1)
    assert set(half.ratios) == {1.05, 1.1, 1.2, 1.4}  # also where nothing is changed


def test_the_tables_agree(result: Measurement) -> None:
    trials = pd.read_csv(result.folder / "trials.csv")
    assert tuple(trials.columns) == (*runner.TRIALS, *trial_calls.COLUMNS)
    centre, half = (trials[trials["method"] == name] for name in ("centre", "half"))
    assert centre[["call", "detected", "told_ratio"]].isna().all(axis=None)
    assert (half["detected"] == half["call"] * half["hit"]).all()
    assert half.loc[half["side"] == "brighter", "discolor_ratio"].equals(
        half.loc[half["side"] == "brighter", "told_ratio"]
    )
    clean = half[half["side"] == "none"]
    row = pd.read_csv(result.folder / "false_calls.csv").set_index("method").loc["half"]
    assert (row["clean"], row["false_calls"]) == (60, clean["call"].sum())
    assert row["threshold"] == calls.call_threshold(clean["score"].to_numpy(), 0.1)
    assert row["threshold_low"] <= row["threshold"] <= row["threshold_high"]
    for name, column in (("detected", "detected"), ("called", "call")):
        table = pd.read_csv(result.folder / f"thresholds-{name}.csv")
        assert table["method"].unique().tolist() == ["half"]
        assert table.query("cut == 'all'")["guess"].iloc[0] == clean[column].mean()


def test_pod_is_that_of_the_command_on_the_trials(result: Measurement, tmp_path: Path) -> None:
    pod = pd.read_csv(result.folder / "pod.csv")
    assert tuple(pod.columns) == run_pod.COLUMNS
    assert pod["answer"].tolist() == ["place", "place", "detected", "called"]
    assert pod["verdict"].fillna("").tolist() == ["POD falls with size", "", "", ""]
    row = pod.query("answer == 'detected'").iloc[0]
    alone = measure(
        result.folder / "trials.csv", tmp_path / "pod",
        PodOptions(hits=("detected",), by="r", only=(("method", "half"), ("side", "brighter"))),
    ).chosen  # fmt: skip
    for name in ("a50", "a90", "a90_95", "a90_95_larger"):
        assert row[name] == pytest.approx(alone[f"{name}_ratio"], nan_ok=True)
    assert (row["model"], row["link"]) == (alone["model"], alone["link"])


def test_the_report_has_calls_and_pod(result: Measurement) -> None:
    text = (result.folder / "report.html").read_text(encoding="utf-8")
    plain = re.sub(r"<(style|script|svg).*?</\1>", "", text, flags=re.DOTALL)
    plain = " ".join(re.sub("<[^>]+>", " ", plain).replace("\u00a0", " ").split())
    for part in ('<section id="calls">', '<section id="pod">', "<details open>"):
        assert part in text
    for words in (
        "the method gives no score", "If the score must also be a call, with at most 10.0 % false",
        "crops of 64 × 64 px of 12 photos (JPEG 90) with circles of radius 8 and 12 px",
        "is found with probability 0.9", "measured on photos that did not set it",
        "localize pod trials.csv --hit detected --by r --only method=half --only side=brighter",
        "--false-calls 0.1 --clean 60",
    ):  # fmt: skip
        assert words in plain, words
    names = {path.name for path in result.folder.iterdir()}
    assert {"psychometric-place.svg", "psychometric.svg", "pod-half.svg"} <= names


def test_damaged_records_are_named(result: Measurement, tmp_path: Path) -> None:
    from localize.report import page
    from synth import InputError

    for path in result.folder.glob("*.[cj]s*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    page.write(tmp_path)
    records = json.loads((tmp_path / "pod-records.json").read_text())
    records["analyses"][-1]["targets"] = "many"
    (tmp_path / "pod-records.json").write_text(json.dumps(records))
    with pytest.raises(InputError, match=r"pod-records.json is damaged \(targets is 'many'"):
        page.write(tmp_path)


def test_an_unusable_rate_gives_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.write(tmp_path / "photos", 3, 80, 80, seed=1)
    line = ["sharpness", "centre", "--photos", str(tmp_path / "photos"), "--radii", "9", "--size",
            "64x64", "--out", str(tmp_path / "out"), "--false-calls"]  # fmt: skip
    for rate, message in (
        ("5", "--false-calls is 5: give a share"),
        ("0.01", "pass --clean 150, or a higher rate"),
    ):
        assert console.run(main.app, "localize", [*line, rate]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
