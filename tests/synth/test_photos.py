"""Photos: searched, decoded upright or rejected with a reason, and assigned to splits."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from synth import InputError, Skipped, near_duplicates, photos

Picture = Callable[..., np.ndarray]


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(out, kind, **options)
    return out.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "p.jpg", at_least: Any = None) -> np.ndarray:
    (tmp_path / name).write_bytes(data)
    photo = photos.read(tmp_path, name, at_least)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.ndim == 3
    assert photo.pixels.shape[2] == 3
    return photo.pixels


def reason(tmp_path: Path, data: bytes, name: str = "p.jpg", at_least: Any = None) -> str:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Skipped) as caught:
        photos.read(tmp_path, name, at_least)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# EXIF 2.32, tag 0x0112: the visual side of the picture on which row 0 and column 0 lie.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera writes for an upright picture, pixel by pixel from the standard's words."""
    height, width = upright.shape[:2]
    row_side, column_side = SIDES[orientation]
    turned = row_side in ("left", "right")
    result = np.zeros((width, height, 3) if turned else (height, width, 3), np.uint8)
    for i, j in itertools.product(range(result.shape[0]), range(result.shape[1])):
        place = {}
        for index, side in ((i, row_side), (j, column_side)):
            place["y" if side in ("top", "bottom") else "x"] = {
                "top": index,
                "left": index,
                "bottom": height - 1 - index,
                "right": width - 1 - index,
            }[side]
        result[i, j] = upright[place["y"], place["x"]]
    return result


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, picture: Picture, orientation: int) -> None:
    upright = picture(1, 24, 16)
    data = encoded(stored(upright, orientation), "PNG", exif=exif(orientation))
    assert np.array_equal(read(tmp_path, data, "p.png"), upright)
    data = encoded(
        stored(upright, orientation), "JPEG", quality=100, subsampling=0, exif=exif(orientation)
    )
    assert np.abs(read(tmp_path, data).astype(int) - upright).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_decoded_small_is_upright_and_large_enough(
    tmp_path: Path, picture: Picture, orientation: int
) -> None:
    small = picture(2, 60, 40)
    upright = np.asarray(Image.fromarray(small).resize((480, 320), Image.Resampling.BICUBIC))
    data = encoded(stored(upright, orientation), "JPEG", exif=exif(orientation))
    found = read(tmp_path, data, at_least=(100, 50))
    assert found.shape == (80, 120, 3)
    again = np.asarray(Image.fromarray(upright).resize((120, 80), Image.Resampling.BOX))
    assert np.abs(found.astype(int) - again).mean() < 4


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_decoding_small_never_gives_less_than_asked_for(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, orientation: int
) -> None:
    data = encoded(np.zeros((170, 250, 3), np.uint8), "JPEG", exif=exif(orientation))
    found = read(tmp_path_factory.getbasetemp(), data, "small.jpg", (width, height))
    full = (250, 170) if orientation < 5 else (170, 250)
    assert found.shape[1] >= min(width, full[0])
    assert found.shape[0] >= min(height, full[1])
    if width <= full[0] // 8 and height <= full[1] // 8:
        assert found.shape[0] * found.shape[1] < 250 * 170 / 16


def test_invalid_orientations_count_as_upright(tmp_path: Path, picture: Picture) -> None:
    upright = picture(3, 20, 12)
    for value in (0, 9, 255):
        data = encoded(upright, "PNG", exif=exif(value))
        assert np.array_equal(read(tmp_path, data), upright)


def tiff_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block: (tag, type, count, four bytes) each."""
    out = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, count, value in entries:
        out += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return out + struct.pack("<I", 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    block = b"Exif\0\0" + block
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


SIX = (0x0112, 3, 1, struct.pack("<H", 6))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("at_least", [None, (20, 20)])
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([(0x0112, 2, 2, b"6\0")], id="orientation is text"),
        pytest.param([(0x0112, 7, 4, b"6666")], id="orientation is bytes"),
        pytest.param([(0x0112, 3, 2, b"\6\0\6\0")], id="two orientations"),
        pytest.param([(0x0112, 3, 0, b"")], id="no value"),
        pytest.param([SIX, (0x011A, 2, 4, b"abc")], id="resolution is text"),
        pytest.param([SIX, (0x0128, 2, 4, b"abc")], id="unit is text"),
        pytest.param([SIX, (0x8825, 4, 1, b"\xff\xff\0\0")], id="GPS leads nowhere"),
    ],
)
def test_odd_exif_spoils_no_photo(
    tmp_path: Path, picture: Picture, entries: Any, at_least: Any
) -> None:
    """The pixels are valid: phones and editors write such blocks."""
    data = with_exif(encoded(picture(4, 56, 40), "JPEG"), tiff_block(*entries))
    assert set(read(tmp_path, data, at_least=at_least).shape[:2]) in ({56, 40}, {28, 20})


def png(bits: int, colour: int, rows: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand, of a kind that Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    height, width = rows.shape[:2]
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
            *(chunk(kind, data) for kind, data in chunks),
            chunk(b"IDAT", zlib.compress(raw)),
            chunk(b"IEND", b""),
        ]
    )


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(read(tmp_path, encoded(grey, kind)), np.dstack([grey] * 3))
    bits = Image.fromarray(grey > 100)
    assert bits.mode == "1"
    found = read(tmp_path, encoded(bits, "PNG"))
    assert np.array_equal(found[..., 0], np.where(grey > 100, 255, 0))


def test_palette_becomes_rgb(tmp_path: Path, picture: Picture) -> None:
    image = Image.fromarray(picture(5, 20, 20)).quantize(64)
    wanted = np.array(image.getpalette()).reshape(-1, 3)[np.asarray(image)]
    assert np.array_equal(read(tmp_path, encoded(image, "PNG")), wanted)
    assert np.array_equal(read(tmp_path, encoded(image, "GIF")), wanted)


def test_16_bit_grey_is_scaled_to_8(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    wanted = np.rint(values / 65535 * 255).astype(int)
    for data in (
        png(16, 0, values.astype(">u2")),
        encoded(Image.fromarray(values), "PNG"),
        encoded(Image.fromarray(values), "TIFF"),
    ):
        found = read(tmp_path, data).astype(int)
        assert np.array_equal(found[..., 0], wanted)
        assert np.array_equal(found[..., 1], found[..., 2])


def test_16_bit_colour_is_scaled_to_8(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (9, 9, 3)).astype(">u2")
    found = read(tmp_path, png(16, 2, values)).astype(int)
    assert np.abs(found - values.astype(int) / 257).max() <= 1


def test_32_bit_values_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    assert "32-bit" in reason(tmp_path, encoded(values, "TIFF"))
    assert "32-bit" in reason(tmp_path, encoded(values.astype(np.int32), "TIFF"))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    """Solid inks: a patch of each, K = 0, so that R = 255 - C and so on."""
    rgb = np.repeat(np.repeat([[[200, 30, 40], [20, 220, 60], [30, 50, 240]]], 24, 0), 24, 1)
    inks = np.dstack([255 - rgb, np.zeros(rgb.shape[:2])]).astype(np.uint8)
    data = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=98)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    found = read(tmp_path, data)
    assert np.abs(found[:, 12::24].astype(int) - rgb[:, 12::24]).max() < 8
    assert read(tmp_path, data, at_least=(10, 4)).shape[2] == 3


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path, picture: Picture) -> None:
    rgb = picture(6, 20, 14)
    alpha = np.full((14, 20), 255, np.uint8)
    assert np.array_equal(read(tmp_path, encoded(np.dstack([rgb, alpha]), "PNG")), rgb)
    grey = np.dstack([rgb[..., 0], alpha])
    assert np.array_equal(read(tmp_path, encoded(grey, "PNG"))[..., 0], rgb[..., 0])
    alpha[3, 3] = 254
    assert "transparent" in reason(tmp_path, encoded(np.dstack([rgb, alpha]), "PNG"))
    assert "transparent" in reason(tmp_path, encoded(np.dstack([rgb[..., 0], alpha]), "PNG"))
    assert "transparent" in reason(
        tmp_path, encoded(np.dstack([rgb, alpha]), "WEBP", lossless=True)
    )
    # A transparent colour of the palette, used and unused; a transparent grey or RGB value.
    image = Image.fromarray(rgb).quantize(8)
    used = int(np.asarray(image)[0, 0])
    assert "transparent" in reason(tmp_path, encoded(image, "PNG", transparency=used))
    assert read(tmp_path, encoded(image, "PNG", transparency=200)).shape == rgb.shape
    flat = np.full((5, 5), 9, np.uint8)
    assert "transparent" in reason(tmp_path, encoded(flat, "PNG", transparency=9))
    assert read(tmp_path, encoded(flat, "PNG", transparency=10)).shape == (5, 5, 3)


def test_animated_and_many_pages_are_refused(tmp_path: Path, picture: Picture) -> None:
    frames = [Image.fromarray(picture(k, 20, 20)) for k in range(3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert "animated or has several pages" in reason(tmp_path, data)


def test_mpo_gives_its_first_picture(tmp_path: Path, picture: Picture) -> None:
    frames = [Image.fromarray(picture(k, 40, 24)) for k in range(2)]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)  # type: ignore[attr-defined]
    first, second = (np.abs(read(tmp_path, data) - picture(k, 40, 24).astype(int)) for k in (0, 1))
    assert first.mean() < 10 < second.mean() / 2


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_cut_files_are_refused(tmp_path: Path, picture: Picture, kind: str, part: float) -> None:
    data = encoded(picture(8, 80, 60), kind)
    reason(tmp_path, data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"hello, I am text\n" * 9,
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"<html></html>",
    ],
    ids=["empty", "one byte", "text", "JPEG start", "PNG start", "web page"],
)
def test_files_that_are_no_pictures_are_refused(tmp_path: Path, data: bytes) -> None:
    assert reason(tmp_path, data)


def test_a_damaged_png_is_refused(tmp_path: Path, picture: Picture) -> None:
    data = bytearray(encoded(picture(9, 60, 60), "PNG"))
    data[len(data) // 2] ^= 255
    assert "broken file" in reason(tmp_path, bytes(data))


@pytest.mark.filterwarnings("ignore")
def test_a_tiff_without_a_size_is_refused(tmp_path: Path) -> None:
    reason(tmp_path, tiff_block((0x0106, 3, 1, b"\2\0")), "p.tif")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_refused(tmp_path: Path, picture: Picture) -> None:
    data = encoded(picture(9, 64, 64), "AVIF")
    start = data.index(b"mdat") + 4
    reason(tmp_path, data[:start] + bytes(len(data) - start), "p.avif")


@given(st.data())
@settings(max_examples=120, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_refused_or_read_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, picture: Picture, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "MPO"]))
    options = {"exif": exif(6)} if kind in ("JPEG", "PNG", "WEBP", "MPO") else {}
    file = bytearray(encoded(picture(1, 30, 20), kind, **options))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, min(len(file), 300) - 1))
        file[where] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(file)
    try:
        photo = photos.read(path.parent, path.name, data.draw(st.sampled_from([None, (8, 8)])))
    except Skipped as reason:
        text = str(reason)
    else:
        text = "fine"
        assert photo.pixels.shape[2] == 3
    assert len(text.splitlines()) == 1


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Skipped, match="missing"):
        photos.read(tmp_path, "gone.jpg")


def test_too_many_pixels_are_refused(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.png").write_bytes(encoded(picture(0, 40, 40), "PNG"))
    with pytest.raises(
        Skipped, match=r"too many pixels: 40x40 .* 1,599 \(raise it with --max-pixels"
    ):
        photos.read(tmp_path, "p.png", max_pixels=1599)
    assert photos.read(tmp_path, "p.png", max_pixels=1600).picture.size == (40, 40)


def test_find_lists_pictures_in_subfolders_sorted(tmp_path: Path, picture: Picture) -> None:
    wanted = ["B.PNG", "a.jpg", "deep/er/x.Jpeg", "deep/x.webp", "space and ünï.png", 'q"\n,.gif']
    for name in [*wanted, ".hidden.png", ".dir/a.png", "notes.txt", "a.jpg.part", "png"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "in.png").write_bytes(b"")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.jpg")
    assert photos.find(tmp_path) == sorted([*wanted, "folder.png/in.png", "link.png"])


def test_find_refuses_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture file"):
        photos.find(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        photos.find(tmp_path / "gone")
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(InputError, match="no folder"):
        photos.find(tmp_path / "file.png")


def test_provenance_is_read_from_photos_csv(tmp_path: Path) -> None:
    assert photos.provenance(tmp_path) == {}
    table = tmp_path / "photos.csv"
    table.write_text(
        "licence,file_name,source_url,other\n"
        'CC0,a.jpg,https://x.org/1,z\n,b.jpg,,\nMIT,,https://x.org,\n"CC BY, 4.0",c d.jpg,,\n'
    )
    assert photos.provenance(tmp_path) == {
        "a.jpg": ("https://x.org/1", "CC0"),
        "b.jpg": ("", ""),
        "c d.jpg": ("", "CC BY, 4.0"),
    }
    table.write_text("file_name,source_url,licence\na.jpg,CC0\n")
    with pytest.raises(InputError, match=r"row 0, line 2: 2 cells.*licence is missing"):
        photos.provenance(tmp_path)  # is CC0 the source, or the licence?
    table.write_text("something,else\n1,2\n")
    with pytest.raises(InputError, match=r"photos\.csv lacks the column file_name"):
        photos.provenance(tmp_path)


def test_provenance_of_a_spreadsheet_programme(tmp_path: Path) -> None:
    """Such programs write a byte order mark, or another encoding than UTF-8."""
    table = tmp_path / "photos.csv"
    table.write_bytes(b"\xef\xbb\xbffile_name,source_url,licence\r\na.jpg,https://x.org,CC0\r\n")
    assert photos.provenance(tmp_path) == {"a.jpg": ("https://x.org", "CC0")}
    table.write_bytes("file_name,source_url,licence\na.jpg,für,CC0\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"photos\.csv"):
        photos.provenance(tmp_path)


def test_provenance_is_matched_with_the_photos(tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    names = ["e\u0301.jpg", "sub/b.jpg", "c.jpg"]
    table.write_text(
        "File name;License;source_url\n\u00e9.jpg;CC0;\n"
        f"{tmp_path.name}\\sub\\b.jpg;NA;https://x.org\n./other.jpg;MIT;\n",
        encoding="utf-16",
    )
    assert photos.provenance(tmp_path, names) == {
        "e\u0301.jpg": ("", "CC0"),
        "sub/b.jpg": ("https://x.org", "NA"),
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("photos/a.jpg,CC0\n", "names none of the 2 photos: its first name is 'photos/a.jpg'"),
        ("a.jpg,CC0\nb.jpg,CC0\n./a.jpg,MIT\n", "row 2, line 4 .*: another source or licence of a"),
        ("a.jpg\n", "row 0, line 2: 1 cell, the header has 2"),
    ],
)
def test_provenance_is_never_lost_silently(tmp_path: Path, rows: str, words: str) -> None:
    (tmp_path / "photos.csv").write_text("file_name,licence\n" + rows)
    with pytest.raises(InputError, match=words):
        photos.provenance(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / "photos.csv").write_text("file_name,licence\n")
    assert photos.provenance(tmp_path, ["a.jpg"]) == {}, "there is nothing to lose"


def distance(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_hashes_tell_copies_from_other_photos(tmp_path: Path, picture: Picture) -> None:
    hashes = []
    for seed in range(12):
        pixels = np.asarray(Image.fromarray(picture(seed)).resize((384, 320)))
        own = photos.dhash(Image.fromarray(pixels))
        assert 0 <= own < 2**64
        copies = [
            read(tmp_path, encoded(pixels, "JPEG", quality=60)),
            np.asarray(Image.fromarray(pixels).resize((230, 190), Image.Resampling.BICUBIC)),
            np.asarray(Image.fromarray(pixels).resize((800, 700), Image.Resampling.BICUBIC)),
            (pixels * 0.9).astype(np.uint8),
        ]
        for copy in copies:
            assert distance(own, photos.dhash(Image.fromarray(copy))) <= photos.NEAR
        hashes.append(own)
    for a, b in itertools.combinations(hashes, 2):
        assert distance(a, b) > photos.NEAR


def test_the_hash_compares_neighbours_in_a_9x8_grid() -> None:
    """Oracle: Krawetz's rule on a picture of 9x8 flat cells."""
    grid = np.random.default_rng(3).permutation(72).reshape(8, 9) * 3
    pixels = np.kron(grid, np.ones((10, 10), int))[..., None].repeat(3, 2).astype(np.uint8)
    bits = "".join("1" if row[i + 1] > row[i] else "0" for row in grid for i in range(8))
    assert photos.dhash(Image.fromarray(pixels)) == int(bits, 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (9, 8), (143, 127)])
def test_any_size_has_a_hash(picture: Picture, size: tuple[int, int]) -> None:
    assert 0 <= photos.dhash(Image.fromarray(picture(0, *size))) < 2**64


@given(
    st.lists(
        st.one_of(
            st.integers(0, 2**64 - 1),
            st.lists(st.integers(0, 13), max_size=6).map(
                lambda bits: sum(1 << b for b in set(bits))
            ),
        ),
        max_size=25,
    ),
    st.integers(0, 6),
)
@settings(max_examples=150, deadline=None)
def test_groups_are_the_connected_components(hashes: list[int], near: int) -> None:
    found = photos.groups(hashes, near)
    wanted = []
    for start in range(len(hashes)):
        reached, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for other in range(len(hashes)):
                if other not in reached and distance(hashes[here], hashes[other]) <= near:
                    reached.add(other)
                    todo.append(other)
        wanted.append(min(reached))
    assert found == wanted


def test_groups_are_the_same_in_jobs_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    hashes = [int(each) for each in rng.integers(0, 2**63, 400)]
    for number in range(200):  # near one of the others, or equal to it
        bits = rng.integers(0, 64, rng.integers(0, 6)).tolist()
        hashes[number] = hashes[int(rng.integers(200, 400))] ^ sum(1 << bit for bit in set(bits))
    expected = photos.groups(hashes)
    assert 200 < len(set(expected)) < 300
    monkeypatch.setattr(near_duplicates, "JOB", 30)
    monkeypatch.setattr(near_duplicates, "BLOCK", 2)
    jobs: list[Any] = []

    def run_jobs(function: Any, arguments: Any) -> Any:
        for each in arguments:
            jobs.append(each)
            yield function(*each)

    assert photos.groups(hashes, run_jobs=run_jobs) == expected
    assert len(jobs) > 5


def test_groups_link_through_a_third() -> None:
    assert photos.groups([0, 0b111111, 0b111], near=3) == [0, 0, 0]
    assert photos.groups([0, 0b111111, 0b111], near=2) == [0, 1, 2]
    assert photos.groups([]) == []


members = st.lists(st.integers(0, 8), min_size=1, max_size=60)
shares = st.tuples(*[st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.8, 1.0, 3.0])] * 3).filter(any)


@given(members, shares, st.integers(0, 2**63))
@settings(max_examples=150, deadline=None)
def test_assign_keeps_groups_whole_and_zero_shares_empty(
    group: list[int], share: tuple[float, ...], seed: int
) -> None:
    found = photos.assign_splits(group, share, seed)
    assert len(found) == len(group)
    for g in set(group):
        assert len({split for split, other in zip(found, group, strict=True) if other == g}) == 1
    for split in found:
        assert share[split] > 0
    assert found == photos.assign_splits(group, share, seed)


@given(st.integers(1, 200), shares, st.integers(0, 2**63))
@settings(max_examples=100, deadline=None)
def test_assign_gives_singletons_their_exact_share(
    n: int, share: tuple[float, ...], seed: int
) -> None:
    counts = Counter(photos.assign_splits(range(n), share, seed))
    for split in range(3):
        assert abs(counts[split] - n * share[split] / sum(share)) < 1 - 1e-9 or counts[
            split
        ] == pytest.approx(n * share[split] / sum(share))


def test_assign_mixes_and_follows_the_seed() -> None:
    found = [tuple(photos.assign_splits(range(40), (0.5, 0.25, 0.25), seed)) for seed in range(5)]
    assert len(set(found)) == 5
    assert Counter(found[0]) == {0: 20, 1: 10, 2: 10}
