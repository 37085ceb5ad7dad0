"""Decoding: Acuity's limits replace Pillow's; files without an end marker are read."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from synth import InputError, Recipe, Skipped, decoding, generate, limits, photos, verify
from synth.decoding import Broken, TooLarge, decode
from synth.errors import Interrupted

RGB = np.random.default_rng(0).integers(0, 256, (18, 24, 3)).astype(np.uint8)
PIXELS = np.asarray(Image.fromarray(RGB).resize((192, 144), Image.Resampling.BICUBIC))


def encoded(kind: str, pixels: np.ndarray = PIXELS, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind, **options)
    return out.getvalue()


def same(data: bytes, other: bytes) -> bool:
    return np.array_equal(np.asarray(decode(data)), np.asarray(decode(other)))


JPEGS = [
    pytest.param({}, "RGB", id="baseline"),
    pytest.param({"progressive": True}, "RGB", id="progressive"),
    pytest.param({"restart_marker_blocks": 5}, "RGB", id="restart markers"),
    pytest.param({"restart_marker_rows": 1, "subsampling": 0}, "RGB", id="restart at each row"),
    pytest.param({}, "L", id="grey"),
    pytest.param({"quality": 100}, "CMYK", id="CMYK"),
]


@pytest.mark.parametrize(("options", "mode"), JPEGS)
def test_a_jpeg_without_its_end_marker_is_read(options: dict[str, Any], mode: str) -> None:
    data = encoded("JPEG", mode=mode, **options)
    for cut in (data[:-2], data[:-1], data[:-2] + bytes(600)):
        assert same(cut, data)
        small = decode(cut, (24, 18))
        assert small.size == (24, 18)
        assert np.array_equal(np.asarray(small), np.asarray(decode(data, (24, 18))))


@pytest.mark.parametrize(("options", "mode"), JPEGS)
def test_a_jpeg_that_lacks_pixels_is_refused(options: dict[str, Any], mode: str) -> None:
    data = encoded("JPEG", mode=mode, **options)
    cuts = {*range(4, 40), *range(40, len(data) - 2, 97)}
    # At the end of a restart interval or a scan, the rest of the file is still well formed.
    cuts |= {len(data) - at for at in range(600, len(data) - 3) if data[at] == 0xFF}
    for cut in sorted(cuts):
        with pytest.raises(Skipped):
            decode(data[:-cut])


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


MB = 1 << 20
METADATA = [
    pytest.param(chunk(b"tEXt", b"a\0" + bytes(3 * MB)), id="text of 3 MB"),
    pytest.param(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5 * MB))), id="packed text"),
    pytest.param(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(40 * MB))), id="huge text"),
    pytest.param(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(12 * MB))) * 9, id="many texts"),
    pytest.param(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3 * MB))), id="large profile"),
    pytest.param(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(40 * MB))), id="huge profile"),
    pytest.param(chunk(b"tEXt", b"a\0b", crc=1), id="damaged text"),
    pytest.param(chunk(b"iTXt", b"a"), id="odd text"),
]


@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_spoil_no_png(metadata: bytes) -> None:
    data = encoded("PNG")
    assert same(data[:33] + metadata + data[33:], data)
    assert PngImagePlugin.MAX_TEXT_CHUNK == MB


def test_a_profile_survives_when_texts_are_left_out() -> None:
    data = encoded("PNG", icc_profile=b"x" * 300)
    huge = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(40 * MB)))
    from synth.image_repair import repair

    again = repair(data[:33] + huge + data[33:])
    assert again == data


def test_our_limit_holds_above_and_below_pillows(tmp_path: Path) -> None:
    """96 megapixels exceed Pillow's limit, which still holds outside of the block."""
    data = encoded("PNG", np.zeros((8000, 12000), np.uint8), "1")
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            TooLarge, match=r"12000x8000 .* 95,999,999 \(raise it with --max-pixels"
        ):
            decode(data, max_pixels=95_999_999)
        assert decode(data, max_pixels=96_000_000).size == (12000, 8000)
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data))


def test_limits_return_when_the_last_thread_leaves() -> None:
    inside, leave = threading.Barrier(3), threading.Event()

    def stay() -> None:
        with limits.replace_pillow_limits():
            inside.wait()
            leave.wait()

    before = Image.MAX_IMAGE_PIXELS, warnings.filters[:]
    threads = [threading.Thread(target=stay) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    with limits.replace_pillow_limits():
        pass
    assert Image.MAX_IMAGE_PIXELS is None
    leave.set()
    for thread in threads:
        thread.join()
    assert (Image.MAX_IMAGE_PIXELS, warnings.filters[:]) == before


def test_files_of_too_many_bytes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(limits, "BYTES", 100)
    with pytest.raises(TooLarge, match="too many bytes"):
        photos.read(tmp_path, "a.png")


@pytest.mark.parametrize("where", ["open", "fromarray"])
def test_memory_that_runs_out_is_not_the_photos_fault(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **more: Any) -> Any:
        raise MemoryError

    data = encoded("PNG", np.zeros((9, 9), np.uint16), "I;16")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(data)
    monkeypatch.setattr(Image, where, full)
    with pytest.raises(MemoryError):
        decode(data)
    with pytest.raises(Interrupted, match=r"out of memory at a\.png"):
        generate(tmp_path / "photos", tmp_path / "set")


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_no_librarys_warning_reaches_the_user(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in range(8, len(data), max(1, len(data) // 150)):
            for damaged in (data[:at], data[:at] + b"\xff\xff\xff" + data[at + 3 :]):
                with contextlib.suppress(Skipped):
                    decode(bytes(damaged))
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""


def test_a_raw_file_in_tiffs_clothes_is_refused() -> None:
    tags = {0xC612: b"\1\4\0\0"}
    from PIL import TiffImagePlugin

    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[0xC612] = 1
    directory[0xC612] = tags[0xC612]
    with pytest.raises(Skipped, match="DNG"):
        decode(encoded("TIFF", tiffinfo=directory))


def test_the_limit_of_the_recipe_is_recorded_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(encoded("PNG"))
    recipe = Recipe(size=(96, 64), radius=(8, 16), codec="png", max_pixels=192 * 144 - 1)
    with pytest.raises(InputError, match=r"none of the 1 photos .* too many pixels"):
        generate(tmp_path / "photos", tmp_path / "no", recipe)
    recipe = Recipe(size=(96, 64), radius=(8, 16), codec="png", max_pixels=192 * 144)
    generate(tmp_path / "photos", tmp_path / "set", recipe)
    assert verify(tmp_path / "set", tmp_path / "photos") == []
    path = tmp_path / "set" / "recipe.json"
    path.write_text(path.read_text().replace(f'"max_pixels": {192 * 144}', '"max_pixels": 99'))
    assert "too many pixels" in str(verify(tmp_path / "set", tmp_path / "photos")[0])


def test_formats_are_told_by_their_first_bytes() -> None:
    assert (
        decoding.image_format(b"")
        == decoding.image_format(b"BMW, a car, and more text than that")
        == ""
    )
    assert decoding.unsupported_format(b"8BPS" + bytes(30)) == "Photoshop"
    with pytest.raises(Broken, match="Photoshop is not supported: convert"):
        decode(b"8BPS" + bytes(100))
