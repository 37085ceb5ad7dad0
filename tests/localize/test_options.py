"""The options of methods: one dataclass each, from which flags, help and checks follow."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from localize import api, registry
from localize.cli import main
from localize.cli.options import help_text, option_fields, panel
from localize.localizer import Finding, Known, Localizer
from localize.methods.cnn_options import CnnOptions
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.options import RingVoteOptions
from localize.options import LearnerOptions, Options, default_text
from localize.run_files import SHIPPED, read_run, write_run
from synth import InputError, console


def test_a_flag_names_every_default() -> None:
    fields = option_fields()
    assert help_text(fields["batch"]).endswith(
        "[10; autoencoder 4; transfer 32; ringvote 4; heatmap 8; anomalib 16]."
    )
    assert help_text(fields["input"]).endswith(
        "[800x800; transfer 224x224; transfer-clean 224x224; anomalib 256x256]."
    )
    assert "ringvote 0.002" in help_text(fields["learning_rate"])


def test_a_panel_names_the_methods_that_take_its_flags() -> None:
    fields = option_fields()
    assert panel(fields["seed"]) is None
    assert panel(fields["width"]) == "ringvote"
    assert (
        panel(fields["learning_rate"])
        == "cnn-*, unet-dsnt, autoencoder, transfer, ringvote, heatmap"
    )


@pytest.mark.parametrize("name", option_fields())
def test_an_option_has_one_help_text(name: str) -> None:
    """The same option of several methods has the same help, a plain sentence."""
    texts = {str(field.metadata["help"]) for field in option_fields()[name].values()}
    assert len(texts) == 1
    assert re.fullmatch(r"[A-Z].*\.", texts.pop())


@pytest.mark.parametrize("command", ["train", "compare", "learning-curve"])
def test_the_help_lists_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(main.app, "localize", [command, "--help"]) == 0
    shown = capsys.readouterr().out
    for name in option_fields():
        assert f"--{name.replace('_', '-')}" in shown


@pytest.mark.parametrize("entry", registry.METHODS.values(), ids=registry.METHODS)
def test_the_registry_lists_what_the_dataclass_has(entry: registry.Method) -> None:
    assert entry.option_names == {field.name for field in dataclasses.fields(entry.options)}
    assert (entry.learns != "nothing") == issubclass(entry.options, LearnerOptions)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        (CnnOptions, {"epochs": 0}, "epochs is 0"),
        (CnnOptions, {"patience": 0}, "patience is 0"),
        (CnnOptions, {"learning_rate": float("nan")}, "learning-rate is nan"),
        (CnnOptions, {"learning_rate": float("inf")}, "learning-rate is inf"),
        (CnnOptions, {"epochs_scale": 101}, "epochs-scale is 101: give a number above 0 and at"),
        (RingVoteOptions, {"calibration_images": 0}, "calibration-images is 0"),
        (RingVoteOptions, {"learning_rate": 0}, "learning-rate is 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    options: type[Options], given: dict[str, float], words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        options(**given)
    assert "\n" not in str(caught.value)


def test_defaults_are_shown_as_typed() -> None:
    fields = CnnOptions.fields()
    assert default_text(fields["input"]) == "800x800"
    assert default_text(fields["raw_numeric"]) == ""
    assert default_text(RingVoteOptions.fields()["learning_rate"]) == "0.002"


def test_options_of_earlier_versions_load_under_their_new_names(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(SHIPPED / "ringvote", run)
    about = read_run(run)
    del about["options"]["calibration_images"]
    about["options"] |= {"lessons": 150, "second": 1200}
    write_run(run, about)
    loaded = registry.load(run)
    assert isinstance(loaded, RingVote)
    assert loaded.options.calibration_images == 150
    about["options"]["third"] = 3
    write_run(run, about)
    with pytest.raises(InputError, match="third"):
        registry.load(run)


class Trained(Localizer):
    """A method with included weights that are one number."""

    def __init__(self, number: float) -> None:
        self.number = number

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Trained:
        return cls(json.loads((run / "number.json").read_text()))

    def locate(self, images: list[np.ndarray], told: object = None) -> list[Finding]:  # type: ignore[override]
        return [Finding(self.number, self.number) for _ in images]


def test_any_method_may_include_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ``load`` gets no options of other methods."""
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/number.json").write_text("7.5")
    entry = registry.Method(
        "trained", f"{__name__}:Trained", "labelled", frozenset(), "a test", weights="trained"
    )
    monkeypatch.setattr(type(entry), "implementation", lambda self: Trained)
    monkeypatch.setitem(registry.METHODS, "trained", entry)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    image = np.zeros((9, 9, 3), np.uint8)
    assert registry.load("trained").locate([image]) == [Finding(7.5, 7.5)]
    assert registry.load("trained", which="last", device="cpu").locate([image])


class Foreign:
    """A localizer of another project, with no more than the contract demands."""

    told: frozenset[str] = frozenset()
    learns = "nothing"

    def locate(self, images: list[np.ndarray], told: object = None) -> list[Finding]:
        return [Finding(1.0, 2.0) for _ in images]


class Seeking(Foreign):
    def seek(self, image: np.ndarray, known: Known) -> Finding:
        assert known.r is not None
        return Finding(*known.r)


def test_a_foreign_localizer_needs_no_base_class() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    assert api.locate(Foreign(), image) == Finding(1.0, 2.0)  # type: ignore[arg-type]
    assert api.locate(Foreign(), image, r=(3, 4)) == Finding(1.0, 2.0)  # type: ignore[arg-type]
    assert api.locate(Seeking(), image, r=(3, 4)) == Finding(3.0, 4.0)  # type: ignore[arg-type]


def test_a_method_without_ranges_refuses_them() -> None:
    with pytest.raises(InputError, match="neither r nor ratio"):
        registry.load("centre").seek(np.zeros((9, 9, 3), np.uint8), Known(r=(3, 4)))
    with pytest.raises(InputError, match="no run folders"):
        registry.METHODS["centre"].implementation().load(Path("run"))
