"""`autoencoder`: its error maps, its tiles, its training, and what it refuses."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from localize import api, registry
from localize.cli import main
from localize.localizer import Source
from localize.methods.autoencoder import error_map, method, reconstruction, training
from localize.methods.autoencoder.method import AutoencoderLocalizer
from localize.methods.autoencoder.network import PATCH, Autoencoder
from localize.methods.autoencoder.options import PER_IMAGE
from localize.methods.autoencoder.reconstruction import reconstruct, starts, weights
from localize.methods.autoencoder.similarity import ssim
from localize.methods.autoencoder.training import random_crops
from localize.training import trainer
from synth import InputError, console

QUICK: dict[str, Any] = {"progress": False, "device": "cpu", "crops": 16, "epochs": 2}
FILES = ("best.safetensors", "last.safetensors", "history.csv", "model.json")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """A quarter of the usual channels, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "Autoencoder", functools.partial(Autoencoder, width=8))
        yield


class Identity(Autoencoder):
    """Reconstructs every tile exactly."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return patches


class Constants(Autoencoder):
    """Reconstructs every tile as another constant, in 0 to 1."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        draw = torch.Generator().manual_seed(int(1000 * patches.sum()))
        return torch.rand(len(patches), 3, 1, 1, generator=draw).expand_as(patches)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(11, 12), (40, 128), (300, 257)])
def test_the_similarity_is_that_of_scikit_image(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first = rng.random((*shape, 3))
    second = np.clip(first + rng.normal(0, 0.1, first.shape), 0, 1)
    first[: shape[0] // 3] = 0.97  # flat, where rounding errors count most
    second[: shape[0] // 3] = 0.971
    _, expected = structural_similarity(
        first, second, data_range=1, channel_axis=-1, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    pair = [torch.from_numpy(each).permute(2, 0, 1)[None] for each in (first, second)]
    np.testing.assert_allclose(ssim(*pair)[0].permute(1, 2, 0), expected, atol=1e-5)
    errors = error_map.errors(*pair, "ssim")[0]
    np.testing.assert_allclose(errors, 1 - expected.mean(2), atol=1e-5)


@given(st.integers(1, 150), st.integers(1, 20), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_equal_images_are_similar_and_order_does_not_matter(
    width: int, height: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    first, second = torch.rand((2, 1, 1, height, width), dtype=torch.float64, generator=draw)
    assert torch.allclose(ssim(first, first), torch.ones_like(first), atol=1e-9)
    forwards, backwards = ssim(first, second), ssim(second, first)
    assert torch.allclose(forwards, backwards)
    assert torch.allclose(forwards.mT, ssim(first.mT, second.mT))
    assert forwards.abs().max() <= 1 + 1e-9


@given(st.integers(1, 900))
@settings(max_examples=60, deadline=None)
def test_the_weights_of_a_pixel_add_up_to_one(length: int) -> None:
    sums = np.zeros(max(length, PATCH))
    for start, tile in zip(starts(length), weights(length), strict=True):
        sums[start : start + PATCH] += tile
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    assert starts(length)[-1] + PATCH == max(length, PATCH)


@pytest.mark.parametrize("shape", [(1, 1), (2, 130), (128, 128), (300, 200), (129, 450)])
def test_tiles_that_are_exact_blend_to_the_image(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    blended = reconstruct(Identity(1, 1), image)
    assert blended.shape == image.shape
    np.testing.assert_allclose(blended, image / 255, atol=1e-6)
    assert error_map.error_map(Identity(1, 1), image, "ssim").max() < 1e-4


def test_tiles_that_differ_leave_no_seams() -> None:
    """The tiles differ by up to 1, neighbouring pixels of the blended image by less than 1/30."""
    blended = reconstruct(Constants(1, 1), noise(420, 360))
    assert np.ptp(blended) > 0.5
    for axis in (0, 1):
        assert np.abs(np.diff(blended, axis=axis)).max() < 1 / 30


@pytest.fixture
def network() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(12, width=4).eval()


def test_bands_give_the_map_of_the_whole_image(
    network: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(300, 210)
    assert np.array_equal(reconstruct(network, image)[70:200], reconstruct(network, image, 70, 200))
    whole = {error: error_map.error_map(network, image, error) for error in ("mse", "ssim")}
    monkeypatch.setattr(error_map, "BAND", 37 * 210)
    for error, map in whole.items():
        np.testing.assert_allclose(error_map.error_map(network, image, error), map, rtol=1e-5)
        assert map.dtype == np.float32


def test_a_pixel_depends_on_the_tiles_around_it_alone(network: Autoencoder) -> None:
    image = noise(320, 320)
    before = reconstruct(network, image)
    image[200:230, 210:250] = 255
    changed = np.abs(reconstruct(network, image) - before).max(2) > 0
    assert changed[128:, 128:].mean() > 0.5  # the tiles that begin at 128 and 192
    assert not changed[:128].any()
    assert not changed[:, :128].any()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_crops_are_parts_of_the_image(width: int, height: int, seed: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows], 2).astype(np.uint8)
    crops = random_crops(image, np.random.default_rng(seed))
    assert crops.shape == (PER_IMAGE, 3, PATCH, PATCH)
    for crop in crops:
        row, column = crop[:2, 0, 0].tolist()
        expected = reconstruction.enlarge(image)[row : row + PATCH, column : column + PATCH]
        assert np.array_equal(crop.permute(1, 2, 0), expected)


class Clean(Source):
    """A source of clean images alone."""

    def __init__(self, images: list[np.ndarray]) -> None:
        super().__init__()
        self.images = images

    def __len__(self) -> int:
        return 0

    def clean(self) -> Iterator[np.ndarray]:
        return iter(self.images)


def texture(seed: int) -> np.ndarray:
    """(128, 128, 3) uint8: stripes and a bright disc at (35, 90), always the same, and noise."""
    rows, columns = np.mgrid[:PATCH, :PATCH]
    values = 100 + 40 * np.sin(2 * np.pi * (rows + columns) / 16)
    values[np.hypot(columns - 35, rows - 90) <= 16] += 90
    values = values[..., None] + np.random.default_rng(seed).normal(0, 2, (PATCH, PATCH, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=["mse", pytest.param("ssim", marks=pytest.mark.slow)])
def stripes(
    request: pytest.FixtureRequest, narrow: None, tmp_path_factory: pytest.TempPathFactory
) -> AutoencoderLocalizer:
    """The method after a short training on one texture, in steps of one crop."""
    localizer = AutoencoderLocalizer(
        **QUICK | {"crops": 250, "epochs": 1, "batch": 1}, error=request.param
    )
    source = Clean([texture(seed) for seed in range(6)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "PER_IMAGE", 1)
        localizer.fit(source, source, tmp_path_factory.mktemp("runs") / "run")
    return localizer


@pytest.mark.parametrize("place", [(90, 40), (60, 30), (95, 85)])
def test_a_planted_blob_is_found(stripes: AutoencoderLocalizer, place: tuple[int, int]) -> None:
    """It differs less from its surroundings than the disc that belongs to the texture."""
    image = texture(50)
    rows, columns = np.mgrid[:PATCH, :PATCH]
    blob = np.hypot(columns - place[0], rows - place[1]) <= 14
    image[blob] = 170
    found = stripes.locate([image])[0]
    assert np.hypot(found.x - place[0], found.y - place[1]) <= 14
    assert found.map is not None
    assert found.map.shape == image.shape[:2]
    assert found.score == found.map.max()
    assert stripes.threshold is not None
    assert found.score > stripes.threshold


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_training_continues_to_the_same_weights(
    narrow: None, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    api.train("autoencoder", small_set, whole, **QUICK)
    keep = trainer.RunWriter.on_train_epoch_end

    def keep_and_stop(self: Any, trainer: Any, module: Any) -> None:
        keep(self, trainer, module)
        if trainer.current_epoch == 0:
            interrupt()

    with monkeypatch.context() as patched:
        patched.setattr(trainer.RunWriter, "on_train_epoch_end", keep_and_stop)
        with pytest.raises(KeyboardInterrupt):
            api.train("autoencoder", small_set, stopped, **QUICK)
    with pytest.raises(InputError, match="other settings"):
        api.train("autoencoder", small_set, stopped, resume=True, **QUICK | {"latent": 7})
    api.train("autoencoder", small_set, stopped, resume=True, **QUICK)
    for name in FILES:
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    assert {path.name for path in stopped.iterdir()} == set(FILES)


def test_a_dataset_without_clean_images_is_refused_in_one_line(
    small_set: Path,
    tmp_path: Path,
    retabled: Callable[[Path, Path, pd.DataFrame], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = pd.read_csv(small_set / "metadata.csv", dtype=str, keep_default_na=False)
    table = table[table["label"] == "1"].assign(clean_file_name="")
    bare = retabled(small_set, tmp_path / "bare", table)
    words = ["train", "autoencoder", str(bare), "--out", str(tmp_path / "run")]
    assert console.run(main.app, "localize", words) == 2
    said = capsys.readouterr().err
    assert "autoencoder learns from clean images" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_clean_validation_images_there_is_no_threshold(
    narrow: None, tmp_path: Path
) -> None:
    localizer = AutoencoderLocalizer(**QUICK | {"epochs": 1})
    localizer.fit(Clean([texture(0)]), Clean([]), tmp_path / "run")
    assert localizer.threshold is None
    about = api.describe(tmp_path / "run")
    assert about["threshold"]["what"] == "none: the validation split has no clean image"
    assert "train_loss" in about


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("error", "l1", "use mse or ssim"),
        ("latent", 0, "latent is 0"),
        ("crops", 0, "crops is 0"),
        ("locate", "middle", "use peak or centroid"),
        ("learning_rate", 0.0, "learning-rate is 0.0"),
    ],
)
def test_bad_options_are_refused(option: str, value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        registry.create("autoencoder", **{option: value})
