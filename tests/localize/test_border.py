"""Where a picture ends is known to the pixel, and there is no evidence of a region there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localize.localizer import Told
from localize.methods.hough.border import LEAST, NEAR, Border, framed
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.step_likelihood import heard
from localize.methods.ringvote import predict_image_only, predict_told, tta
from localize.methods.ringvote.network import POOL, Trunk
from synth import renderer, scenes
from synth.anomaly import Anomaly, apply

CPU = torch.device("cpu")
PHOTO = scenes.scene(120, 90, np.random.default_rng(5))
COLOURS = [(0, 0, 0), (255, 255, 255), (200, 30, 60), (114, 114, 114)]
SIDES = st.tuples(*[st.just(0) | st.integers(LEAST, 30)] * 4)


def in_frame(
    photo: np.ndarray, sides: tuple[int, ...], colour: tuple[int, ...] = (0, 0, 0)
) -> np.ndarray:
    """(H, W, 3) uint8; top, bottom, left, right, px -> the same in a frame."""
    top, bottom, left, right = sides
    height, width = photo.shape[:2]
    image = np.empty((top + height + bottom, left + width + right, 3), np.uint8)
    image[:] = colour
    image[top : top + height, left : left + width] = photo
    return image


def ends(image: np.ndarray) -> tuple[int, ...]:
    """(H, W, 3) uint8 -> widths of its frame: top, bottom, left, right, px."""
    across = image.swapaxes(0, 1)
    return framed(image), framed(image[::-1]), framed(across), framed(across[::-1])


@given(sides=SIDES, colour=st.sampled_from(COLOURS[:3]))
def test_a_frame_ends_where_the_picture_begins(
    sides: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    assert ends(in_frame(PHOTO, sides, colour)) == sides


@pytest.mark.parametrize("colour", [*COLOURS[:2], COLOURS[3]])
@pytest.mark.parametrize("side", range(8, 25))  # from a block of its own on
def test_coding_does_not_move_the_edge(side: int, colour: tuple[int, ...]) -> None:
    sides = (side, 0, 0, side)
    coded = renderer.encode(in_frame(PHOTO, sides, colour), "jpeg", 90)
    assert ends(renderer.decode(coded)) == sides


@pytest.mark.parametrize("image", [PHOTO, np.full((40, 50, 3), 90, np.uint8), PHOTO[:1, :1]])
def test_a_picture_without_a_frame(image: np.ndarray) -> None:
    assert ends(image) == (0, 0, 0, 0)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [0.8, 1.25])
@pytest.mark.parametrize("level", [40, 120, 200])
def test_a_region_on_a_plain_background_is_none(level: int, ratio: float, shape: Any) -> None:
    plain = np.full((160, 150, 3), level, np.uint8)
    assert ends(apply(plain, Anomaly(74, 79, 70, ratio, shape))) == (0, 0, 0, 0)


def test_an_object_on_a_plain_background_is_none() -> None:
    image = np.full((160, 150, 3), 250, np.uint8)
    image[50:80, 60:90] = PHOTO[:30, :30]
    assert ends(image) == (0, 0, 0, 0)


@given(sides=SIDES)
def test_what_is_near_is_so_by_distance(sides: tuple[int, ...]) -> None:
    """From the image's edge, and from that of the picture in its frame."""
    border = Border.of(in_frame(PHOTO, sides))
    for lines, before, after in ((border.rows, *sides[:2]), (border.cols, *sides[2:])):
        middles = np.arange(len(lines)) + 0.5
        edges = np.array([0, before, len(lines) - after, len(lines)])
        assert lines.tolist() == (np.abs(middles[:, None] - edges).min(1) < NEAR).tolist()


def test_cells_are_silent_that_hold_a_pixel_near_it() -> None:
    border = Border.of(in_frame(PHOTO, (29, 0, 30, 0)))
    planes = torch.ones(2, 6, 7)
    quiet = border.silence(planes, top=18, left=32, cell=4)[0] == 0
    assert quiet.all(1).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]  # rows 21 to 36
    assert quiet.all(0).nonzero().flatten().tolist() == [0, 1]  # columns 22 to 37


FRAMED = in_frame(PHOTO, (40, 0, 0, 0))
EDGE, BESIDE = slice(40 - NEAR, 40 + NEAR), 40 + NEAR


@pytest.mark.parametrize("careful", [False, True])
def test_told_no_evidence_there(
    lively: Trunk, looking: Callable[[Trunk, int], Trunk], careful: bool
) -> None:
    network = looking(lively, tta.MOST) if careful else lively
    planes = predict_told.told_peaks(network, FRAMED, Told(24, 1.1))[0]
    assert not planes[:, EDGE].any()
    assert planes[:, BESIDE].any()
    assert not planes[:, :, :NEAR].any()
    assert planes[:, :, NEAR].any()


def test_no_votes_there() -> None:
    votes = heard(FRAMED, 1.1, CPU)
    assert not votes[:, EDGE].any()
    assert votes[:, BESIDE].any()


def test_untold_neither_squares_nor_pixels_say_anything_there(
    lively: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's own say, where the border is not heeded, does reach there."""
    coarse, loud = predict_image_only.coarse, []

    def watched(network: Trunk, squares: torch.Tensor, *known: Any) -> list[Candidate]:
        loud.append(bool(squares[..., EDGE.start // POOL : EDGE.stop // POOL, :].any()))
        assert squares[..., BESIDE // POOL, :].any()
        return coarse(network, squares, *known)

    def there(region: Candidate) -> bool:
        planes, top, _ = predict_image_only.window(lively, seen, border, [region])
        return bool(planes[:, EDGE.start - top : EDGE.stop - top].any())

    monkeypatch.setattr(predict_image_only, "coarse", watched)
    seen, border, _ = predict_image_only.blind_candidates(lively, FRAMED)
    loud.append(there(Candidate(60, 60, 24)))
    monkeypatch.setattr(Border, "silence", lambda _, planes, *__, **___: planes)
    predict_image_only.blind_candidates(lively, FRAMED)
    loud.append(there(Candidate(60, 60, 24)))
    assert loud == [False, False, True, True]
