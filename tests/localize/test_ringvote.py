"""The learned ring voter: features as the filter's, votes that add up, regions that are found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from localize.cli import main
from localize.localizer import Known, Told
from localize.methods.boundary import LUMA
from localize.methods.hough.aggregation import tempered
from localize.methods.hough.refinement import Ballot
from localize.methods.hough.voting import ARCS, KINDS, PLANES, SIDES, circle, counts, square
from localize.methods.ringvote import predict_image_only, predict_told
from localize.methods.ringvote.features import CHANNELS, features
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import (
    BANDS,
    HYPOTHESES,
    POOL,
    REACH,
    STEPS,
    Trunk,
    band,
    between,
    mixed,
)
from synth import InputError, anomaly, console, renderer, scenes
from synth.anomaly import Anomaly, Shape, apply


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def hidden(shape: str = "circle", overflow: str = "clip", ratio: float = 1.12) -> tuple:
    """A procedural photo with a region, JPEG 90, and the region."""
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(91, 72, 34, ratio, shape, overflow)  # type: ignore[arg-type]
    coded = renderer.encode(anomaly.apply(photo, truth), "jpeg", 90)
    return renderer.decode(coded), truth


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
    assert weights.shape[1] == (ARCS if shape == "circle" else SIDES)


def test_outward_directions_point_outward() -> None:
    rows, cols, weights = circle(20.0)
    main = weights.argmax(axis=1) * 2 * math.pi / ARCS
    assert (np.cos(main) * cols + np.sin(main) * rows > 0.9 * 19).all()


@pytest.mark.parametrize("together", [KINDS, 3, 1])
def test_counts_are_sums_along_the_arcs(together: int) -> None:
    sizes = (40, 50)
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(KINDS, *sizes))).float()
    found: list[list[np.ndarray]] = [[], []]
    for number, maps in counts(torch.fft.rfft2(evidence), 9.5, sizes, together):
        assert len(maps) <= together
        found[number] += list(maps.numpy())
    for shape, maps, kinds in zip((circle, square), found, PLANES, strict=True):
        rows, cols, weights = shape(9.5)
        arcs = np.flatnonzero(weights.any(axis=0))
        assert len(maps) == len(arcs)
        for y, x in ((10, 10), (29, 39), (17, 25)):
            sums = (evidence[kinds, rows + y, cols + x].numpy() * weights.T).sum(axis=1)
            assert [float(m[y, x]) for m in maps] == pytest.approx(sums[arcs].tolist(), abs=1e-3)


def test_a_ballot_counts_as_the_transform_does() -> None:
    evidence = torch.from_numpy(np.random.default_rng(0).normal(size=(KINDS, 40, 50))).float()
    network = Trunk(4)
    with torch.no_grad():
        whole = network.fine.logits(counts(torch.fft.rfft2(evidence), 9.5, (40, 50)), 9.5)
    ballot = Ballot(network.fine, evidence, np.array([9.5]))
    places = ((10, 10), (39, 29), (25, 17))
    found = ballot.logits(*np.array(places).T)
    assert found.shape == (1, 2, 3)
    for (x, y), logit in zip(places, found[0].logsumexp(0).tolist(), strict=True):
        assert logit == pytest.approx(float(whole[y, x]), abs=1e-3)
    assert (ballot.logits(np.array([3]), np.array([20])) == -math.inf).all()


def test_ballots_together_count_as_each_alone() -> None:
    """Of several radii and offsets, at places of their own; some leave the image."""
    rng = np.random.default_rng(0)
    evidence = torch.from_numpy(rng.normal(size=(KINDS, 60, 70))).float()
    network, n = Trunk(4), 12
    r, dx, dy = rng.uniform(0.3, 20, n), *rng.uniform(-0.5, 0.5, (2, n))
    r[:2], dx[1], dy[1] = 0.2, 0.5, 0.5  # too small for any pixel, but one in the middle
    dx[0] = dy[0] = 0
    cols, rows = rng.integers(0, 70, (n, 5)), rng.integers(0, 60, (n, 5))
    found = Ballot(network.fine, evidence, r, dx, dy).logits(cols, rows)
    for k in range(n):
        one = Ballot(network.fine, evidence, r[k : k + 1], dx[k], dy[k]).logits(cols[k], rows[k])[0]
        assert torch.allclose(found[k], one, atol=1e-4)
        inside = (abs(cols[k] + dx[k] - 34.5) <= 34.5 - r[k]) & (
            abs(rows[k] + dy[k] - 29.5) <= 29.5 - r[k]
        )
        assert torch.isfinite(found[k]).all(0).numpy()[inside].all() == (k != 1)
    assert (found[1] == -math.inf).all()


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
    found = predict_told.find(trained, image, Told(truth.r, truth.discolor_ratio))
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1


def test_a_band_of_radii_has_weights_of_its_own(lively: Trunk) -> None:
    network, image = lively, torch.from_numpy(noise(24, 24)).permute(2, 0, 1)[None].float()
    seen = network.seen(image)
    kinds = [(1.1, band(r)) for r in (20, 30, 50, 200)]
    assert [which for _, which in kinds] == list(range(len(BANDS) + 1))
    together = network.evidence(seen, mixed(kinds)[None])[0]
    assert together.shape == (4, KINDS, 24, 24)
    for number, kind in enumerate(kinds):
        alone = network.evidence(seen, mixed([kind])[None])[0, 0]
        assert torch.allclose(alone, together[number], atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=0.1)


@torch.inference_mode()
def test_strips_see_what_the_whole_does(lively: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = lively, noise(223, 38)
    whole = predict_told.looked(network, image)
    evidence = predict_told.evidence(network, whole, 1.1, 30)
    assert whole.shape == (1, 8, 112, 20)
    assert evidence.shape == (KINDS, 224, 40)
    assert network.surveyed(whole).shape == (1, len(HYPOTHESES), 4, KINDS, 224 // POOL, 40 // POOL)
    monkeypatch.setattr(predict_told, "STRIP", 38 * 24)
    assert REACH < 223 - 24
    assert torch.allclose(predict_told.looked(network, image), whole, atol=1e-3)
    assert torch.allclose(predict_told.evidence(network, whole, 1.1, 30), evidence, atol=1e-4)


def test_nothing_beyond_the_reach_is_seen(lively: Trunk) -> None:
    network, image = lively, noise(200, 200)
    far = image.copy()
    far[:, 100 + REACH + 1 :] = 0
    one, two = (predict_told.looked(network, each)[..., :51] for each in (image, far))
    assert torch.allclose(one, two, atol=1e-4)


def test_a_centre_between_pixels_is_found(trained: Trunk) -> None:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    truth = Anomaly(90.5, 72.5, 34, 1.15)
    found = predict_told.find(trained, anomaly.apply(photo, truth), Told(34, 1.15))
    assert math.hypot(found.x - truth.x, found.y - truth.y) <= 0.36


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1), (65, 33)])
def test_a_region_too_large_for_the_image_is_in_its_middle(shape: tuple[int, int]) -> None:
    found = predict_told.find(Trunk(8), noise(*shape), Told(500, 1.1))
    assert 0 <= found.x <= shape[1] - 1
    assert 0 <= found.y <= shape[0] - 1
    assert np.isfinite(found.score)
    assert found.map is not None
    assert found.map.shape == shape
    assert np.isfinite(found.map).all()


def test_untold_it_searches(trained: Trunk) -> None:
    image, truth = hidden(ratio=1.15)
    found = predict_image_only.search(trained, image)
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
    assert found.r == pytest.approx(truth.r, abs=1)
    assert found.ratio == pytest.approx(truth.discolor_ratio, abs=0.03)
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    clean = predict_image_only.search(trained, renderer.decode(renderer.encode(photo, "jpeg", 90)))
    assert found.score is not None
    assert clean.score is not None
    assert found.score > clean.score + 5


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1)])
@pytest.mark.parametrize("known", [Known(), Known((0.4, 3)), Known((50, 900), (0.01, 99))])
def test_a_search_in_a_tiny_image_ends(shape: tuple[int, int], known: Known) -> None:
    found = predict_image_only.search(Trunk(8), noise(*shape), known)
    assert np.isfinite([found.x, found.y, found.score]).all()


def test_it_must_be_trained_and_told() -> None:
    with pytest.raises(InputError, match="trained"):
        RingVote(device="cpu").locate([noise(9, 9)], [Told(2, 1.1)])
    with pytest.raises(InputError, match="above 0"):
        RingVote(learning_rate=0, device="cpu")


def test_find_heeds_what_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of radius and ratio either or both, or from where to where they are."""
    image, truth = hidden(ratio=1.15)
    Image.fromarray(image).save(tmp_path / "hidden.png")
    r, ratio = f"{truth.r - 9}:{truth.r + 5}", "1.02:1.2"
    for flags in (
        ["--r", r], ["--ratio", ratio], ["--r", r, "--ratio", ratio], ["--r", str(truth.r)],
        ["--r", r, "--method", "ringvote-careful"],
    ):  # fmt: skip
        words = ["find", str(tmp_path / "hidden.png"), *flags]
        assert console.run(main.app, "localize", words) == 0
        answer = capsys.readouterr().out
        assert "nothing" not in answer
        assert [float(word) for word in answer.split()[2:7:2]] == pytest.approx(
            (truth.x, truth.y, truth.r), abs=0.6
        )
    words = ["find", str(tmp_path / "hidden.png"), "--r", "45:60"]
    assert console.run(main.app, "localize", words) == 0
    answer = capsys.readouterr().out  # one must not be there to be likeliest
    assert "nothing found" in answer
    assert 45 <= float(answer.split()[answer.split().index("r") + 1]) <= 60


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
        assert console.run(main.app, "localize", [str(word) for word in words]) == 0
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
        step, error = predict_image_only.measured(
            pixels.astype(np.float32) @ LUMA, 100.0, 90.0, 40.0, shape == "square"
        )
        assert abs(step - math.log(truth)) < 3 * error
        assert error < 0.04
