"""The recipes that endless images are drawn with: random choices among them, and stages in time.

A recipe file may hold stages, which follow each other during training::

    {"recipe": {"size": [320, 320]},
     "any": {"shape": ["circle", "square"]},
     "stages": [{"any": {"ratio": [[1.2, 1.4]]}, "until": 0.5, "crowd": 30},
                {"any": {"ratio": [[1.05, 1.15]]}}]}

The first half of the training run has strong anomalies, up to 30 in one image.
"""

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

FEW = 4  # regions in one image at most, unless a stage says otherwise


@dataclass(frozen=True)
class Mix:
    """One stage: a random mix of recipes.

    Args:
        common: fields that all recipes share.
        any: for each field the values to choose from at random, for each image anew.
        until: number of the first image of the next stage; below 1 a share of the training run;
            None for the last stage.
        crowd: the most regions in one image of :meth:`Source.multi_region`.

    Raises:
        InputError: a field is unknown or has no usable value.
    """

    common: dict[str, Any] = field(default_factory=dict)
    any: dict[str, list[Any]] = field(default_factory=dict)
    until: float | None = None
    crowd: int = FEW

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
        """One of the recipes, at random."""
        chosen = {name: values[rng.integers(len(values))] for name, values in self.any.items()}
        return recipe.from_dict({**self.common, **chosen})


def load(name: str | Path) -> tuple[Mix, ...]:
    """The name of a preset, a recipe file or a file with stages -> the stages.

    Raises:
        InputError: there is no such preset or file, or its content cannot be used.
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
    stages, names = about["stages"], {"recipe", "any"}
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and stage.keys() <= names | {"until", "crowd"} for stage in stages
    ):
        raise InputError(f"recipe {path}: stages is no list of {{until, recipe, any, crowd}}")
    if not shared.keys() <= names:
        raise InputError(f"recipe {path}: beside stages only recipe and any may stand")
    if not all(isinstance(each.get(key, {}), dict) for each in (shared, *stages) for key in names):
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
    if not mixes or any(not _is_limit(mix.until) for mix in mixes[:-1]):
        raise InputError(
            f"recipe {path}: every stage but the last needs until, a whole number or a share of 1"
        )
    return mixes


def _is_limit(until: Any) -> bool:
    return isinstance(until, int) or (isinstance(until, float) and 0 < until < 1)


def recipes_of(mixes: Sequence[Mix]) -> list[Recipe]:
    """The recipes of stages, one for each combination of fields that limits the size of photos."""
    recipes: dict[Recipe, None] = {}
    for mix in mixes:
        names = [name for name in ("size", "fit", "radius", "feather") if name in mix.any]
        first = {name: values[0] for name, values in mix.any.items()}
        for values in itertools.product(*(mix.any[name] for name in names)):
            with contextlib.suppress(InputError):  # no such combination
                chosen = dict(zip(names, values, strict=True))
                recipes[recipe.from_dict({**mix.common, **first, **chosen})] = None
    return list(recipes)
