"""`heatmap`: its loss, its training images, its answer, and its start from other weights."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from localize import registry
from localize.data.endless import Endless
from localize.data.folder import Folder
from localize.data.recipe_stages import Stage
from localize.methods.heatmap import prediction
from localize.methods.heatmap.losses import RIGHT, loss_of
from localize.methods.heatmap.network import SQUARE, HeatmapNet, Maps, middles
from localize.methods.heatmap.prediction import FIELDS, best, maps_of
from localize.methods.heatmap.targets import (
    MOST_REGIONS,
    Batch,
    Examples,
    X,
    Y,
    example,
    stack,
)
from localize.methods.heatmap.training import HeatmapTraining, distances_of
from synth import InputError
from synth.anomaly import Anomaly

ROWS, COLUMNS = 6, 9


def maps(log_rate: torch.Tensor, **values: torch.Tensor) -> Maps:
    """Maps with the given rates, and attributes that are 0 unless they are given."""
    zeros = torch.zeros_like(log_rate)
    others = {"offset": torch.stack([zeros, zeros], 1)} | dict.fromkeys(
        ("log_radius", "square", "log_ratio"), zeros
    )
    return Maps(log_rate=log_rate, **(others | values))


def table(*regions: tuple[float, float, float]) -> torch.Tensor:
    """(x, y, r) of the regions of an image, circles of ratio 1 -> (1, MOST_REGIONS, 5)."""
    rows = torch.full((1, MOST_REGIONS, 5), math.nan)
    for row, region in enumerate(regions):
        rows[0, row] = torch.tensor([*region, 0.0, 0.0])
    return rows


def exact_attributes(log_rate: torch.Tensor, x: float, y: float, r: float) -> Maps:
    """Maps whose attributes are those of one circle of ratio 1."""
    dx = (x - middles(COLUMNS, log_rate.device))[None].expand(ROWS, -1)
    dy = (y - middles(ROWS, log_rate.device))[:, None].expand(-1, COLUMNS)
    return maps(
        log_rate,
        offset=torch.stack([dx, dy])[None],
        log_radius=torch.full_like(log_rate, math.log(r)),
        square=torch.full_like(log_rate, -50.0),
    )


SIZE = torch.tensor([[float(COLUMNS * SQUARE), float(ROWS * SQUARE)]])


@given(st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_the_negative_log_likelihood_of_a_poisson_process(seed: int) -> None:
    """With exact attributes: the number of centres, and where one is, from independent squares."""
    rng = np.random.default_rng(seed)
    log_rate = torch.tensor(rng.normal(-2, 1, (1, ROWS, COLUMNS)), dtype=torch.float32)
    x, y = rng.uniform(0, COLUMNS * SQUARE - 1), rng.uniform(0, ROWS * SQUARE - 1)
    loss = loss_of(exact_attributes(log_rate, x, y, 20), table((x, y, 20)), SIZE)
    rates = np.exp(log_rate[0].numpy())
    columns, rows = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    middle = (SQUARE - 1) / 2
    right = np.hypot(SQUARE * columns + middle - x, SQUARE * rows + middle - y) <= RIGHT
    total = rates.sum()
    expected = -poisson.logpmf(1, total) - math.log(rates[right].sum() / total)
    assert float(loss) == pytest.approx(expected, abs=1e-3)


def test_a_clean_image_costs_the_expected_number_of_centres() -> None:
    log_rate = torch.full((1, ROWS, COLUMNS), -3.0)
    loss = loss_of(maps(log_rate), table(), SIZE)
    assert float(loss) == pytest.approx(ROWS * COLUMNS * math.exp(-3), rel=1e-5)


def test_padding_does_not_count() -> None:
    log_rate = torch.full((1, ROWS, COLUMNS), -3.0)
    half = torch.tensor([[SQUARE * 4.0, SQUARE * 3.0]])
    assert float(loss_of(maps(log_rate), table(), half)) == pytest.approx(12 * math.exp(-3))


@pytest.mark.parametrize("name", ["offset", "log_radius", "square", "log_ratio"])
def test_a_wrong_attribute_costs_more(name: str) -> None:
    log_rate = torch.full((1, ROWS, COLUMNS), -3.0)
    right = exact_attributes(log_rate, 14.0, 9.0, 20)
    wrong = dataclasses.replace(right, **{name: getattr(right, name) + 60.0})
    regions = table((14.0, 9.0, 20.0))
    assert loss_of(wrong, regions, SIZE) > loss_of(right, regions, SIZE) + 0.5


def test_several_regions_are_averaged() -> None:
    log_rate = torch.randn(1, ROWS, COLUMNS) - 2
    places = [(5.0, 5.0, 20.0), (30.0, 18.0, 20.0)]
    total = float(log_rate.exp().sum())
    alone = [float(loss_of(maps(log_rate), table(each), SIZE)) for each in places]
    both = float(loss_of(maps(log_rate), table(*places), SIZE))
    assert both == pytest.approx(sum(alone) / 2 - total / 2, abs=1e-4)


@given(st.integers(20, 90), st.integers(20, 90), st.integers(16, 100), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_window_contains_the_centre_of_the_first_region(
    width: int, height: int, window: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    regions = [
        Anomaly(rng.uniform(0, width - 1), rng.uniform(0, height - 1), 3.0, 1.1) for _ in range(4)
    ]
    batch = example(image, regions, window, rng)
    shown = batch["image"].permute(1, 2, 0).numpy()
    assert shown.shape[:2] == (min(height, window), min(width, window))
    found = [row for row in batch["regions"] if not row[X].isnan()]
    assert len(found) >= 1
    first = found[0]
    left, top = regions[0].x - float(first[X]), regions[0].y - float(first[Y])
    assert (left, top) == pytest.approx((round(left), round(top)), abs=1e-4)
    rows, columns = round(top), round(left)
    part = image[rows : rows + shown.shape[0], columns : columns + shown.shape[1]]
    assert np.array_equal(shown, part)
    for row in found:
        assert -0.5 <= row[X] < shown.shape[1]
        assert -0.5 <= row[Y] < shown.shape[0]


def test_images_of_different_sizes_are_padded() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((20, 30), (25, 18))]
    region = Anomaly(10.0, 9.0, 5.0, 1.2, "square")
    batch = stack([example(image, [region], 64, rng) for image in images])
    assert batch["image"].shape == (2, 3, 25, 30)
    assert batch["size"].tolist() == [[30, 20], [18, 25]]
    assert np.array_equal(batch["image"][1, :, :, 17], batch["image"][1, :, :, 29])
    expected = [10.0, 9.0, 5.0, 1.0, math.log(1.2)]
    assert batch["regions"][0, 0].tolist() == pytest.approx(expected)


def test_one_training_image_in_eight_is_clean(photo_folder: Path) -> None:
    stage = Stage({"size": [64, 64], "margin": 0}, {"radius": [[6, 8]]}, max_regions=6)
    examples = Examples(Endless(photo_folder, (stage,), 0), 64, multi=True)
    for seed in range(16):
        batch = examples[3, seed]
        regions = int((~batch["regions"][:, X].isnan()).sum())
        assert (regions == 0) == (seed % 8 == 0)
        assert batch["image"].shape == (3, 64, 64)
    single = Examples(Endless(photo_folder, (stage,), 0), 64, multi=False)
    assert int((~single[3, 0]["regions"][:, X].isnan()).sum()) == 1


def test_tiles_give_the_maps_of_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = HeatmapNet().eval()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)
    whole = maps_of(network, image)
    monkeypatch.setattr(prediction, "WHOLE", 1)
    monkeypatch.setattr(prediction, "TILE", 64)
    monkeypatch.setattr(prediction, "CONTEXT", 320)  # all of the image
    tiled = maps_of(network, image)
    for name in FIELDS:
        torch.testing.assert_close(getattr(tiled, name), getattr(whole, name), atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(prediction, "CONTEXT", 32)
    assert maps_of(network, image).log_rate.shape == whole.log_rate.shape


def test_the_answer_is_the_place_of_the_highest_rate() -> None:
    log_rate = torch.full((1, ROWS, COLUMNS), -20.0)
    log_rate[0, 2, 5] = 0.0
    region = best(exact_attributes(log_rate, 21.3, 8.9, 33.0))
    assert (region.x, region.y) == pytest.approx((21.3, 8.9), abs=1e-3)
    assert region.r == pytest.approx(33.0, rel=1e-4)
    assert not region.square
    assert region.log_expected == pytest.approx(0.0, abs=1e-4)
    distance = distances_of(exact_attributes(log_rate, 21.3, 8.9, 33.0), table((24.3, 12.9, 33.0)))
    assert distance.tolist() == pytest.approx([5.0], abs=1e-3)


def test_images_without_a_region_have_no_distance() -> None:
    assert len(distances_of(maps(torch.zeros(1, ROWS, COLUMNS)), table())) == 0


def test_the_encoder_of_ringvote_is_loaded_and_kept(small_set: Path, tmp_path: Path) -> None:
    options = {"epochs": 1, "calibration_images": 2, "progress": False, "device": "cpu"}
    localizer = registry.create("heatmap", start="ringvote", encoder_rate=0.0, **options)
    localizer.fit(Folder(small_set, "train"), Folder(small_set, "val"), tmp_path / "run")
    ringvote = registry.load("ringvote", device="cpu")
    encoder = zip(
        localizer.network.encoder_parameters(),  # type: ignore[attr-defined]
        ringvote.network.encoder_parameters(),  # type: ignore[attr-defined]
        strict=True,
    )
    assert all(torch.equal(own, other) for own, other in encoder)
    again = registry.create("heatmap", start=tmp_path / "run", **options)
    again.fit(Folder(small_set, "train"), Folder(small_set, "val"), tmp_path / "again")
    cnn = registry.create("cnn-fast", input=(32, 32), epochs=1, progress=False, device="cpu")
    cnn.fit(Folder(small_set, "train"), Folder(small_set, "val"), tmp_path / "cnn")
    other = registry.create("heatmap", start=tmp_path / "cnn", **options)
    with pytest.raises(InputError, match="--start needs"):
        other.fit(Folder(small_set, "train"), Folder(small_set, "val"), tmp_path / "bad")


@pytest.mark.parametrize(
    ("option", "message"),
    [({"window": 32}, "window is 32"), ({"encoder_rate": 2.0}, "encoder-rate")],
)
def test_bad_options_are_refused(option: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        registry.create("heatmap", **option)


def test_the_learning_rate_rises_and_falls() -> None:
    module = HeatmapTraining(HeatmapNet(), 2e-3, 400, encoder_rate=1.0, bfloat16=False)
    rates = [module.rate(step) for step in (0, 49, 199, 300, 399)]
    assert rates == pytest.approx([0.02, 1, 1, 0.5, 0.005])


def test_it_learns_where_a_strong_circle_is() -> None:
    """60 steps on 64 px images of one brighter circle on grey, with the encoder of ringvote."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = HeatmapNet()
    encoder = registry.load("ringvote", device="cpu").network.state_dict()  # type: ignore[attr-defined]
    own = network.state_dict()
    network.load_state_dict({name: encoder.get(name, value) for name, value in own.items()})
    for weights in network.encoder_parameters():
        weights.requires_grad_(False)

    def draw() -> Batch:
        image = rng.normal(110, 4, (64, 64, 3))
        region = Anomaly(rng.uniform(16, 47), rng.uniform(16, 47), 12.0, 1.5)
        y, x = np.mgrid[:64, :64]
        image[np.hypot(x - region.x, y - region.y) <= region.r] *= 1.5
        return example(np.clip(image, 0, 255).astype(np.uint8), [region], 64, rng)

    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 2e-3)
    for _ in range(60):
        batch = stack([draw() for _ in range(4)])
        loss = loss_of(network(batch["image"].float()), batch["regions"], batch["size"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        batch = stack([draw() for _ in range(16)])
        distances = distances_of(network(batch["image"].float()), batch["regions"])
    guesses = (batch["regions"][:, 0, :2] - 31.5).norm(dim=1)  # of the centre of the image
    assert distances.median() < guesses.median() * 0.7
