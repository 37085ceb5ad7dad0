"""Training of `ringvote`: batches and targets, losses, interrupted runs."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from localize import api
from localize.data import endless
from localize.data.endless import Endless
from localize.data.recipe_stages import Stage
from localize.localizer import Told
from localize.methods.hough.centre_scores import score_centres
from localize.methods.hough.outlines import KINDS
from localize.methods.ringvote import platt
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import OLD_NAMES, RingVoteNet, band, current_keys
from localize.methods.ringvote.train import losses, targets
from localize.methods.ringvote.train.packing import pack
from synth import InputError, scenes
from synth.anomaly import Anomaly

REGIONS = Stage(
    {"size": [64, 64], "margin": 0}, {"radius": [[8, 12]], "shape": ["circle", "square"]}
)


@pytest.fixture(autouse=True, scope="module")
def small_images() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platt, "SIZES", ((96, 80), (80, 112)))
        yield


def targets_of(regions: list[Anomaly], size: tuple[int, int] = (64, 64)) -> targets.CentreTargets:
    """The regions' centres and a hard negative of radius 20 px."""
    return targets.centre_targets([regions], [band(regions[0].r)], [20.0], size)


def cross_entropy(logits: torch.Tensor, centres: targets.CentreTargets) -> tuple[float, float]:
    """(H, W) logits of the first target -> its cross-entropy, and the best pixel's distance."""
    terms = losses.centre_terms(logits[None], centres, slice(0, 1))
    return float(terms.every - terms.right), float(terms.distance)


def test_the_loss_is_lowest_at_the_truth() -> None:
    y, x = np.mgrid[:64, :64]
    truth = Anomaly(40.2, 30.7, 10, 1.1)
    entropies = []
    for dx in (0, 2, 8):
        logits = -((x - truth.x - dx) ** 2 + (y - truth.y) ** 2) / 2
        loss, distance = cross_entropy(torch.from_numpy(logits).float(), targets_of([truth]))
        entropies.append(loss)
        assert distance == pytest.approx(math.hypot(dx, 0), abs=1)
    assert entropies == sorted(entropies)


def test_centres_where_the_region_does_not_fit_are_no_answers() -> None:
    logits = torch.zeros(64, 64)
    logits[5, 30] = 50
    logits[30, 40] = 20
    loss, distance = cross_entropy(logits, targets_of([Anomaly(40, 30, 10, 1.1)]))
    assert (loss, distance) == (pytest.approx(0, abs=1e-4), 0)


def test_a_region_in_squares() -> None:
    """The centre of a square of POOL px lies between its middle pixels."""
    small = targets.in_squares(Anomaly(5.5, 9.5, 8, 1.1))
    assert (small.x, small.y, small.r) == (1.0, 2.0, 2.0)


def test_other_regions_are_no_wrong_answers() -> None:
    truth, other = Anomaly(20, 20, 10, 1.1), Anomaly(45, 45, 10, 1.1)
    logits = torch.zeros(64, 64)
    logits[45, 45] = 10
    alone, distance = cross_entropy(logits, targets_of([truth]))
    assert distance == pytest.approx(math.hypot(25, 25))
    assert cross_entropy(logits, targets_of([truth, other]))[0] < alone - 0.1


def test_training_sums_the_votes_that_prediction_sums(lively: RingVoteNet) -> None:
    network, size = lively, (64, 64)
    centres = targets_of([Anomaly(30.5, 31, 12, 1.1), Anomaly(30, 31, 9.5, 1.1)])
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(1, KINDS, *size))).float()
    spectrum = torch.fft.rfft2(evidence)
    logits = losses.centre_logits(
        network.aggregation, spectrum.expand(2, -1, -1, -1), centres, slice(0, 2), size, 1
    )
    for number, r in enumerate((12.0, 9.5)):
        expected, rows, cols = score_centres(network.aggregation, evidence[0], r)
        assert torch.allclose(expected, logits[number][rows, cols], atol=1e-3)


@pytest.mark.parametrize(("part", "chunk"), [(4, 1), (4, 8), (1, 8)])
def test_parts_and_chunks_give_the_same_loss_and_gradient(
    lively: RingVoteNet, photo_folder: Path, part: int, chunk: int
) -> None:
    """As images one by one and centres one by one."""
    stage = Stage({"size": [64, 64], "margin": 0}, {"radius": [[20, 24], [26, 28]]}, max_regions=1)
    network, results = lively, []
    for images, centres in ((1, 1), (part, chunk)):
        network.zero_grad()
        total = 0.0
        (batch,) = targets.Batches(Endless(photo_folder, (stage,), 5), 0, 4, 4, images)
        for each in batch:
            loss, distances = losses.batch_loss(network, each, centres)
            assert len(distances) == len(each.images) <= images
            (loss * len(each.images) / 4).backward()
            total += float(loss.detach()) * len(each.images) / 4
        assert network.evidence_head.weight.grad is not None
        results.append((total, network.evidence_head.weight.grad.clone()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)


def test_a_packed_object_is_the_same_after_unpacking(photo_folder: Path) -> None:
    (batch,) = targets.Batches(Endless(photo_folder, (REGIONS,), 5), 0, 1, 1, 1)
    item = {"batch": batch, "none": torch.empty(0, 3), "flags": torch.tensor([True, False])}
    back = pack(item).unpack(torch.device("cpu"))
    assert back["none"].shape == (0, 3)
    assert back["flags"].tolist() == [True, False]
    for name, value in vars(batch[0].centres).items():
        other = getattr(back["batch"][0].centres, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def vote_loss(regions: list[Anomaly], logits: list[torch.Tensor]) -> tuple[float, list[float]]:
    """(H, W) logits of each region and of the hard negative -> the loss, and the distances."""
    centres = targets_of(regions)
    terms = losses.centre_terms(torch.stack(logits), centres, slice(0, len(logits)))
    loss, distances = losses.combine_terms(terms, centres, images=1, negative_plane=1)
    return float(loss), distances.tolist()


def test_a_likelier_wrong_radius_costs_as_much_as_a_wrong_place() -> None:
    truth = Anomaly(20, 20, 10, 1.1)
    logits, negative = torch.full((64, 64), -20.0), torch.full((64, 64), -99.0)
    logits[20, 20] = 14
    alone, distances = vote_loss([truth], [logits, negative])
    assert distances == [0]
    negative[40, 40] = 14 - math.log(losses.NEGATIVES)
    loss, distances = vote_loss([truth], [logits, negative])
    assert loss == pytest.approx(alone + math.log(2), abs=0.01)
    assert distances == [0]


@pytest.mark.parametrize("size", [(320, 320), (64, 48), (9, 9)])
def test_a_hard_negative_fits_and_is_repeatable(size: tuple[int, int]) -> None:
    regions = [[Anomaly(20.25 + n, -0.4, 10, 1.1)] for n in range(40)]  # centres may lie outside
    drawn = [targets.hard_negative(each, size) for each in regions]
    assert drawn == [targets.hard_negative(each, size) for each in regions]
    assert len({which for _, which in drawn}) > 3
    assert all(1 <= r <= (min(size) - 1) / 2 for r, _ in drawn)
    assert len({r for r, _ in drawn}) == (40 if min(size) > 44 else 1)


def test_a_hard_negative_is_not_wrong_at_the_regions_themselves() -> None:
    truth = Anomaly(40, 30, 10, 1.1)
    logits, negative = torch.full((64, 64), -20.0), torch.full((64, 64), -99.0)
    logits[30, 40] = 14
    alone, _ = vote_loss([truth], [logits, negative])
    for x, worse in ((36, False), (22, True)):
        wrong = negative.clone()
        wrong[30, x] = 30
        assert (vote_loss([truth], [logits, wrong])[0] > alone + 1) == worse


@pytest.fixture(scope="module")
def run(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fit(photo_folder, folder)
    return folder


def fit(
    photo_folder: Path, folder: Path, stop: tuple[str, int] | None = None, seed: int = 0
) -> None:
    localizer = RingVote(epochs=2, batch=1, width=4, calibration_images=3, seed=seed, device="cpu")

    @contextmanager
    def progress(what: str) -> Iterator[Callable[[int, int], None]]:
        def step(done: int, total: int) -> None:
            if (what, done) == stop:
                raise KeyboardInterrupt

        yield step

    localizer.progress = progress
    source = Endless(photo_folder, (REGIONS,), 1, length=3)
    localizer.fit(source, Endless(photo_folder, (REGIONS,), 2, length=2), folder)


@pytest.mark.parametrize("stop", [("training", 5), ("calibration", 2)])
def test_an_interrupted_run_ends_with_the_same_weights(
    photo_folder: Path, run: Path, tmp_path: Path, stop: tuple[str, int]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(photo_folder, tmp_path, stop=stop)
    assert not (tmp_path / "model.json").exists()
    fit(photo_folder, tmp_path)
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes()


def test_an_unfinished_run_of_other_settings_is_refused(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(photo_folder, tmp_path, stop=("training", 5))
    with pytest.raises(InputError, match="other settings"):
        fit(photo_folder, tmp_path, seed=1)


def test_a_run_folder_records_its_training_data(run: Path) -> None:
    about = json.loads((run / "model.json").read_text())
    assert about["source"]["mixes"][0]["common"]["size"] == [64, 64]
    assert about["last_epoch"] == 2
    assert not (run / "last.ckpt").exists()


def test_training_changes_the_weights_and_loading_keeps_them(run: Path) -> None:
    image, told = scenes.scene(200, 160, np.random.default_rng(4)), [Told(34, 1.12)]
    loaded = RingVote.load(run, device="cpu")
    assert loaded.network is not None
    assert bool(loaded.network.evidence_head.weight.abs().sum() > 0)
    assert loaded.locate([image], told) == RingVote.load(run, "best", "cpu").locate([image], told)


def test_training_goes_on_from_known_weights(run: Path, photo_folder: Path, tmp_path: Path) -> None:
    """With a learning rate of nearly 0 they do not change, except for the Platt scaling."""
    source = Endless(photo_folder, (REGIONS,), 1, length=3)
    known = {"epochs": 1, "width": 4, "calibration_images": 2, "device": "cpu", "progress": False}
    RingVote(start=run, learning_rate=1e-12, **known).fit(source, source, tmp_path)
    first, second = (load_file(folder / "best.safetensors") for folder in (run, tmp_path))
    learned = [name for name in first if "platt" not in name]
    assert len(learned) > 20
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in learned)
    about = json.loads((tmp_path / "model.json").read_text())
    digest = hashlib.sha256((run / "best.safetensors").read_bytes()).hexdigest()
    assert about["start"] == {"name": run.name, "sha256": digest}


def test_weights_with_the_names_of_earlier_versions_load(run: Path) -> None:
    """They are renamed; those of the removed fusion are left out."""
    state = load_file(run / "best.safetensors")
    earlier = {new: old for old, new in OLD_NAMES.items()}
    renamed = {
        ".".join(earlier.get(part, part) for part in name.split(".")): value
        for name, value in state.items()
    }
    assert {"enter.weight", "before.0.one.bias", "blind_odds.shift"} <= set(renamed)
    renamed["weighing.trust"] = torch.zeros(())
    network = RingVoteNet(4)
    network.load_state_dict(renamed)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert set(current_keys(renamed)) == set(current_keys(state)) == set(state)


def test_weights_to_go_on_from_must_be_there_and_fit(
    run: Path, photo_folder: Path, tmp_path: Path
) -> None:
    source = Endless(photo_folder, (REGIONS,), 1, length=3)
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text('{"method": "cnn-fast"}')
    for start, width, said in (
        (run, 8, "does not fit"),
        ("ringvote", 4, "does not fit"),
        (other, 4, "no run of ringvote"),
        (tmp_path / "none", 4, "no run folder"),
    ):
        with pytest.raises(InputError, match=said):
            RingVote(start=start, width=width, progress=False).fit(source, source, tmp_path / "new")


def test_weights_that_do_not_fit_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run" / "best.safetensors"
    weights.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is damaged"):
        RingVote.load(tmp_path / "run")
    (tmp_path / "run/model.json").write_text('{"method": "ringvote", "options": {"width": 4}}')
    with pytest.raises(InputError, match="does not fit"):  # an earlier version has no digests
        RingVote.load(tmp_path / "run")
    weights.unlink()
    with pytest.raises(InputError, match="missing"):
        RingVote.load(tmp_path / "run")


def test_the_api_trains_on_photos_and_a_recipe(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localize.methods.ringvote.method.EPOCH", 2)
    monkeypatch.setattr("localize.data.endless.VAL_IMAGES", 2)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"stages": [{"recipe": REGIONS.common, "any": REGIONS.any}]}))
    out = tmp_path / "run"
    api.train(
        "ringvote",
        None,
        out,
        photos=photo_folder,
        recipe=recipe,
        epochs=1,
        width=4,
        calibration_images=4,
    )
    about = api.describe(out)
    assert about["method"] == "ringvote"
    assert about["val_centre_distance"] > 0
    assert not api.load(out).told
    with pytest.raises(InputError, match="either"):
        api.train("ringvote", None, tmp_path / "other")
    with pytest.raises(InputError, match="recipe is for --photos"):
        api.train("ringvote", photo_folder, tmp_path / "other", recipe=recipe)
    with pytest.raises(InputError, match="from a dataset"):
        api.train("patchcore", None, tmp_path / "other", photos=photo_folder)


def test_training_and_validation_photos_differ(photo_folder: Path) -> None:
    train, val = endless.split(photo_folder, (REGIONS,), seed=3)
    assert not set(train.names) & set(val.names)
    assert len(train.names) + len(val.names) == 8


def test_training_works_with_only_images_of_many_regions(
    photo_folder: Path, tmp_path: Path
) -> None:
    """Their centres are no targets, so there is no distance."""
    stage = Stage({"size": [96, 96], "margin": 0, "radius": [6, 8]}, max_regions=8)
    source = Endless(photo_folder, (stage,), 1, length=2)
    assert len(source.multi_region(0)[1]) > 4
    RingVote(epochs=1, batch=1, width=4, calibration_images=2, device="cpu", progress=False).fit(
        source, Endless(photo_folder, (stage,), 2, length=1), tmp_path
    )
    assert math.isnan(json.loads((tmp_path / "model.json").read_text())["val_distance"])
