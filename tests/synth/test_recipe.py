"""A recipe draws regions that fit, with numbers that are rounded before they are used."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth import PRESETS, InputError, Recipe, Skipped
from synth import recipe as module
from synth.recipe import Draw

sides = st.integers(1, 130)
Recipes = Callable[..., st.SearchStrategy[Recipe]]


def draw(recipe: Recipe, width: int, height: int, seed: int = 0) -> Draw:
    return recipe.draw(width, height, np.random.default_rng(seed))


@given(st.data(), sides, sides, st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_a_draw_fits(
    recipes: Recipes, data: st.DataObject, width: int, height: int, seed: int
) -> None:
    recipe = data.draw(recipes())
    try:
        drawn = draw(recipe, width, height, seed)
    except Skipped:
        return
    w, h = drawn.size
    assert (w, h) == ((width, height) if recipe.size == "keep" else recipe.size)
    assert 0 <= drawn.row_seed < 2**32
    if recipe.size != "keep" and recipe.fit == "crop":
        assert drawn.crop is not None
        left, top = drawn.crop
        assert 0 <= left <= width - w
        assert 0 <= top <= height - h
    else:
        assert drawn.crop is None
    assert drawn.anomaly is None or recipe.clean_fraction < 1
    assert drawn.anomaly is not None or recipe.clean_fraction > 0
    if (a := drawn.anomaly) is None:
        return
    assert a.fits(w, h)
    assert w * recipe.margin <= a.x <= w * (1 - recipe.margin) + 1e-9
    assert h * recipe.margin <= a.y <= h * (1 - recipe.margin) + 1e-9
    low, high = recipe.radius
    assert low <= a.r
    assert high == "edge" or a.r <= high
    assert recipe.ratio[0] <= a.discolor_ratio <= recipe.ratio[1]
    for value in (a.x, a.y, a.r):
        assert value == round(value, recipe.position_decimals)
    if a.discolor_ratio not in recipe.ratio:
        assert a.discolor_ratio == round(a.discolor_ratio, recipe.ratio_decimals)
    assert (a.shape, a.overflow, a.rounding) == (recipe.shape, recipe.overflow, recipe.rounding)
    assert a.feather == recipe.feather


@given(st.data(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_a_photo_with_room_is_not_skipped(recipes: Recipes, data: st.DataObject, seed: int) -> None:
    """Both sides are larger than the largest region by at least one pixel."""
    recipe = data.draw(recipes(size="keep", feather=0.0, margin=0.0))
    low, high = recipe.radius
    need = int(2 * (low if high == "edge" else high)) + 3
    draw(recipe, need, need + data.draw(st.integers(0, 9)), seed)


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_the_tightest_places_fit_too(decimals: int) -> None:
    """Sides and radii for which floating point rounds the last possible centre outwards."""
    unit = 10**decimals
    for side in range(21, 60):
        for radius in (6.173, 14.06, 15.06, 4.23, 1.82 + 1.5, 9.7):
            r = round(radius, decimals)
            if r * 2 > side - 1:
                continue
            recipe = Recipe(
                size="keep", radius=(r, r), margin=0, position_decimals=decimals, ratio=(1.1, 1.1)
            )
            # Ask for the last place of the grid: a generator that always draws the largest.
            last = recipe.draw(side, side, Largest())  # type: ignore[arg-type]
            assert last.anomaly is not None
            assert last.anomaly.fits(side, side), (side, r, last.anomaly)
            assert last.anomaly.x > side - 1 - r - 1.5 / unit


class Largest:
    """A random generator that always returns the largest number of the range."""

    def integers(self, low: int, high: int | None = None) -> int:
        bound = low if high is None else high
        if high is not None and low >= high:
            raise ValueError("low >= high")
        return bound - 1

    def random(self) -> float:
        return 0.999

    def uniform(self, low: float, high: float) -> float:
        return high


def test_a_radius_of_half_the_size_leaves_one_place() -> None:
    recipe = Recipe(size="keep", radius=(20, 20), margin=0)
    for seed in range(5):
        a = draw(recipe, 41, 41, seed).anomaly
        assert a is not None
        assert (a.x, a.y, a.r) == (20, 20, 20)
    with pytest.raises(Skipped, match="width of 40 px"):
        draw(recipe, 40, 41)
    with pytest.raises(Skipped, match="height of 40 px"):
        draw(recipe, 41, 40)
    half = draw(dataclasses.replace(recipe, radius=(19.5, "edge")), 40, 40).anomaly
    assert half is not None
    assert (half.x, half.y, half.r) == (19.5, 19.5, 19.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 2), (3, 300)])
def test_tiny_photos_are_skipped_with_a_reason(size: tuple[int, int]) -> None:
    with pytest.raises(Skipped, match="does not fit"):
        draw(Recipe(size="keep"), *size)
    with pytest.raises(Skipped, match=f"photo is {size[0]}x{size[1]}, smaller than 512x512"):
        draw(Recipe(), *size)


def test_the_smallest_region_fits_a_tiny_photo() -> None:
    a = draw(Recipe(size="keep", radius=(1, "edge"), margin=0), 3, 3).anomaly
    assert a is not None
    assert (a.x, a.y, a.r) == (1, 1, 1)


@pytest.mark.parametrize("radius", [1.1, 2.3, 16.1, 20.1, 40.0])
def test_one_fixed_radius_is_a_range_too(radius: float) -> None:
    a = draw(Recipe(size=(128, 128), radius=(radius, radius)), 200, 200).anomaly
    assert a is not None
    assert a.r == radius


def test_a_radius_range_between_two_grid_points_is_refused_not_a_crash() -> None:
    """With integer positions there is no radius in 30.2:30.7 px."""
    with pytest.raises(InputError):
        draw(dataclasses.replace(PRESETS["seed"], radius=(30.2, 30.7)), 900, 900)


def test_radii_without_room_in_the_size_are_refused() -> None:
    with pytest.raises(InputError, match="does not fit into 100x100"):
        Recipe(size=(100, 100), radius=(20, 80))


def test_the_seed_does_not_decide_whether_a_photo_is_used() -> None:
    """Otherwise large regions would be missing from a dataset of small photos."""
    recipe = Recipe(size="keep", radius=(20, 80))
    for seed in range(40):
        with pytest.raises(Skipped):
            draw(recipe, 100, 100, seed)


def test_the_seed_draws_as_the_first_project_did() -> None:
    recipe = PRESETS["seed"]
    found = [draw(recipe, 1000, 600, seed) for seed in range(1500)]
    places = [drawn.anomaly for drawn in found if drawn.anomaly is not None]
    assert len(places) == 1500
    assert {(drawn.size, drawn.crop) for drawn in found} == {((800, 800), None)}
    for a in places:
        assert a.x == int(a.x)
        assert a.y == int(a.y)
        assert a.r == int(a.r)
        assert min(a.x, a.y) >= 100
        assert max(a.x, a.y) <= 700
        assert 30 <= a.r <= min(a.x, a.y, 799 - a.x, 799 - a.y)
    edges = np.array([min(a.x, a.y, 799 - a.x, 799 - a.y) for a in places])
    shares = np.array([a.r for a in places]) / edges
    large = edges > 200  # there, r = max(30, uniform) is nearly uniform
    assert abs(shares[large].mean() - 0.5) < 0.06
    assert {round(100 * a.discolor_ratio) for a in places} == set(range(105, 116))
    assert min(a.x for a in places) < 110
    assert max(a.x for a in places) > 690


@given(st.data(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_codec_rounding_and_the_like_keep_the_places(
    recipes: Recipes, data: st.DataObject, seed: int
) -> None:
    recipe = data.draw(recipes(size=(60, 50), clean_fraction=0.3, margin=0.0))
    others = data.draw(
        st.fixed_dictionaries(
            {
                "codec": st.sampled_from(["jpeg", "png"]),
                "quality": st.integers(1, 100),
                "rounding": st.sampled_from(["nearest", "floor", "stochastic"]),
                "overflow": st.sampled_from(["clip", "wrap"]),
                "shape": st.sampled_from(["circle", "square"]),
                "twins": st.booleans(),
                "masks": st.booleans(),
                "split": st.just((1, 1, 1)),
                "per_photo": st.integers(1, 9),
            }
        )
    )
    first, second = (
        draw(recipe, 90, 70, seed),
        draw(dataclasses.replace(recipe, **others), 90, 70, seed),
    )
    assert (first.size, first.crop, first.row_seed) == (second.size, second.crop, second.row_seed)
    if first.anomaly is None or second.anomaly is None:
        assert first.anomaly is second.anomaly
        return
    for name in ("x", "y", "r", "discolor_ratio", "feather"):
        assert getattr(first.anomaly, name) == getattr(second.anomaly, name)


def test_the_clean_fraction_is_kept_and_moves_no_place() -> None:
    base = Recipe(size=(64, 64), radius=(4, 10))
    some = dataclasses.replace(base, clean_fraction=0.25)
    pairs = [(draw(base, 90, 90, k).anomaly, draw(some, 90, 90, k).anomaly) for k in range(800)]
    assert sum(b is None for _, b in pairs) / 800 == pytest.approx(0.25, abs=0.06)
    assert all(b in (None, a) for a, b in pairs)


def test_ratios_stay_inside_even_when_rounding_would_leave() -> None:
    recipe = Recipe(size="keep", radius=(2, 4), ratio=(1.051, 1.059), ratio_decimals=1)
    for seed in range(20):
        a = draw(recipe, 64, 64, seed).anomaly
        assert a is not None
        assert 1.051 <= a.discolor_ratio <= 1.059


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_json_round_trip(recipes: Recipes, data: st.DataObject) -> None:
    recipe = data.draw(recipes())
    fields = json.loads(json.dumps(recipe.to_dict()))
    assert list(fields) == [field.name for field in dataclasses.fields(Recipe)]
    assert module.from_dict(fields) == recipe
    assert hash(module.from_dict(fields)) == hash(recipe)


def test_load_takes_presets_files_and_datasets(tmp_path: Path) -> None:
    assert module.load("default") == Recipe() == module.from_dict({})
    assert module.load("seed").size == (800, 800)
    file = tmp_path / "mine.json"
    file.write_text('{"ratio": [0.8, 0.9], "size": "keep", "radius": [3, "edge"]}')
    wanted = Recipe(ratio=(0.8, 0.9), size="keep", radius=(3, "edge"))
    assert module.load(file) == module.load(str(file)) == wanted
    file.write_text(json.dumps({"made_by": "x", "recipe": wanted.to_dict(), "versions": {}}))
    assert module.load(file) == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1, 2]", "strange.json holds a list, not an object"),
        ("3", "strange.json holds a number, not an object"),
        ("null", "strange.json holds null"),
        ("[" * 100_000, "strange.json is nested too deeply"),
        ("9" * 6000, "strange.json is not JSON"),
        ('{"seed": ' + "9" * 4000 + "}", "strange.json: recipe: seed is 9"),
        ('{"radius": {"low": 20}}', "strange.json: recipe: radius"),
        ('{"per_photo": true}', "strange.json: recipe: per_photo"),
        ('{"recipe": 5}', "recipe"),
        ('{"recipe": [1]}', "recipe"),
        ('{"radios": [1, 2]}', "did you mean 'radius'"),
        ('{"zzz": 1}', "known: size"),
        ('{"margin": NaN}', "margin"),
        ('{"shape": []}', "shape"),
        ('{"ratio": null}', "ratio"),
        ('{"ratio": [[1], [2]]}', "ratio"),
        ('{"ratio": "12"}', "ratio"),
    ],
)
def test_strange_recipe_files_are_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "strange.json"
    file.write_text(text)
    with pytest.raises(InputError, match=word):
        module.load(file)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    file.write_text('\ufeff{"quality": 80}', encoding="utf-8")
    assert module.load(file).quality == 80


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "photo.json"
    file.write_bytes(b"\xff\xd8\xff\x00")
    with pytest.raises(InputError, match=r"photo\.json is not text"):
        module.load(file)
    with pytest.raises(InputError, match="neither a preset"):
        module.load("sed")
    with pytest.raises(InputError, match="neither"):
        module.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", (0, 5)),
        ("size", (5,)),
        ("size", (5.5, 6)),
        ("size", (-1, 6)),
        ("size", "kept"),
        ("size", None),
        ("size", 512),
        ("fit", "cover"),
        ("per_photo", 0),
        ("per_photo", 1.5),
        ("per_photo", True),
        ("ratio", (1.2, 1.1)),
        ("ratio", (0, 1)),
        ("ratio", (-1.0, 1)),
        ("ratio", (1.1,)),
        ("ratio", 1.1),
        ("ratio", (1.1, float("inf"))),
        ("radius", (0.5, 3)),
        ("radius", (5, 4)),
        ("radius", ("edge", "edge")),
        ("radius", (5, "Edge")),
        ("radius", (float("nan"), 4)),
        ("margin", 0.5),
        ("margin", -0.1),
        ("margin", "a"),
        ("shape", "disc"),
        ("overflow", "neon"),
        ("rounding", "up"),
        ("feather", -1),
        ("feather", float("nan")),
        ("codec", "webp"),
        ("quality", 0),
        ("quality", 101),
        ("quality", 90.0),
        ("clean_fraction", 1.01),
        ("clean_fraction", -0.01),
        ("twins", 1),
        ("masks", "yes"),
        ("split", (0, 0, 0)),
        ("split", (1, 1)),
        ("split", (1, 1, -1)),
        ("split", (1, 1, float("nan"))),
        ("seed", -1),
        ("seed", 1.0),
        ("seed", 10**400),
        ("position_decimals", 7),
        ("position_decimals", -1),
        ("ratio_decimals", 10),
    ],
)
def test_each_field_is_checked(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"recipe: {field} is ") as caught:
        Recipe(**{field: value})
    assert "\n" not in str(caught.value)


def test_a_feather_wider_than_the_region_is_refused() -> None:
    Recipe(radius=(5, 9), feather=10)
    with pytest.raises(InputError, match="feather"):
        Recipe(radius=(5, 9), feather=10.5)


@given(
    ends=st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)).map(sorted),
    seed=st.integers(0, 2**32 - 1),
)
def test_log_ratios_stay_in_their_range_and_away_from_one(ends: list[float], seed: int) -> None:
    low, high = ends
    recipe = Recipe(
        size="keep", radius=(2, 4), ratio=(low, high), ratio_scale="log", ratio_decimals=9
    )
    anomaly = recipe.draw(64, 64, np.random.default_rng(seed)).anomaly
    assert anomaly is not None
    assert low <= anomaly.discolor_ratio <= high
    if low < 1 / 1.02 and high > 1.02:
        assert abs(math.log(anomaly.discolor_ratio)) >= 0.00999


def test_every_factor_of_the_log_ratio_is_equally_likely() -> None:
    recipe = dataclasses.replace(PRESETS["visible"], size="keep", radius=(2, 4), ratio=(1 / 3, 3))
    rng = np.random.default_rng(0)
    anomalies = [recipe.draw(64, 64, rng).anomaly for _ in range(4000)]
    logs = np.log([a.discolor_ratio for a in anomalies if a is not None])
    assert abs((logs > 0).mean() - 0.5) < 0.03
    size = np.log(np.abs(logs))
    counts, _ = np.histogram(size, 4, (math.log(0.01), math.log(math.log(3))))
    assert np.all(np.abs(counts / len(logs) - 0.25) < 0.03)


def test_the_ratio_scale_changes_nothing_but_the_ratio() -> None:
    photo = (640, 480)
    linear = Recipe(size="keep", ratio=(1.02, 3))
    log = dataclasses.replace(linear, ratio_scale="log")
    draws = [each.draw(*photo, np.random.default_rng(7)) for each in (linear, log)]
    places = [(d.crop, d.row_seed, d.anomaly.x, d.anomaly.y, d.anomaly.r) for d in draws]  # type: ignore[union-attr]
    assert places[0] == places[1]
