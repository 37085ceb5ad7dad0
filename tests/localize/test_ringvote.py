"""The learned ring voter: its features are the filter's, its votes add up, its training resumes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from localize import api, cli, endless
from localize.endless import Endless, Mix
from localize.localizer import Told, load
from localize.methods.boundary import LUMA
from localize.methods.ringvote import locating, odds, searching, training
from localize.methods.ringvote.features import CHANNELS, features
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import POOL, REACH, STEPS, Trunk, between, cells, tempered
from localize.methods.ringvote.voting import ARCS, circle, counts, square
from synth import InputError, anomaly, console, renderer, scenes
from synth.anomaly import Anomaly, Shape, apply

LESSONS = Mix({"size": [64, 64], "margin": 0}, {"radius": [[8, 12]], "shape": ["circle", "square"]})


@pytest.fixture(autouse=True, scope="module")
def small_lessons() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(odds, "SIZES", ((96, 80), (80, 112)))
        yield


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def hidden(shape: str = "circle", overflow: str = "clip", ratio: float = 1.12) -> tuple:
    """A procedural photo with a region, JPEG 90, and the region."""
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(91, 72, 34, ratio, shape, overflow)  # type: ignore[arg-type]
    coded = renderer.encode(anomaly.apply(photo, truth), "jpeg", 90)
    return renderer.decode(coded), truth


@pytest.fixture(scope="module")
def trained() -> Trunk:
    """The network that comes along."""
    network = load("ringvote-told", device="cpu").network
    assert isinstance(network, Trunk)
    return network


def lively(width: int = 8) -> Trunk:
    """A network whose evidence differs from place to place."""
    torch.manual_seed(0)
    network = Trunk(width)
    for last in (network.decide, network.survey):
        torch.nn.init.normal_(last.weight)
    return network.eval()


def planes(image: np.ndarray) -> np.ndarray:
    return features(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()


def test_features_are_finite() -> None:
    for image in (noise(20, 31), np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)):
        found = planes(image)
        assert found.shape == (CHANNELS, *image.shape[:2])
        assert np.isfinite(found).all()


def test_features_treat_rows_as_columns() -> None:
    """Every plane of a picture with x and y exchanged is a plane of the picture itself."""
    image = noise(24, 30)
    ours, turned = planes(image), planes(np.ascontiguousarray(image.swapaxes(0, 1)))
    for plane in turned.swapaxes(1, 2):
        assert min(float(abs(plane - each).max()) for each in ours) < 1e-4


def test_a_step_is_seen_where_it_is_and_an_even_brightening_is_not() -> None:
    image = np.full((20, 30, 3), 100, np.uint8)
    image[:, :12] = 110
    found = planes(image)[0]
    assert found[:, 11] == pytest.approx(math.asinh(math.log(114 / 104) / 0.02), abs=1e-4)
    assert abs(np.delete(found, 11, axis=1)).max() < 1e-5


def test_cells_average_nothing() -> None:
    x = torch.randn(2, 3, 8, 6)
    assert torch.equal(cells(x), torch.nn.functional.pixel_unshuffle(x, 2))


@pytest.mark.parametrize("sign", [1, -1])
def test_between_ratios_is_interpolated(sign: int) -> None:
    def centre(step: float) -> float:
        return float(np.dot(between(math.exp(sign * step)), STEPS))

    for step in (0.02, 0.035, 0.06, 0.1, 0.16):
        assert centre(step) == pytest.approx(sign * step)
    assert centre(0.5) == pytest.approx(sign * 0.16)  # beyond: the last
    assert centre(0.005) == pytest.approx(sign * 0.02)  # never across 1


@pytest.mark.parametrize(("outline", "shape"), [(circle, "circle"), (square, "square")])
@pytest.mark.parametrize("r", [1.0, 7.3, 20.0])
def test_an_outline_is_the_last_pixels_inside(outline, shape: str, r: float) -> None:
    dx, dy = 0.25, -0.5
    mask = anomaly.mask(Anomaly(30 + dx, 30 + dy, r, 1.1, shape), 61, 61)  # type: ignore[arg-type]
    rows, cols, weights = outline(r, dx, dy)
    drawn = np.zeros_like(mask)
    drawn[rows + 30, cols + 30] = True
    closed = mask.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        closed &= np.roll(mask, step, axis)
    assert np.array_equal(drawn, mask & ~closed)
    assert np.allclose(weights.sum(axis=1), 1)
    assert weights.shape[1] == ARCS


def test_outward_directions_point_outward() -> None:
    rows, cols, weights = circle(20.0)
    main = weights.argmax(axis=1) * 2 * math.pi / ARCS
    assert (np.cos(main) * cols + np.sin(main) * rows > 0.9 * 19).all()


@pytest.mark.parametrize("together", [ARCS, 3, 1])
def test_counts_are_sums_along_the_arcs(together: int) -> None:
    sizes = (40, 50)
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(ARCS, *sizes))).float()
    found: list[list[np.ndarray]] = [[], []]
    for number, maps in counts(torch.fft.rfft2(evidence), 9.5, sizes, together):
        assert len(maps) <= together
        found[number] += list(maps.numpy())
    for shape, maps in zip((circle, square), found, strict=True):
        rows, cols, weights = shape(9.5)
        arcs = np.flatnonzero(weights.any(axis=0))
        assert len(maps) == len(arcs)
        for y, x in ((10, 10), (29, 39), (17, 25)):
            sums = (evidence[:, rows + y, cols + x].numpy() * weights.T).sum(axis=1)
            assert [float(m[y, x]) for m in maps] == pytest.approx(sums[arcs].tolist(), abs=1e-3)


def test_a_ballot_counts_as_the_transform_does() -> None:
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(ARCS, 40, 50))).float()
    network = Trunk(4)
    with torch.no_grad():
        whole = network.fine.logits(counts(torch.fft.rfft2(evidence), 9.5, (40, 50)), 9.5)
    ballot = locating.Ballot(network, evidence.numpy(), 9.5)
    places = ((10, 10), (39, 29), (25, 17))
    for (x, y), logits in zip(places, ballot.logits(*np.array(places).T).T, strict=True):
        assert np.logaddexp(*logits) == pytest.approx(float(whole[y, x]), abs=1e-3)
    assert (ballot.logits(np.array([3]), np.array([20])) == -math.inf).all()


def test_one_clear_arc_counts_for_less_than_all_faint_ones() -> None:
    knee = torch.tensor(4.0)
    votes = tempered(torch.tensor([-50.0, 0.0, 4.0, 80.0]), knee).tolist()
    assert votes == pytest.approx([-50, 0, 4 * math.log(2), 4 * math.log(21)])
    one, all_around = torch.zeros(8), torch.full((8,), 4.0)
    one[3] = 80
    assert float(tempered(one, knee).sum()) < float(tempered(all_around, knee).sum())


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("overflow", ["clip", "wrap"])
@pytest.mark.parametrize("ratio", [1.12, 0.89])
def test_told_it_finds(trained: Trunk, shape: str, overflow: str, ratio: float) -> None:
    image, truth = hidden(shape, overflow, ratio)
    found = locating.find(trained, image, Told(truth.r, truth.discolor_ratio))
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1


def test_strips_give_the_evidence_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = lively(), noise(131, 38)
    whole = locating.surveyed(network, image, 1.1, 0.95)
    assert whole[0].shape == (2, ARCS, 131, 38)
    assert whole[1].shape[2:] == (-(-131 // POOL), -(-38 // POOL))
    monkeypatch.setattr(locating, "STRIP", 38 * 24)
    assert REACH < 131 - 24
    for strips, at_once in zip(locating.surveyed(network, image, 1.1, 0.95), whole, strict=True):
        assert torch.allclose(strips, at_once, atol=1e-3)


def test_nothing_beyond_the_reach_changes_evidence() -> None:
    network, image = lively(), noise(120, 120)
    far = image.copy()
    far[:, 60 + REACH + 1 :] = 0
    one, two = (locating.evidence(network, each, 1.1)[..., :61] for each in (image, far))
    assert torch.allclose(one, two, atol=1e-4)


def test_a_centre_between_pixels_is_found(trained: Trunk) -> None:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(90.5, 72.5, 34, 1.15)
    found = locating.find(trained, anomaly.apply(photo, truth), Told(34, 1.15))
    assert math.hypot(found.x - truth.x, found.y - truth.y) <= 0.36


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1), (65, 33)])
def test_a_region_too_large_for_the_image_is_in_its_middle(shape: tuple[int, int]) -> None:
    found = locating.find(Trunk(8), noise(*shape), Told(500, 1.1))
    assert 0 <= found.x <= shape[1] - 1
    assert 0 <= found.y <= shape[0] - 1
    assert np.isfinite(found.score)
    assert found.map is not None
    assert found.map.shape == shape
    assert np.isfinite(found.map).all()


def test_untold_it_searches(trained: Trunk) -> None:
    image, truth = hidden(ratio=1.15)
    found = searching.search(trained, image)
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
    assert found.r == pytest.approx(truth.r, abs=1)
    assert found.ratio == pytest.approx(truth.discolor_ratio, abs=0.03)
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    clean = searching.search(trained, renderer.decode(renderer.encode(photo, "jpeg", 90)))
    assert found.score is not None
    assert clean.score is not None
    assert found.score > clean.score + 5


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1)])
def test_a_search_in_a_tiny_image_ends(shape: tuple[int, int]) -> None:
    found = searching.search(Trunk(8), noise(*shape))
    assert np.isfinite([found.x, found.y, found.score]).all()


def test_the_loss_is_lowest_at_the_truth() -> None:
    y, x = np.mgrid[:64, :64]
    truth = Anomaly(40.2, 30.7, 10, 1.1)
    losses = []
    for dx in (0, 2, 8):
        logits = -((x - truth.x - dx) ** 2 + (y - truth.y) ** 2) / 2
        loss, far = training.centre_loss(torch.from_numpy(logits).float(), truth, [])
        losses.append(float(loss))
        assert far == pytest.approx(math.hypot(dx, 0), abs=1)
    assert losses == sorted(losses)


def test_where_a_region_is_on_squares() -> None:
    """The centre of a square of POOL px lies between its middle pixels."""
    small = training.shrunk(Anomaly(5.5, 9.5, 8, 1.1))
    assert (small.x, small.y, small.r) == (1.0, 2.0, 2.0)


def test_other_regions_are_no_wrong_answers() -> None:
    truth, other = Anomaly(20, 20, 10, 1.1), Anomaly(45, 45, 10, 1.1)
    logits = torch.zeros(64, 64)
    logits[45, 45] = 10
    alone, far = training.centre_loss(logits, truth, [])
    assert far == pytest.approx(math.hypot(25, 25))
    assert float(training.centre_loss(logits, truth, [other])[0]) < float(alone) - 0.1


@pytest.fixture(scope="module")
def run(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fit(photo_folder, folder)
    return folder


def fit(
    photo_folder: Path, folder: Path, stop: tuple[str, int] | None = None, seed: int = 0
) -> None:
    localizer = RingVote(epochs=2, batch=1, width=4, lessons=3, seed=seed, device="cpu")

    @contextmanager
    def progress(what: str) -> Iterator[Callable[[int, int], None]]:
        def step(done: int, total: int) -> None:
            if (what, done) == stop:
                raise KeyboardInterrupt

        yield step

    localizer.progress = progress
    source = Endless(photo_folder, (LESSONS,), 1, length=3)
    localizer.fit(source, Endless(photo_folder, (LESSONS,), 2, length=2), folder)


@pytest.mark.parametrize("stop", [("training", 5), ("odds", 2)])
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
    image, truth = hidden()
    told = [Told(truth.r, truth.discolor_ratio)]
    loaded = RingVote.load(run, device="cpu")
    assert loaded.network is not None
    assert bool(loaded.network.decide.weight.abs().sum() > 0)
    assert loaded.locate([image], told) == RingVote.load(run, "best", "cpu").locate([image], told)


def test_weights_that_do_not_fit_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run" / "best.safetensors"
    weights.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="does not fit"):
        RingVote.load(tmp_path / "run")
    weights.unlink()
    with pytest.raises(InputError, match="missing"):
        RingVote.load(tmp_path / "run")


def test_the_api_trains_on_photos_and_a_recipe(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localize.methods.ringvote.method.EPOCH", 2)
    monkeypatch.setattr("localize.endless.VAL", 2)
    mix = tmp_path / "mix.json"
    mix.write_text(json.dumps({"stages": [{"recipe": LESSONS.common, "any": LESSONS.any}]}))
    out = tmp_path / "run"
    api.train("ringvote", None, out, photos=photo_folder, recipe=mix, epochs=1, width=4, lessons=4)
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


def test_it_must_be_trained_and_told() -> None:
    with pytest.raises(InputError, match="trained"):
        RingVote(device="cpu").locate([noise(9, 9)], [Told(2, 1.1)])
    with pytest.raises(InputError, match="above 0"):
        RingVote(learning_rate=0, device="cpu")


def test_find_needs_neither_training_nor_hints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = hidden(ratio=1.15)
    Image.fromarray(image).save(tmp_path / "hidden.png")
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    Image.fromarray(photo).save(tmp_path / "clean.png")
    told = ["--r", truth.r, "--ratio", truth.discolor_ratio]
    answers = []
    for name, *flags in (("hidden.png",), ("hidden.png", *told), ("clean.png",)):
        words = ["find", tmp_path / name, *flags]
        assert console.run(cli.app, "localize", [str(word) for word in words]) == 0
        answers.append(capsys.readouterr().out)
    for answer, near in zip(answers, (0.6, 0.3), strict=False):
        x, y, r = (float(word) for word in answer.split()[2:7:2])
        assert (x, y, r) == pytest.approx((truth.x, truth.y, truth.r), abs=near)
    assert "r 34  ratio 1.15  confidence" in answers[1]
    assert "nothing found" in answers[2]
    assert all("nothing" not in answer for answer in answers[:2])


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [1.03, 1.12])
def test_the_ratio_is_measured_across_the_edge(shape: Shape, ratio: float) -> None:
    """Within three of its own standard errors; where nothing was changed it says 1."""
    rng = np.random.default_rng(3)
    clean = rng.integers(90, 150, (200, 220, 3), dtype=np.uint8)
    image = apply(clean, Anomaly(100.0, 90.0, 40.0, ratio, shape=shape), rng)
    for pixels, truth in ((image, ratio), (clean, 1.0)):
        step, error = searching.measured(
            pixels.astype(np.float32) @ LUMA, 100.0, 90.0, 40.0, shape == "square"
        )
        assert abs(step - math.log(truth)) < 3 * error
        assert error < 0.04


def test_a_likelier_wrong_radius_costs_as_much_as_a_wrong_place() -> None:
    truth = Anomaly(20, 20, 10, 1.1)
    logits = torch.zeros(64, 64)
    logits[20, 20] = 14
    alone, near = training.centre_loss(logits, truth, [])
    assert near == 0
    for rival, more in ((-20.0, 0.0), (14.0, math.log(2))):
        loss, far = training.centre_loss(logits, truth, [], torch.tensor(rival))
        assert float(loss) == pytest.approx(float(alone) + more, abs=0.1)
        assert far == 0


@pytest.mark.parametrize("size", [(320, 320), (64, 48), (9, 9)])
def test_a_rival_fits_and_comes_again(size: tuple[int, int]) -> None:
    regions = [[Anomaly(20.25 + n, -0.4, 10, 1.1)] for n in range(40)]  # centres may lie outside
    drawn = [training.rival(each, size) for each in regions]
    assert drawn == [training.rival(each, size) for each in regions]
    assert len({which for _, which in drawn}) > 3
    assert all(1 <= r <= (min(size) - 1) / 2 for r, _ in drawn)
    assert len({r for r, _ in drawn}) == (40 if min(size) > 44 else 1)


def test_a_rival_is_not_wrong_at_the_regions_themselves() -> None:
    network, region = lively(), Anomaly(40, 40, 12, 1.1)
    evidence = torch.full((ARCS, 80, 80), -1.0)
    rows, cols, weights = circle(20.0)
    for there, likely in ((Anomaly(44, 40, 12, 1.1), False), (Anomaly(30, 55, 12, 1.1), True)):
        planes = evidence.clone()
        planes[:, rows + round(there.y), cols + round(there.x)] += 9 * torch.from_numpy(weights.T)
        wrong = training.wrong_ones(network.fine, planes, 20.0, [region])
        assert (float(wrong.detach()) > 0) == likely
