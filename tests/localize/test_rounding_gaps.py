"""Rounding gaps: counted correctly, found in lossless files, and exactly 0 everywhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from localize import registry
from localize.evaluation import scoring, validity
from localize.localizer import Finding, Localizer, Told
from localize.methods.hough import gap_scores
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.gap_scores import (
    add_gap_evidence,
    gap_map,
)
from localize.methods.hough.interior import circle_sums, square_sums
from localize.methods.hough.rounding_gaps import (
    CODES,
    ROUNDINGS,
    CodeRounding,
    channel_histograms,
    gaps_and_doubles,
    neighbours,
    pixel_evidence,
    pixel_table,
    preimages,
    search_grid,
    value_evidence,
)
from synth import renderer, scenes
from synth.anomaly import Anomaly, apply

SCENE = scenes.scene(320, 240, np.random.default_rng(8))
TRUE = Candidate(160, 120, 48, 2.0, False, 1.06)
ELSEWHERE = [Candidate(60, 60, 40, 1.0, False, 1.06), Candidate(250, 170, 50, 1.0, True, 1.06)]
RATIOS = st.floats(0.75, 1.3)


def region(rounding: str = "nearest", ratio: float = TRUE.ratio) -> Anomaly:
    return dataclasses.replace(
        Anomaly(TRUE.x, TRUE.y, TRUE.r, ratio),
        rounding=rounding,  # type: ignore[arg-type]
    )


def terms(image: np.ndarray) -> list[float]:
    """The terms of the true region and of two others."""
    scored = {(one.x, one.y): one for one in add_gap_evidence([TRUE, *ELSEWHERE], image)}
    assert all(one.logit >= one.gaps for one in scored.values())
    return [scored[one.x, one.y].gaps for one in (TRUE, *ELSEWHERE)]


@given(ratio=RATIOS, rounding=st.sampled_from(ROUNDINGS))
def test_preimages_are_those_of_the_anomaly(ratio: float, rounding: CodeRounding) -> None:
    codes = np.arange(CODES, dtype=np.uint8).reshape(1, -1, 1).repeat(3, 2)
    whole = Anomaly(128, 0, 200, ratio, rounding=rounding)
    products = apply(codes, whole)[0, :, 0]
    wrapped = apply(codes, dataclasses.replace(whole, overflow="wrap"))[0, :, 0]
    counts = preimages(ratio, rounding)
    uncertain = {0, 255, *products[products != wrapped], *wrapped[products != wrapped]}
    largest = int(products.max())
    for value in range(CODES):
        if (
            value in uncertain
            or value >= largest
            or value <= max(wrapped[products != wrapped], default=-1)
        ):
            assert counts[value] == 1
        else:
            assert counts[value] == (products == value).sum()


@given(ratio=RATIOS, rounding=st.sampled_from(ROUNDINGS))
def test_there_are_gaps_above_one_and_doubles_below(ratio: float, rounding: CodeRounding) -> None:
    gaps, doubles = gaps_and_doubles(ratio, rounding)
    assert not (gaps.any() and ratio < 1)
    assert not (doubles.any() and ratio > 1)
    assert not (gaps[1:] & gaps[:-1]).any()


def test_the_grid_has_a_ratio_near_any() -> None:
    grid = search_grid()
    assert grid.gaps.shape == grid.doubles.shape == (CODES, len(grid.ratios))
    assert {0.9, 1.05, 1.1} <= set(grid.ratios)
    gaps, doubles = gaps_and_doubles(1.0437, "floor")
    alike = (grid.gaps * gaps[:, None]).sum(0) / np.maximum(grid.gaps.sum(0), gaps.sum())
    assert alike.max() > 0.8
    assert not doubles.any()


@given(st.floats(3, 30), st.floats(60, 200), st.floats(100, 1e5))
def test_a_smooth_peak_has_no_gap(width: float, centre: float, total: float) -> None:
    peak = np.exp(-(((np.arange(CODES) - centre) / width) ** 2) / 2)
    counts = np.tile(np.rint(total * peak / peak.sum()), (3, 1))
    gap, _ = value_evidence(counts, counts, 3 * counts)
    assert (neighbours(counts)[0] <= counts[0] * 1.001 + 1).all()
    assert gap.max() < 3 * 4  # at most a few pixels in the tails


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("ratio", [1.06, 0.9])
def test_a_region_of_a_lossless_file_is_found(rounding: str, ratio: float) -> None:
    image = apply(SCENE, region(rounding, ratio))
    candidates = [dataclasses.replace(one, ratio=ratio) for one in (TRUE, *ELSEWHERE)]
    scored = {(one.x, one.y): one.gaps for one in add_gap_evidence(candidates, image)}
    assert scored[TRUE.x, TRUE.y] > 10
    assert [scored[one.x, one.y] for one in ELSEWHERE] == [0, 0]


def test_the_likeliest_candidate_is_first() -> None:
    ahead = dataclasses.replace(ELSEWHERE[0], logit=5.0)
    scored = add_gap_evidence([ahead, TRUE], apply(SCENE, region()))
    assert (scored[0].x, scored[0].y) == (TRUE.x, TRUE.y)
    assert scored[0].logit == pytest.approx(TRUE.logit + scored[0].gaps)
    assert scored[1] == ahead


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_the_map_is_highest_at_the_centre(shape: str) -> None:
    image = apply(SCENE, dataclasses.replace(region(), shape=shape))  # type: ignore[arg-type]
    map = gap_map(image, Told(TRUE.r, TRUE.ratio))
    assert map is not None
    assert map.shape == image.shape[:2]
    assert map.min() == 0
    y, x = np.unravel_index(map.argmax(), map.shape)
    assert np.hypot(y - TRUE.y, x - TRUE.x) <= 3


def tone_curve(image: np.ndarray) -> np.ndarray:
    curve = np.clip((np.arange(CODES) - 12) * 1.13, 0, 255)
    return cast(np.ndarray, np.rint(curve).astype(np.uint8)[image])


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    return renderer.decode(renderer.encode(image, "jpeg", quality))


NOTHING_TO_SEE = {
    "clean": SCENE,
    "tone curve of the whole picture": tone_curve(SCENE),
    "darkened as a whole": np.rint(SCENE * 0.9).astype(np.uint8),
    "stochastic": apply(SCENE, region("stochastic"), np.random.default_rng(0)),
    "JPEG 90": jpeg(apply(SCENE, region()), 90),
    "JPEG 98": jpeg(apply(SCENE, region()), 98),
    "flat": np.full_like(SCENE, 117),
    "black": np.zeros_like(SCENE),
    "white": np.full_like(SCENE, 255),
    "few colours": SCENE // 24 * 24,
    "ramp": np.broadcast_to(np.arange(320)[None, :, None] * 255 // 320, SCENE.shape).astype("u1"),
}


@pytest.mark.parametrize("name", NOTHING_TO_SEE)
def test_without_gaps_the_term_is_exactly_0(name: str) -> None:
    image = NOTHING_TO_SEE[name]
    assert terms(image) == [0, 0, 0]
    for ratio in (1.06, 0.93):
        assert gap_map(image, Told(TRUE.r, ratio)) is None


def test_a_region_shows_within_a_tone_curve_of_the_whole_picture() -> None:
    assert terms(apply(tone_curve(SCENE), region()))[0] > 0


def test_a_pixel_costs_a_bounded_amount() -> None:
    table = pixel_table(channel_histograms(SCENE), 1.06, "nearest")
    assert np.abs(table).max() < 4
    assert (table[:, [0, 255]] == 0).all()
    evidence = pixel_evidence(SCENE, table)
    assert evidence.shape == SCENE.shape[:2]
    assert evidence.dtype == np.float32
    value = SCENE[7, 9]
    assert evidence[7, 9] == pytest.approx(sum(table[c, value[c]] for c in range(3)))


@given(r=st.floats(0, 12), y=st.integers(0, 23), x=st.integers(0, 30))
def test_sums_in_regions_equal_brute_force(r: float, y: int, x: int) -> None:
    plane = np.random.default_rng(0).normal(size=(24, 31)).astype(np.float32)
    down, across = np.abs(np.arange(24)[:, None] - y), np.abs(np.arange(31) - x)
    square, circle = np.maximum(down, across) <= r, down**2 + across**2 <= r * r
    assert square_sums(plane, r)[y, x] == pytest.approx(plane[square].sum(), abs=1e-3)
    assert circle_sums(plane, r)[y, x] == pytest.approx(plane[circle].sum(), abs=1e-3)


@given(r=st.floats(1, 60), y=st.integers(-10, 90), x=st.integers(-10, 130), square=st.booleans())
def test_counts_are_those_of_the_pixels_inside(r: float, y: int, x: int, square: bool) -> None:
    image = SCENE[:80, :120]
    inside, independent, weight = gap_scores.interior_counts(image, Candidate(x, y, r, 0, square))
    down, across = np.abs(np.arange(80)[:, None] - y), np.abs(np.arange(120) - x)
    reach = max(0, r - gap_scores.EDGE)
    mask = np.maximum(down, across) <= reach if square else down**2 + across**2 <= reach**2
    mask = mask & (np.arange(80)[:, None] > 0) & (np.arange(120) > 0)  # they lack a neighbour
    assert (independent <= inside).all()
    if weight == 1:
        expected = [np.bincount(image[mask][:, c], minlength=CODES) for c in range(3)]
        assert (inside == np.array(expected)).all()


def test_no_candidates_and_tiny_images() -> None:
    assert add_gap_evidence([], SCENE) == []
    tiny = np.zeros((1, 2, 3), np.uint8)
    assert add_gap_evidence([Candidate(0, 0, 1, 0.5)], tiny) == [Candidate(0, 0, 1, 0.5)]
    assert gap_map(tiny, Told(40, 1.06)) is None


@pytest.fixture(scope="module")
def methods() -> dict[tuple[str, bool], Localizer]:
    """The included methods, with and without the term."""
    names = ("ringvote-told", "ringvote")
    return {
        (name, gaps): registry.load(name, device="cpu", gaps=gaps)
        for name in names
        for gaps in (True, False)
    }


@pytest.mark.parametrize("name", ["ringvote-told", "ringvote"])
def test_the_answer_says_what_gaps_contributed(
    methods: dict[tuple[str, bool], Localizer], name: str
) -> None:
    told = [Told(TRUE.r, TRUE.ratio)] if name.endswith("told") else None
    lossless = apply(SCENE, region())
    (found,), (plain,) = (methods[name, gaps].locate([lossless], told) for gaps in (True, False))
    assert found.gap_evidence is not None
    assert found.gap_evidence > 10
    assert plain.gap_evidence is None
    assert found.score is not None
    assert plain.score is not None
    assert found.score > plain.score
    assert np.hypot(found.x - TRUE.x, found.y - TRUE.y) < 5


@pytest.mark.parametrize("name", ["ringvote-told", "ringvote"])
def test_after_jpeg_answers_are_as_without_the_term(
    methods: dict[tuple[str, bool], Localizer], name: str
) -> None:
    told = [Told(TRUE.r, TRUE.ratio)] if name.endswith("told") else None
    image = jpeg(apply(SCENE, region()), 95)
    (found,), (plain,) = (methods[name, gaps].locate([image], told) for gaps in (True, False))
    assert found.gap_evidence == 0
    assert dataclasses.replace(found, gap_evidence=None) == plain


def test_find_prints_the_term(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    lossless = apply(SCENE, region())
    for name, image in (("changed", lossless), ("clean", SCENE)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    code, said, _ = run("find", tmp_path, "--r", TRUE.r, "--ratio", TRUE.ratio)
    changed, clean = said.splitlines()[:2]
    assert code == 0
    assert "rounding gaps" in changed
    assert "rounding gaps" not in clean


def test_predictions_keep_the_term() -> None:
    finding, reason = validity.validate(Finding(3, 4, score=1.0, gap_evidence=2.5))
    assert (finding.gap_evidence, reason) == (2.5, "")
    assert "gap_evidence" in scoring.PREDICTIONS


def test_the_scores_note_how_many_answers_use_gaps() -> None:
    table = pd.DataFrame({"gap_evidence": [0.0, 3.5, np.nan, 20.0]})
    assert scoring.note_of(table, False) == "rounding gaps in 2 of 4 answers"
    assert scoring.note_of(table, True).startswith("collapsed")
    assert scoring.note_of(table[:1], False) == ""
