"""How the ring voter learns: its lessons, its losses, a run that is interrupted."""

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
from localize.data.endless import Endless, Mix
from localize.localizer import Told
from localize.methods.hough import voting
from localize.methods.hough.voting import KINDS
from localize.methods.ringvote import platt
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import Trunk, band
from localize.methods.ringvote.train import losses, targets
from localize.methods.ringvote.train.packing import packed
from synth import InputError, scenes
from synth.anomaly import Anomaly

LESSONS = Mix({"size": [64, 64], "margin": 0}, {"radius": [[8, 12]], "shape": ["circle", "square"]})


@pytest.fixture(autouse=True, scope="module")
def small_lessons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platt, "SIZES", ((96, 80), (80, 112)))
        yield


def ask(regions: list[Anomaly], size: tuple[int, int] = (64, 64)) -> targets.Asked:
    """The regions' centres, and those of a rival of radius 20 px."""
    return targets.asked([regions], [band(regions[0].r)], [20.0], size)


def lost(logits: torch.Tensor, asked: targets.Asked) -> tuple[float, float]:
    """(H, W) logits of the first asked -> its cross-entropy, and the best pixel's distance."""
    all_, right, far = losses.centres(logits[None], asked, slice(0, 1))
    return float(all_ - right), float(far)


def test_the_loss_is_lowest_at_the_truth() -> None:
    y, x = np.mgrid[:64, :64]
    truth = Anomaly(40.2, 30.7, 10, 1.1)
    found = []
    for dx in (0, 2, 8):
        logits = -((x - truth.x - dx) ** 2 + (y - truth.y) ** 2) / 2
        loss, far = lost(torch.from_numpy(logits).float(), ask([truth]))
        found.append(loss)
        assert far == pytest.approx(math.hypot(dx, 0), abs=1)
    assert found == sorted(found)


def test_centres_where_the_region_does_not_fit_are_no_answers() -> None:
    logits = torch.zeros(64, 64)
    logits[5, 30] = 50
    logits[30, 40] = 20
    loss, far = lost(logits, ask([Anomaly(40, 30, 10, 1.1)]))
    assert (loss, far) == (pytest.approx(0, abs=1e-4), 0)


def test_where_a_region_is_on_squares() -> None:
    """The centre of a square of POOL px lies between its middle pixels."""
    small = targets.shrunk(Anomaly(5.5, 9.5, 8, 1.1))
    assert (small.x, small.y, small.r) == (1.0, 2.0, 2.0)


def test_other_regions_are_no_wrong_answers() -> None:
    truth, other = Anomaly(20, 20, 10, 1.1), Anomaly(45, 45, 10, 1.1)
    logits = torch.zeros(64, 64)
    logits[45, 45] = 10
    alone, far = lost(logits, ask([truth]))
    assert far == pytest.approx(math.hypot(25, 25))
    assert lost(logits, ask([truth, other]))[0] < alone - 0.1


def test_voters_on_the_device_count_as_the_search_does(lively: Trunk) -> None:
    """What training sums up for a centre is what `voting.counts` does."""
    network, sizes = lively, (64, 64)
    asked = ask([Anomaly(30.5, 31, 12, 1.1), Anomaly(30, 31, 9.5, 1.1)])
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(1, KINDS, *sizes))).float()
    spectrum = torch.fft.rfft2(evidence)
    logits = losses.voted(
        network.fine, spectrum.expand(2, -1, -1, -1), asked, slice(0, 2), sizes, 1
    )
    for number, r in enumerate((12.0, 9.5)):
        ours = network.fine.logits(voting.counts(spectrum[0], r, sizes), r)
        assert torch.allclose(ours[16:48, 16:48], logits[number, 16:48, 16:48], atol=1e-3)


def test_pictures_learn_the_same_together_and_one_by_one(lively: Trunk, photo_folder: Path) -> None:
    mix = Mix({"size": [64, 64], "margin": 0}, {"radius": [[20, 24], [26, 28]]}, crowd=1)
    network, found = lively, []
    for together in (4, 1):
        network.zero_grad()
        total = 0.0
        (batch,) = targets.Lessons(Endless(photo_folder, (mix,), 5), 0, 4, 4, together)
        for each in batch:
            loss, far = losses.lesson_loss(network, each)
            assert len(far) == len(each.images) <= together
            (loss * len(each.images) / 4).backward()
            total += float(loss.detach()) * len(each.images) / 4
        assert network.decide.weight.grad is not None
        found.append((total, network.decide.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)


def test_a_parcel_holds_what_was_put_in(photo_folder: Path) -> None:
    (batch,) = targets.Lessons(Endless(photo_folder, (LESSONS,), 5), 0, 1, 1, 1)
    thing = {"lessons": batch, "none": torch.empty(0, 3), "flags": torch.tensor([True, False])}
    back = packed(thing).opened(torch.device("cpu"))
    assert back["none"].shape == (0, 3)
    assert back["flags"].tolist() == [True, False]
    for name, value in vars(batch[0].fine).items():
        other = getattr(back["lessons"][0].fine, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


def votes_for(regions: list[Anomaly], logits: list[torch.Tensor]) -> tuple[float, list[float]]:
    """Of each asked the (H, W) logits -> the loss, and the distances."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "voted", lambda _, __, ___, some, *____: torch.stack(logits[some]))
        loss, far = losses.vote_loss(Trunk(4).fine, torch.zeros(1, 2, KINDS, 64, 64), ask(regions))
    return float(loss), far.tolist()


def test_a_likelier_wrong_radius_costs_as_much_as_a_wrong_place() -> None:
    truth = Anomaly(20, 20, 10, 1.1)
    logits, elsewhere = torch.full((64, 64), -20.0), torch.full((64, 64), -99.0)
    logits[20, 20] = 14
    alone, near = votes_for([truth], [logits, elsewhere])
    assert near == [0]
    elsewhere[40, 40] = 14 - math.log(losses.RIVALS)
    loss, near = votes_for([truth], [logits, elsewhere])
    assert loss == pytest.approx(alone + math.log(2), abs=0.01)
    assert near == [0]


@pytest.mark.parametrize("size", [(320, 320), (64, 48), (9, 9)])
def test_a_rival_fits_and_comes_again(size: tuple[int, int]) -> None:
    regions = [[Anomaly(20.25 + n, -0.4, 10, 1.1)] for n in range(40)]  # centres may lie outside
    drawn = [targets.rival(each, size) for each in regions]
    assert drawn == [targets.rival(each, size) for each in regions]
    assert len({which for _, which in drawn}) > 3
    assert all(1 <= r <= (min(size) - 1) / 2 for r, _ in drawn)
    assert len({r for r, _ in drawn}) == (40 if min(size) > 44 else 1)


def test_a_rival_is_not_wrong_at_the_regions_themselves() -> None:
    truth = Anomaly(40, 30, 10, 1.1)
    logits, elsewhere = torch.full((64, 64), -20.0), torch.full((64, 64), -99.0)
    logits[30, 40] = 14
    alone, _ = votes_for([truth], [logits, elsewhere])
    for x, worse in ((36, False), (22, True)):
        wrong = elsewhere.clone()
        wrong[30, x] = 30
        assert (votes_for([truth], [logits, wrong])[0] > alone + 1) == worse


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
    source = Endless(photo_folder, (LESSONS,), 1, length=3)
    localizer.fit(source, Endless(photo_folder, (LESSONS,), 2, length=2), folder)


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


def test_a_run_folder_says_what_it_learned_from(run: Path) -> None:
    about = json.loads((run / "model.json").read_text())
    assert about["source"]["mixes"][0]["common"]["size"] == [64, 64]
    assert about["last_epoch"] == 2
    assert not (run / "last.ckpt").exists()


def test_training_changes_the_weights_and_loading_keeps_them(run: Path) -> None:
    image, told = scenes.scene(200, 160, np.random.default_rng(4)), [Told(34, 1.12)]
    loaded = RingVote.load(run, device="cpu")
    assert loaded.network is not None
    assert bool(loaded.network.decide.weight.abs().sum() > 0)
    assert loaded.locate([image], told) == RingVote.load(run, "best", "cpu").locate([image], told)


def test_training_goes_on_from_known_weights(run: Path, photo_folder: Path, tmp_path: Path) -> None:
    """With a rate of next to nothing they stay what they are, but for what is fitted last."""
    source = Endless(photo_folder, (LESSONS,), 1, length=3)
    known = {"epochs": 1, "width": 4, "calibration_images": 2, "device": "cpu", "progress": False}
    RingVote(start=run, learning_rate=1e-12, **known).fit(source, source, tmp_path)
    first, second = (load_file(folder / "best.safetensors") for folder in (run, tmp_path))
    learned = [name for name in first if "odds" not in name]
    assert len(learned) > 20
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in learned)
    about = json.loads((tmp_path / "model.json").read_text())
    digest = hashlib.sha256((run / "best.safetensors").read_bytes()).hexdigest()
    assert about["start"] == {"name": run.name, "sha256": digest}


def test_weights_to_go_on_from_must_be_there_and_fit(
    run: Path, photo_folder: Path, tmp_path: Path
) -> None:
    source = Endless(photo_folder, (LESSONS,), 1, length=3)
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
    monkeypatch.setattr("localize.data.endless.VAL", 2)
    mix = tmp_path / "mix.json"
    mix.write_text(json.dumps({"stages": [{"recipe": LESSONS.common, "any": LESSONS.any}]}))
    out = tmp_path / "run"
    api.train(
        "ringvote",
        None,
        out,
        photos=photo_folder,
        recipe=mix,
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
    with pytest.raises(InputError, match="drawn already"):
        api.train("ringvote", photo_folder, tmp_path / "other", recipe=mix)
    with pytest.raises(InputError, match="from a dataset"):
        api.train("patchcore", None, tmp_path / "other", photos=photo_folder)


def test_training_and_validation_photos_differ(photo_folder: Path) -> None:
    train, val = endless.split(photo_folder, (LESSONS,), seed=3)
    assert not set(train.names) & set(val.names)
    assert len(train.names) + len(val.names) == 8


def test_crowds_alone_can_be_learned_from(photo_folder: Path, tmp_path: Path) -> None:
    """No centre of theirs is asked for: there is no distance to tell."""
    crowd = Mix({"size": [96, 96], "margin": 0, "radius": [6, 8]}, crowd=8)
    source = Endless(photo_folder, (crowd,), 1, length=2)
    assert len(source.multi_region(0)[1]) > 4
    RingVote(epochs=1, batch=1, width=4, calibration_images=2, device="cpu", progress=False).fit(
        source, Endless(photo_folder, (crowd,), 2, length=1), tmp_path
    )
    assert math.isnan(json.loads((tmp_path / "model.json").read_text())["val_distance"])
