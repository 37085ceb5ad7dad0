"""Photos with a colour profile are converted to sRGB, or kept unchanged to the bit."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synth import Recipe, generate, photos, recipe, verify
from synth.decoding import decode, to_8_bits

sys.path.insert(0, str(Path(__file__).parent))
import icc

PATCHES = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
BLOCKS = np.repeat(np.repeat(PATCHES, 8, 0), 8, 1)


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(icc.DISPLAY_P3, None), (icc.ADOBE_RGB, 2.19921875), (icc.PROPHOTO, 1.8), (icc.SRGB, 1.0)],
    ids=["Display P3", "Adobe RGB", "ProPhoto", "linear"],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_values_become_srgb(primaries: Any, gamma: float | None, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(BLOCKS, kind, icc_profile=icc.rgb(primaries, gamma), **options)
    found = np.asarray(decode(data)).astype(float)
    wanted = icc.expected(BLOCKS, primaries, gamma)
    assert np.abs(wanted - BLOCKS).max() > 20
    assert np.abs(found - wanted).max() < 2.5
    assert np.array_equal(np.asarray(decode(data, keep_profile=True)), BLOCKS)


def test_a_jpeg_decoded_small_is_converted_too() -> None:
    profile = icc.rgb(icc.ADOBE_RGB, 2.2)
    data = encoded(BLOCKS, "JPEG", quality=100, subsampling=0, icc_profile=profile)
    small = np.asarray(decode(data, (16, 12))).astype(float)
    assert small.shape == (12, 16, 3)
    kept = np.asarray(decode(data, (16, 12), keep_profile=True))
    assert np.abs(kept.astype(int) - PATCHES).max() < 5
    assert np.abs(small - icc.expected(kept, icc.ADOBE_RGB, 2.2)).max() < 2.5


@pytest.mark.parametrize("orientation", [1, 6])
def test_srgb_profiles_change_no_bit(orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    plain = encoded(BLOCKS, "JPEG", exif=tags)
    for profile in (icc.rgb(icc.SRGB), _pillows_srgb()):
        marked = encoded(BLOCKS, "JPEG", exif=tags, icc_profile=profile)
        assert np.array_equal(np.asarray(decode(marked)), np.asarray(decode(plain)))


def _pillows_srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_grey_and_cmyk_profiles() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    found = np.asarray(decode(encoded(grey, "PNG", icc_profile=icc.grey(1.0)))).astype(float)
    wanted = icc.linear_to_srgb(grey / 255) * 255
    assert np.abs(found - wanted[..., None]).max() < 1.5
    opaque = np.dstack([grey, np.full_like(grey, 255)])
    again = np.asarray(decode(encoded(opaque, "PNG", icc_profile=icc.grey(1.0))))
    assert np.array_equal(again, found)
    # An ink at a half leaves half the lightness: L* = 50 is a luminance of 18 %.
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :8, 0], inks[:, 8:, 3] = 128, 255
    out = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(out, "JPEG", quality=100, icc_profile=icc.cmyk())
    found = np.asarray(decode(out.getvalue()))
    assert np.abs(found[:, :7].astype(int) - 119).max() <= 3
    assert found[:, 9:].max() <= 3
    kept = np.asarray(decode(out.getvalue(), keep_profile=True))
    assert np.abs(kept[:, :7].astype(int) - [127, 255, 255]).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [b"x" * 200, icc.rgb(icc.DISPLAY_P3)[:150], icc.grey(1.0), icc.cmyk(), b"\0" * 128],
    ids=["noise", "cut", "for grey", "for CMYK", "zeros"],
)
def test_broken_and_foreign_profiles_leave_the_values(profile: bytes) -> None:
    assert np.array_equal(np.asarray(decode(encoded(BLOCKS, "PNG", icc_profile=profile))), BLOCKS)


def test_a_palette_has_a_profile_too() -> None:
    image = Image.fromarray(BLOCKS).quantize(32)
    values = np.asarray(image.convert("RGB"))
    out = io.BytesIO()
    image.save(out, "PNG", icc_profile=icc.rgb(icc.ADOBE_RGB, 2.2))
    wanted = icc.expected(values, icc.ADOBE_RGB, 2.2)
    assert np.abs(np.asarray(decode(out.getvalue())) - wanted).max() < 2.5


SMALL = Recipe(size=(96, 64), radius=(8, 16), codec="png", split=(1, 0, 0), twins=True)


def test_the_choice_is_recorded_and_replayed(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    data = encoded(BLOCKS, "PNG", icc_profile=icc.rgb(icc.DISPLAY_P3))
    (source / "p.png").write_bytes(data)
    pictures = {}
    for keep in (False, True):
        out = tmp_path / f"keep {keep}"
        table = generate(source, out, recipe.from_dict(SMALL.to_dict() | {"keep_profile": keep}))
        assert json.loads((out / "recipe.json").read_text())["recipe"]["keep_profile"] is keep
        assert verify(out, source) == []
        pictures[keep] = photos.read(out, table["clean_file_name"][0]).pixels
    assert np.abs(pictures[True].astype(int) - pictures[False]).max() > 20
    # A dataset from before the field kept the values.
    path = tmp_path / "keep True" / "recipe.json"
    about = json.loads(path.read_text())
    del about["recipe"]["keep_profile"], about["recipe"]["max_pixels"]
    path.write_text(json.dumps(about))
    assert verify(path.parent, source) == []
    assert recipe.load(path).keep_profile
    assert not recipe.from_dict(about["recipe"]).keep_profile


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_values_are_scaled_by_the_range_used(bits: int, tmp_path: Path) -> None:
    top = 2**bits - 1
    values = np.linspace(0, top, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    wanted = np.rint(values.astype(float) / top * 255)
    for kind in ("PNG", "TIFF"):
        found = np.asarray(decode(encoded(values, kind)))[..., 1]
        assert np.abs(found - wanted).max() <= 1
    header = f"P5\n64 64\n{top}\n".encode()
    data = values.astype(">u2" if bits > 8 else ">u1").tobytes()
    assert np.abs(np.asarray(decode(header + data))[..., 1] - wanted).max() <= 1


def test_16_bit_colour_of_12_bits_is_not_black() -> None:
    import cv2

    values = (BLOCKS.astype(np.uint16) << 4) | (BLOCKS >> 4)
    for suffix in (".png", ".tif"):
        data = cv2.imencode(suffix, values[..., ::-1])[1].tobytes()
        assert np.array_equal(np.asarray(decode(data)), BLOCKS)


def test_a_black_picture_stays_black() -> None:
    assert to_8_bits(np.zeros((3, 3), np.uint16)).max() == 0
    assert np.asarray(decode(encoded(np.zeros((9, 9), np.uint16), "PNG"))).max() == 0
