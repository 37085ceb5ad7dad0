"""render returns the pixels that a reader of the image file gets."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth import Anomaly, Photo, Recipe, Skipped, apply, generate, mask, photos, render, renderer

Picture = Callable[..., np.ndarray]
SMALL = Recipe(size=(48, 40), radius=(4, 9), codec="png")


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_render_gives_the_pixels_and_truth_of_the_dataset(
    recipes: Callable[..., st.SearchStrategy[Recipe]],
    photo_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    recipe = data.draw(recipes(radius=(3, 8), feather=0.0, margin=0.0, twins=True))
    out = tmp_path_factory.mktemp("render") / "set"
    for row in generate(photo_folder, out, recipe).to_dict("records"):
        k = int(Path(row["file_name"]).stem.rpartition("-")[2])
        photo = photos.read(photo_folder, row["photo"], recipe.decode_size)
        sample = render(photo, recipe, k)
        with Image.open(out / row["file_name"]) as image:
            assert np.array_equal(sample.image, np.asarray(image.convert("RGB")))
        with Image.open(out / row["clean_file_name"]) as image:
            assert sample.clean is not None
            assert np.array_equal(sample.clean, np.asarray(image.convert("RGB")))
        assert sample.photo == row["photo"]
        if row["label"] == 0:
            assert sample.truth is None
            assert np.array_equal(sample.image, sample.clean)
        else:
            assert sample.truth is not None
            for name in ("x", "y", "r", "discolor_ratio", "shape", "rounding", "feather"):
                assert getattr(sample.truth, name) == row[name]


def test_png_changes_in_the_region_alone(picture: Picture) -> None:
    for k in range(20):
        sample = render(picture(k), SMALL, k)
        assert sample.truth is not None
        assert sample.clean is not None
        region = mask(sample.truth, 40, 48)
        assert np.array_equal(sample.image[~region], sample.clean[~region])
        assert np.array_equal(sample.image, apply(sample.clean, sample.truth))
        assert (sample.image[region] != sample.clean[region]).any()


def test_render_takes_a_path_a_photo_and_pixels(tmp_path: Path, picture: Picture) -> None:
    pixels = picture(1)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    by_path = render(tmp_path / "p.png", SMALL, 3)
    by_text = render(str(tmp_path / "p.png"), SMALL, 3)
    by_photo = render(photos.read(tmp_path, "p.png"), SMALL, 3)
    for other in (by_text, by_photo):
        assert np.array_equal(by_path.image, other.image)
        assert by_path.truth == other.truth
    assert render(pixels, SMALL).image.shape == (40, 48, 3)
    with pytest.raises(Skipped, match="missing"):
        render(tmp_path / "gone.png", SMALL)
    with pytest.raises(Skipped, match="smaller"):
        render(picture(0, 30, 30), SMALL)


def test_rows_depend_on_seed_photo_and_number_alone(picture: Picture) -> None:
    pixels = picture(1)
    picture_ = Image.fromarray(pixels)
    photos_ = [Photo(name, "12ab" * 16, picture_) for name in ("a", "b")]
    other = Photo("a", "34cd" * 16, picture_)

    def truth(photo: Photo, k: int, **fields: object) -> Anomaly | None:
        return render(photo, dataclasses.replace(SMALL, **fields), k).truth  # type: ignore[arg-type]

    assert truth(photos_[0], 2) == truth(photos_[1], 2)  # the name is no part of it
    different = [
        truth(photos_[0], 0),
        truth(photos_[0], 1),
        truth(other, 0),
        truth(photos_[0], 0, seed=1),
    ]
    assert len(set(different)) == 4
    assert truth(photos_[0], 1, per_photo=7) == truth(photos_[0], 1)


def test_different_pixels_without_a_name_get_different_places(picture: Picture) -> None:
    """Arrays without names must not all get the same anomaly in training."""
    assert render(picture(1), SMALL, 0).truth != render(picture(2), SMALL, 0).truth


def test_stochastic_rounding_is_the_same_every_time(picture: Picture) -> None:
    recipe = dataclasses.replace(SMALL, rounding="stochastic")
    assert np.array_equal(render(picture(1), recipe).image, render(picture(1), recipe).image)


def nameless(pixels: np.ndarray) -> Photo:
    return Photo("", "", Image.fromarray(pixels))


def test_fit_crops_or_stretches(picture: Picture) -> None:
    pixels = picture(1)
    assert np.array_equal(renderer.fit(nameless(pixels), (10, 20), (3, 5)), pixels[5:25, 3:13])
    assert np.array_equal(renderer.fit(nameless(pixels), (96, 80), None), pixels)
    flat = np.full((30, 50, 3), 77, np.uint8)
    assert np.array_equal(
        renderer.fit(nameless(flat), (20, 40), None), np.full((40, 20, 3), 77, np.uint8)
    )
    half = renderer.fit(nameless(pixels), (48, 40), None).astype(float)
    means = pixels.reshape(40, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(half - means).mean() < 6


def test_clean_rows_have_no_truth(picture: Picture) -> None:
    sample = render(picture(1), dataclasses.replace(SMALL, clean_fraction=1.0))
    assert sample.truth is None
    assert np.array_equal(sample.image, sample.clean)


def test_keep_keeps_every_pixel(picture: Picture) -> None:
    recipe = Recipe(size="keep", codec="png", radius=(3, 6))
    sample = render(picture(1, 61, 37), recipe)
    assert np.array_equal(sample.clean, picture(1, 61, 37))


@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_encode_writes_the_requested_format(picture: Picture, codec: str) -> None:
    pixels = picture(2)
    data = renderer.encode(pixels, codec, 75)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == codec.upper()
        assert image.size == (96, 80)
        if codec == "jpeg":
            layers = image.layer  # type: ignore[attr-defined]
            assert [layer[1:3] for layer in layers] == [(2, 2), (1, 1), (1, 1)]  # 4:2:0
        else:
            assert np.array_equal(renderer.decode(data), pixels)
    assert data == renderer.encode(pixels.copy(), codec, 75)  # type: ignore[arg-type]
    worse = renderer.encode(pixels, codec, 20)  # type: ignore[arg-type]
    assert (len(worse) < len(data)) is (codec == "jpeg")


def test_a_mask_image_is_black_and_white() -> None:
    a = Anomaly(4, 2, 1, 1.1)
    found = renderer.mask_image(a, (9, 6))
    assert found.dtype == np.uint8
    assert found.shape == (6, 9)
    assert sorted(zip(*np.nonzero(found == 255), strict=True)) == [
        (1, 4), (2, 3), (2, 4), (2, 5), (3, 4)
    ]  # fmt: skip
    assert found.sum() == 5 * 255
    assert not renderer.mask_image(None, (9, 6)).any()
