"""A frame's width is found to the pixel, and there is no evidence near the edge of the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localize.localizer import Told
from localize.methods.hough.border import LEAST_WIDTH, NEAR, Border, frame_width
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.step_likelihood import dense
from localize.methods.ringvote import predict_image_only, predict_told, tta
from localize.methods.ringvote.evidence import encode_image
from localize.methods.ringvote.network import POOL, RingVoteNet
from synth import renderer, scenes
from synth.anomaly import Anomaly, apply

CPU = torch.device("cpu")
PHOTO = scenes.scene(120, 90, np.random.default_rng(5))
COLOURS = [(0, 0, 0), (255, 255, 255), (200, 30, 60), (114, 114, 114)]
WIDTHS = st.tuples(*[st.just(0) | st.integers(LEAST_WIDTH, 30)] * 4)


def in_frame(
    photo: np.ndarray, widths: tuple[int, ...], colour: tuple[int, ...] = (0, 0, 0)
) -> np.ndarray:
    """(H, W, 3) uint8; top, bottom, left, right, px -> the same in a frame."""
    top, bottom, left, right = widths
    height, width = photo.shape[:2]
    image = np.empty((top + height + bottom, left + width + right, 3), np.uint8)
    image[:] = colour
    image[top : top + height, left : left + width] = photo
    return image


def frame_of(image: np.ndarray) -> tuple[int, ...]:
    """(H, W, 3) uint8 -> widths of its frame: top, bottom, left, right, px."""
    across = image.swapaxes(0, 1)
    sides = (image, image[::-1], across, across[::-1])
    return tuple(frame_width(side) for side in sides)


@given(widths=WIDTHS, colour=st.sampled_from(COLOURS[:3]))
def test_a_frame_ends_where_the_picture_begins(
    widths: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    assert frame_of(in_frame(PHOTO, widths, colour)) == widths


@pytest.mark.parametrize("colour", [*COLOURS[:2], COLOURS[3]])
@pytest.mark.parametrize("side", range(8, 25))  # from a block of its own on
def test_coding_does_not_move_the_edge(side: int, colour: tuple[int, ...]) -> None:
    widths = (side, 0, 0, side)
    coded = renderer.encode(in_frame(PHOTO, widths, colour), "jpeg", 90)
    assert frame_of(renderer.decode(coded)) == widths


@pytest.mark.parametrize("image", [PHOTO, np.full((40, 50, 3), 90, np.uint8), PHOTO[:1, :1]])
def test_a_picture_without_a_frame(image: np.ndarray) -> None:
    assert frame_of(image) == (0, 0, 0, 0)


@pytest.mark.parametrize("shape", ["circle", "square"])
@pytest.mark.parametrize("ratio", [0.8, 1.25])
@pytest.mark.parametrize("level", [40, 120, 200])
def test_a_region_on_a_plain_background_is_none(level: int, ratio: float, shape: Any) -> None:
    plain = np.full((160, 150, 3), level, np.uint8)
    assert frame_of(apply(plain, Anomaly(74, 79, 70, ratio, shape))) == (0, 0, 0, 0)


def test_an_object_on_a_plain_background_is_none() -> None:
    image = np.full((160, 150, 3), 250, np.uint8)
    image[50:80, 60:90] = PHOTO[:30, :30]
    assert frame_of(image) == (0, 0, 0, 0)


@given(widths=WIDTHS)
def test_the_border_is_what_is_near_an_edge(widths: tuple[int, ...]) -> None:
    """From the image's edge, and from that of the picture in its frame."""
    border = Border.of(in_frame(PHOTO, widths))
    for lines, before, after in ((border.rows, *widths[:2]), (border.cols, *widths[2:])):
        middles = np.arange(len(lines)) + 0.5
        edges = np.array([0, before, len(lines) - after, len(lines)])
        assert lines.tolist() == (np.abs(middles[:, None] - edges).min(1) < NEAR).tolist()


def test_cells_with_a_pixel_near_the_edge_are_suppressed() -> None:
    border = Border.of(in_frame(PHOTO, (29, 0, 30, 0)))
    planes = torch.ones(2, 6, 7)
    suppressed = border.suppress(planes, top=18, left=32, cell=4)[0] == 0
    assert suppressed.all(1).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]  # rows 21 to 36
    assert suppressed.all(0).nonzero().flatten().tolist() == [0, 1]  # columns 22 to 37


FRAMED = in_frame(PHOTO, (40, 0, 0, 0))
EDGE, BESIDE = slice(40 - NEAR, 40 + NEAR), 40 + NEAR


@pytest.mark.parametrize("augmented", [False, True])
def test_the_told_form_has_no_evidence_near_the_edge(
    lively: RingVoteNet, with_views: Callable[[RingVoteNet, int], RingVoteNet], augmented: bool
) -> None:
    network = with_views(lively, tta.MOST) if augmented else lively
    planes = predict_told.find_candidates(network, FRAMED, Told(24, 1.1))[0]
    assert not planes[:, EDGE].any()
    assert planes[:, BESIDE].any()
    assert not planes[:, :, :NEAR].any()
    assert planes[:, :, NEAR].any()


def test_the_matched_filter_has_no_evidence_near_the_edge() -> None:
    evidence = dense(FRAMED, 1.1, CPU)
    assert not evidence[:, EDGE].any()
    assert evidence[:, BESIDE].any()


@pytest.mark.parametrize("suppressed", [True, False])
def test_the_image_only_form_has_no_evidence_near_the_edge(
    lively: RingVoteNet, suppressed: bool
) -> None:
    """Neither per square nor per pixel. Without a border there would be some."""
    border, encoding = Border.of(FRAMED), encode_image(lively, FRAMED)
    if not suppressed:
        border = Border(np.zeros_like(border.rows), np.zeros_like(border.cols))
    coarse = predict_image_only.coarse_evidence_of(lively, encoding, border)
    assert coarse[..., EDGE.start // POOL : EDGE.stop // POOL, :].any() != suppressed
    assert coarse[..., BESIDE // POOL, :].any()
    planes, top, _ = predict_image_only.evidence_window(
        lively, encoding, border, [Candidate(60, 60, 24)]
    )
    assert planes[:, EDGE.start - top : EDGE.stop - top].any() != suppressed
    assert planes[:, BESIDE - top].any()
