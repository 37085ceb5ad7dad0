"""Every registered method, built, fitted, run and scored by the same tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from localize import registry
from localize.data.folder import Folder
from localize.localizer import Finding, Localizer, Told
from localize.methods.peak import peak
from localize.registry import METHODS
from localize.run_files import read_run
from synth import InputError

FAST = {
    "input": (48, 32),
    "epochs": 1,
    "width": 8,
    "calibration_images": 4,
    "crops": 16,
    "progress": False,
    "device": "cpu",
}


class Fitted(dict[str, Localizer]):
    """Each method after a short training, which is done when the method is first asked for."""

    def __init__(self, dataset: Path, runs: Path) -> None:
        super().__init__()
        self.dataset, self.runs = dataset, runs

    def __missing__(self, name: str) -> Localizer:
        known = METHODS[name].option_names
        options = {option: value for option, value in FAST.items() if option in known}
        localizer = registry.create(name, **options)
        run = self.runs / name
        localizer.fit(Folder(self.dataset, "train"), Folder(self.dataset, "val"), run)
        localizer.run = run  # type: ignore[attr-defined]
        return self.setdefault(name, localizer)


@pytest.fixture(scope="module")
def fitted(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Each method after a short training; learned ones have their run folder in ``runs``."""
    return Fitted(small_set, tmp_path_factory.mktemp("runs"))


def some_images() -> tuple[list[np.ndarray], list[Told]]:
    rng = np.random.default_rng(0)
    shapes = [(80, 96), (80, 96), (41, 64), (120, 33), (80, 96)]
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    return images, [Told(r, 1.1) for r in (10, 20, 12.5, 8, 15)]


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_tells_the_truth(name: str, fitted: dict[str, Localizer]) -> None:
    localizer, entry = fitted[name], METHODS[name]
    assert isinstance(localizer, Localizer)
    assert localizer.told == entry.told
    assert localizer.learns == entry.learns
    assert localizer.gives == entry.gives
    assert (localizer.parameters > 0) == (entry.learns != "nothing")


@pytest.mark.parametrize("name", METHODS)
def test_finds_something_in_images_of_any_size(name: str, fitted: dict[str, Localizer]) -> None:
    images, told = some_images()
    findings = fitted[name].locate(images, told if METHODS[name].told else None)
    assert len(findings) == len(images)
    for finding in findings:
        assert isinstance(finding, Finding)
        has_place = "place" in METHODS[name].gives
        assert np.isfinite([finding.x, finding.y]).tolist() == [has_place] * 2
        assert (finding.score is not None) == ("score" in METHODS[name].gives)
        assert (finding.map is not None) == ("map" in METHODS[name].gives)


@pytest.mark.parametrize("name", METHODS)
def test_tiny_images_get_an_answer(name: str, fitted: dict[str, Localizer]) -> None:
    """Also where what is told cannot be; only an anomaly map that is flat points at nothing."""
    told = [Told(r, 0.93) for r in (0.0, 3.0, 500.0)]
    for height, width in ((1, 1), (2, 3), (60, 47)):
        image = np.full((height, width, 3), 90, np.uint8)
        given = told if METHODS[name].told else None
        for found in fitted[name].locate([image] * len(told), given):
            if "place" not in METHODS[name].gives:
                assert found.score is not None
                assert np.isfinite(found.score)
                continue
            if METHODS[name].learns == "clean":
                assert found.map is not None
                place = peak(found.map) or (np.nan, np.nan)
                np.testing.assert_array_equal([found.x, found.y], place)
                continue
            assert np.isfinite([found.x, found.y]).all()


@pytest.mark.parametrize("name", METHODS)
def test_an_answer_does_not_depend_on_its_neighbours(
    name: str, fitted: dict[str, Localizer]
) -> None:
    images, told = some_images()
    given = told if METHODS[name].told else None
    together = fitted[name].locate(images, given)
    for i, image in enumerate(images):
        alone = fitted[name].locate([image], given and given[i : i + 1])[0]
        places = [(each.x, each.y) for each in (alone, together[i])]
        assert places[0] == pytest.approx(places[1], abs=1e-3, nan_ok=True)
        if "place" not in METHODS[name].gives:
            assert alone.score == pytest.approx(together[i].score, abs=0.02)


@pytest.mark.parametrize("name", METHODS)
def test_images_are_not_changed(name: str, fitted: dict[str, Localizer]) -> None:
    images, told = some_images()
    before = [image.copy() for image in images]
    fitted[name].locate(images, told if METHODS[name].told else None)
    assert all(np.array_equal(a, b) for a, b in zip(images, before, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_no_images_give_no_findings(name: str, fitted: dict[str, Localizer]) -> None:
    assert fitted[name].locate([], [] if METHODS[name].told else None) == []


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.told])
def test_a_told_method_asks_for_what_it_is_told(name: str, fitted: dict[str, Localizer]) -> None:
    images, _ = some_images()
    with pytest.raises(InputError, match="told"):
        fitted[name].locate(images, None)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.learns != "nothing"])
def test_the_same_after_loading(name: str, fitted: dict[str, Localizer]) -> None:
    images, told = some_images()
    given = told if METHODS[name].told else None
    loaded = registry.load(fitted[name].run)  # type: ignore[attr-defined]
    # As text, because NaN, the place of a method without one, differs from itself.
    assert repr(loaded.locate(images, given)) == repr(fitted[name].locate(images, given))
    assert loaded.parameters == fitted[name].parameters


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.weights])
def test_a_method_that_comes_trained_is_ready(name: str) -> None:
    images, told = some_images()
    ready = registry.load(name)
    assert len(ready.locate(images, told if METHODS[name].told else None)) == len(images)
    assert ready.told == METHODS[name].told


@pytest.mark.parametrize(
    "name", [n for n, m in METHODS.items() if m.learns != "nothing" and not m.weights]
)
def test_a_method_that_learns_must_be_trained_first(name: str) -> None:
    with pytest.raises(InputError, match="train"):
        registry.load(name)


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'boundary'"):
        registry.method("bondary")


def test_a_run_of_another_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"method": "centr"}')
    with pytest.raises(InputError, match="did you mean 'centre'"):
        registry.load(tmp_path)


def test_a_damaged_run_says_so(fitted: dict[str, Localizer], tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(fitted["cnn-fast"].run, run)  # type: ignore[attr-defined]
    (run / "best.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"best\.safetensors is damaged"):
        registry.load(run)
    (run / "best.safetensors").unlink()
    with pytest.raises(InputError, match="missing"):
        registry.load(run)
    (run / "model.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        registry.load(run)


def test_weights_of_another_variant_are_refused(
    fitted: dict[str, Localizer], tmp_path: Path
) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(fitted["cnn-fuse-last"].run, run)  # type: ignore[attr-defined]
    other = fitted["cnn-fast"].run / "best.safetensors"  # type: ignore[attr-defined]
    shutil.copy(other, run / "best.safetensors")
    with pytest.raises(InputError, match="is damaged"):
        registry.load(run)
    about = {name: value for name, value in read_run(run).items() if "sha256" not in name}
    del about["files"]  # as in a run folder of an earlier version
    (run / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="does not fit"):
        registry.load(run)
