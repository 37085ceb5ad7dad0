"""The network's features and evidence, and the answers of `ringvote`."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from localize.cli import main
from localize.localizer import Known, Told
from localize.methods.hough.outlines import KINDS
from localize.methods.ringvote import evidence, predict_image_only, predict_told
from localize.methods.ringvote.features import (
    CHANNELS,
    MEAN_REACH,
    features,
    mean_around,
    window_sums,
)
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import (
    BANDS,
    HYPOTHESES,
    POOL,
    REACH,
    STEPS,
    RingVoteNet,
    band,
    head_mix,
    interpolate,
)
from synth import InputError, anomaly, console, renderer, scenes
from synth.anomaly import Anomaly, Shape, apply
from synth.colour import LUMA


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@cache
def landscape() -> np.ndarray:
    """A procedural photo of 200 x 160 px; not to be changed."""
    return scenes.scene(200, 160, np.random.default_rng(4))


def hidden(shape: str = "circle", overflow: str = "clip", ratio: float = 1.12) -> tuple:
    """A procedural photo with a region, JPEG 90, and the region."""
    photo = landscape()
    truth = Anomaly(91, 72, 34, ratio, shape, overflow)  # type: ignore[arg-type]
    coded = renderer.encode(anomaly.apply(photo, truth), "jpeg", 90)
    return renderer.decode(coded), truth


def channels_of(image: np.ndarray) -> np.ndarray:
    return features(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].numpy()


def test_features_are_finite() -> None:
    for image in (noise(20, 31), np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)):
        found = channels_of(image)
        assert found.shape == (CHANNELS, *image.shape[:2])
        assert np.isfinite(found).all()


def test_features_treat_rows_as_columns() -> None:
    """The planes of a transposed image are the transposed planes of the image, in another order."""
    image = noise(24, 30)
    ours, turned = channels_of(image), channels_of(np.ascontiguousarray(image.swapaxes(0, 1)))
    for plane in turned.swapaxes(1, 2):
        assert min(float(abs(plane - each).max()) for each in ours) < 1e-4


@given(length=st.integers(1, 20), more=st.integers(0, 9), axis=st.sampled_from([1, 2]))
def test_sums_by_doubling_are_those_of_windows(length: int, more: int, axis: int) -> None:
    values = torch.arange(3.0 * (length + more)).cos().view(1, 3, -1)
    values = values if axis == 2 else values.mT
    expected = values.unfold(axis, length, 1).sum(-1)
    assert torch.allclose(window_sums(values, length, axis), expected, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_mean_around_a_pixel_ends_at_the_image(axis: int) -> None:
    values = torch.from_numpy(noise(11, 40)[None, ..., 0]).float()
    found = mean_around(values, axis).movedim(axis, 0)
    for place in (0, 3, 9, len(found) - 1):
        near = values.movedim(axis, 0)[max(0, place - MEAN_REACH) : place + MEAN_REACH + 1]
        assert torch.allclose(found[place], near.mean(0), atol=1e-3)


def test_a_channel_shows_a_step_and_not_the_level() -> None:
    image = np.full((20, 30, 3), 100, np.uint8)
    image[:, :12] = 110
    found = channels_of(image)[0]
    assert found[:, 11] == pytest.approx(math.asinh(math.log(114 / 104) / 0.02), abs=1e-4)
    assert abs(np.delete(found, 11, axis=1)).max() < 1e-5


@pytest.mark.parametrize("sign", [1, -1])
def test_evidence_is_interpolated_between_ratios(sign: int) -> None:
    def centre(step: float) -> float:
        return float(np.dot(interpolate(math.exp(sign * step)), STEPS))

    for step in (0.02, 0.035, 0.06, 0.1, 0.16):
        assert centre(step) == pytest.approx(sign * step)
    assert centre(0.5) == pytest.approx(sign * 0.16)  # beyond: the last
    assert centre(0.005) == pytest.approx(sign * 0.02)  # never across 1


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("overflow", ["clip", "wrap"])
@pytest.mark.parametrize("ratio", [1.12, 0.89])
def test_the_told_form_finds_the_region(
    trained: RingVoteNet, shape: str, overflow: str, ratio: float
) -> None:
    image, truth = hidden(shape, overflow, ratio)
    found = predict_told.find(trained, image, Told(truth.r, truth.discolor_ratio))
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1


def test_each_band_of_radii_has_its_own_weights(lively: RingVoteNet) -> None:
    network, image = lively, torch.from_numpy(noise(24, 24)).permute(2, 0, 1)[None].float()
    encoding = network.encode(image)
    conditions = [(1.1, band(r)) for r in (20, 30, 50, 200)]
    assert [number for _, number in conditions] == list(range(len(BANDS) + 1))
    together = network.evidence(encoding, head_mix(conditions)[None])[0]
    assert together.shape == (4, KINDS, 24, 24)
    for number, condition in enumerate(conditions):
        alone = network.evidence(encoding, head_mix([condition])[None])[0, 0]
        assert torch.allclose(alone, together[number], atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=0.1)


@torch.inference_mode()
def test_strips_give_the_evidence_of_the_whole_image(
    lively: RingVoteNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, image = lively, noise(223, 38)
    whole = evidence.encode_image(network, image)
    planes = evidence.evidence_of(network, whole, 1.1, 30)
    assert whole.shape == (1, 8, 112, 20)
    assert planes.shape == (KINDS, 224, 40)
    coarse = (1, len(HYPOTHESES), 4, KINDS, 224 // POOL, 40 // POOL)
    assert network.coarse_evidence(whole).shape == coarse
    monkeypatch.setattr(evidence, "STRIP", 38 * 24)
    assert REACH < 223 - 24
    assert torch.allclose(evidence.encode_image(network, image), whole, atol=1e-3)
    assert torch.allclose(evidence.evidence_of(network, whole, 1.1, 30), planes, atol=1e-4)


@torch.inference_mode()
def test_bfloat16_changes_the_evidence_little(
    lively: RingVoteNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = []
    for faster in (False, True):
        monkeypatch.setattr(evidence, "is_bfloat16_faster", lambda _, faster=faster: faster)
        encoding = evidence.encode_image(lively, noise(60, 80))
        assert encoding.dtype == torch.float32
        planes.append(evidence.evidence_of(lively, encoding, 1.1, 30))
    assert 0 < (planes[1] - planes[0]).std() < 0.03 * planes[0].std()


def test_pixels_beyond_the_reach_change_nothing(lively: RingVoteNet) -> None:
    network, image = lively, noise(200, 200)
    other = image.copy()
    other[:, 100 + REACH + 1 :] = 0
    one, two = (evidence.encode_image(network, each)[..., :51] for each in (image, other))
    assert torch.allclose(one, two, atol=1e-4)


def test_a_centre_between_pixels_is_found(trained: RingVoteNet) -> None:
    photo = landscape()
    truth = Anomaly(90.5, 72.5, 34, 1.15)
    found = predict_told.find(trained, anomaly.apply(photo, truth), Told(34, 1.15))
    assert math.hypot(found.x - truth.x, found.y - truth.y) <= 0.36


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1), (65, 33)])
def test_a_region_too_large_for_the_image_is_in_its_middle(shape: tuple[int, int]) -> None:
    found = predict_told.find(RingVoteNet(8), noise(*shape), Told(500, 1.1))
    assert 0 <= found.x <= shape[1] - 1
    assert 0 <= found.y <= shape[0] - 1
    assert np.isfinite(found.score)
    assert found.map is not None
    assert found.map.shape == shape
    assert np.isfinite(found.map).all()


def test_the_image_only_form_finds_place_radius_and_ratio(trained: RingVoteNet) -> None:
    image, truth = hidden(ratio=1.15)
    found = predict_image_only.search(trained, image)
    assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
    assert found.r == pytest.approx(truth.r, abs=1)
    assert found.ratio == pytest.approx(truth.discolor_ratio, abs=0.03)
    photo = landscape()
    clean = predict_image_only.search(trained, renderer.decode(renderer.encode(photo, "jpeg", 90)))
    assert found.score is not None
    assert clean.score is not None
    assert found.score > clean.score + 5


@pytest.mark.parametrize("shape", [(30, 40), (7, 80), (1, 1)])
@pytest.mark.parametrize("known", [Known(), Known((0.4, 3)), Known((50, 900), (0.01, 99))])
def test_a_search_in_a_tiny_image_ends(shape: tuple[int, int], known: Known) -> None:
    found = predict_image_only.search(RingVoteNet(8), noise(*shape), known)
    assert np.isfinite([found.x, found.y, found.score]).all()


def test_it_must_be_trained_and_told() -> None:
    with pytest.raises(InputError, match="trained"):
        RingVote(device="cpu").locate([noise(9, 9)], [Told(2, 1.1)])
    with pytest.raises(InputError, match="above 0"):
        RingVote(learning_rate=0, device="cpu")


def test_find_uses_known_ranges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the radius, the ratio or both, as a number or as a range."""
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
    answer = capsys.readouterr().out  # the likeliest of these radii is still unlikely
    assert "nothing found" in answer
    assert 45 <= float(answer.split()[answer.split().index("r") + 1]) <= 60


def test_find_needs_neither_training_nor_hints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = hidden(ratio=1.15)
    Image.fromarray(image).save(tmp_path / "hidden.png")
    photo = landscape()
    Image.fromarray(photo).save(tmp_path / "clean.png")
    told = ["--r", truth.r, "--ratio", truth.discolor_ratio]
    answers = []
    for name, *flags in (("hidden.png",), ("hidden.png", *told), ("clean.png",)):
        words = ["find", tmp_path / name, *flags]
        assert console.run(main.app, "localize", [str(word) for word in words]) == 0
        answers.append(capsys.readouterr().out)
    for answer, near in zip(answers[:2], (0.6, 0.3), strict=True):
        x, y, r = (float(word) for word in answer.split()[2:7:2])
        assert (x, y, r) == pytest.approx((truth.x, truth.y, truth.r), abs=near)
    assert "r 34  ratio 1.15  confidence" in answers[1]
    assert "nothing found" in answers[2]
    assert all("nothing" not in answer for answer in answers[:2])


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [1.03, 1.12])
def test_the_ratio_is_measured_across_the_edge(shape: Shape, ratio: float) -> None:
    """In noise, the same as without the region but for the ratio."""
    rng = np.random.default_rng(3)
    clean = rng.integers(90, 150, (200, 220, 3), dtype=np.uint8)
    image = apply(clean, Anomaly(100.0, 90.0, 40.0, ratio, shape=shape), rng)
    changed, unchanged = (
        predict_image_only.measure_log_ratio(
            pixels.astype(np.float32) @ LUMA, 100.0, 90.0, 40.0, shape == "square"
        )
        for pixels in (image, clean)
    )
    assert unchanged == pytest.approx(0, abs=0.04)
    assert changed - unchanged == pytest.approx(math.log(ratio), abs=0.002)
