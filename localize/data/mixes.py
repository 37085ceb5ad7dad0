"""Mixes: the recipes that pictures without end are drawn with, and in which order."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synth import recipe
from synth.errors import InputError
from synth.json_files import Damaged, parse_object
from synth.paths import path_of
from synth.recipe import Recipe

FEW = 4  # regions in one picture, unless a mix wants a crowd


@dataclass(frozen=True)
class Mix:
    """Recipes to choose from: the fields of ``common``, and one of the values of each in ``any``.

    Raises:
        InputError: a field is unknown or has no usable value.
    """

    common: dict[str, Any] = field(default_factory=dict)
    any: dict[str, list[Any]] = field(default_factory=dict)
    until: float | None = None  # the first picture of the next mix; below 1: a share of the run
    crowd: int = FEW  # regions in one picture, at most

    def __post_init__(self) -> None:
        if not isinstance(self.crowd, int) or self.crowd < 1:
            raise InputError(f"mix: crowd is {self.crowd!r}: give a whole number from 1 up")
        for name, values in self.any.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"mix: any.{name} is {values!r}: give a list of values")
        first = {name: values[0] for name, values in self.any.items()}
        for name, values in self.any.items():
            for value in values:
                recipe.from_dict({**self.common, **first, name: value})

    def recipe(self, rng: np.random.Generator) -> Recipe:
        """One of the recipes."""
        chosen = {name: values[rng.integers(len(values))] for name, values in self.any.items()}
        return recipe.from_dict({**self.common, **chosen})


def load(name: str | Path) -> tuple[Mix, ...]:
    """A recipe's preset or file, or a file ``{"stages": [{"until", "recipe", "any"}, …]}``.

    Beside ``stages``, ``recipe`` and ``any`` may say what all of them share.

    Raises:
        InputError: it is neither.
    """
    path = path_of(name)
    if path.is_file():
        try:
            about = parse_object(path.read_bytes())
        except Damaged as error:
            raise InputError(f"recipe {path} {error}") from None
        if "stages" in about:
            return _stages(path, about)
    return (Mix(recipe.load(name).to_dict()),)


def _stages(path: Path, about: dict[str, Any]) -> tuple[Mix, ...]:
    shared = {key: value for key, value in about.items() if key != "stages"}
    stages, own = about["stages"], {"recipe", "any"}
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and stage.keys() <= own | {"until", "crowd"} for stage in stages
    ):
        raise InputError(f"recipe {path}: stages is no list of {{until, recipe, any, crowd}}")
    if not shared.keys() <= own:
        raise InputError(f"recipe {path}: beside stages only recipe and any may stand")
    if not all(isinstance(each.get(key, {}), dict) for each in (shared, *stages) for key in own):
        raise InputError(f"recipe {path}: recipe and any must be objects")
    mixes = tuple(
        Mix(
            shared.get("recipe", {}) | s.get("recipe", {}),
            shared.get("any", {}) | s.get("any", {}),
            s.get("until"),
            s.get("crowd", FEW),
        )
        for s in stages
    )
    if not mixes or any(not _is_place(mix.until) for mix in mixes[:-1]):
        raise InputError(
            f"recipe {path}: every stage but the last needs until, a whole number or a share of 1"
        )
    return mixes


def _is_place(until: Any) -> bool:
    return isinstance(until, int) or (isinstance(until, float) and 0 < until < 1)


def recipes_of(mixes: Sequence[Mix]) -> list[Recipe]:
    """The recipes of some mixes that differ in what they ask of a photo's size."""
    found: dict[Recipe, None] = {}
    for mix in mixes:
        names = [name for name in ("size", "fit", "radius", "feather") if name in mix.any]
        first = {name: values[0] for name, values in mix.any.items()}
        for values in itertools.product(*(mix.any[name] for name in names)):
            with contextlib.suppress(InputError):  # no such combination
                chosen = dict(zip(names, values, strict=True))
                found[recipe.from_dict({**mix.common, **first, **chosen})] = None
    return list(found)
