"""The recipes of endless images: random choices among recipes, in stages during the training.

A recipe file may hold stages, which follow each other during training::

    {"recipe": {"size": [320, 320]},
     "any": {"shape": ["circle", "square"]},
     "stages": [{"any": {"ratio": [[1.2, 1.4]]}, "until": 0.5, "crowd": 30},
                {"any": {"ratio": [[1.05, 1.15]]}}]}

Here the images of the first half of the training have strong anomalies, up to 30 in one image.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synth import recipe
from synth.errors import InputError
from synth.json_files import Damaged, parse_object
from synth.paths import path_of
from synth.recipe import Recipe

CROWD = "crowd"  # key of a stage in a recipe file and in model.json: its ``max_regions``
FEW_REGIONS = 4  # the default of ``max_regions``


@dataclass(frozen=True)
class Stage:
    """A stage of the training: a set of recipes, one of which is chosen at random for each image.

    Args:
        common: fields that all recipes share.
        any: field -> list of values, from which each image takes one at random.
        until: where the stage ends: the number of images of the training before its end, or below
            1 a share of the training; None for the last stage.
        max_regions: the largest number of regions in one image of :meth:`Source.multi_region`.

    Raises:
        InputError: a field is unknown or has no usable value.
    """

    common: dict[str, Any] = field(default_factory=dict)
    any: dict[str, list[Any]] = field(default_factory=dict)
    until: float | None = None
    max_regions: int = FEW_REGIONS

    def __post_init__(self) -> None:
        if not isinstance(self.max_regions, int) or self.max_regions < 1:
            raise InputError(f"{CROWD} is {self.max_regions!r}: give a whole number from 1 up")
        for name, values in self.any.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"any.{name} is {values!r}: give a list of values")
        first = {name: values[0] for name, values in self.any.items()}
        for name, values in self.any.items():
            for value in values:
                recipe.from_dict({**self.common, **first, name: value})

    def to_dict(self) -> dict[str, Any]:
        """The stage in JSON types, as ``model.json`` holds it."""
        entries = asdict(self)
        return {CROWD if name == "max_regions" else name: entries[name] for name in entries}

    def recipe(self, rng: np.random.Generator) -> Recipe:
        """A random one of the recipes."""
        values = {name: options[rng.integers(len(options))] for name, options in self.any.items()}
        return recipe.from_dict({**self.common, **values})


def load(name: str | Path) -> tuple[Stage, ...]:
    """The name of a preset, a recipe file or a file with stages -> the stages.

    Raises:
        InputError: there is no such preset or file, or its content cannot be used.
    """
    path = path_of(name)
    if path.is_file():
        try:
            content = parse_object(path.read_bytes())
        except Damaged as error:
            raise InputError(f"recipe {path} {error}") from None
        if "stages" in content:
            return _parse_stages(path, content)
    return (Stage(recipe.load(name).to_dict()),)


def _parse_stages(path: Path, content: dict[str, Any]) -> tuple[Stage, ...]:
    """The content of a recipe file with stages -> the stages."""
    shared = {key: value for key, value in content.items() if key != "stages"}
    entries, names = content["stages"], {"recipe", "any"}
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and entry.keys() <= names | {"until", CROWD} for entry in entries
    ):
        raise InputError(f"recipe {path}: stages is no list of {{until, recipe, any, {CROWD}}}")
    if not shared.keys() <= names:
        raise InputError(f"recipe {path}: beside stages, only recipe and any are allowed")
    if not all(isinstance(each.get(key, {}), dict) for each in (shared, *entries) for key in names):
        raise InputError(f"recipe {path}: recipe and any must be objects")
    stages = tuple(
        Stage(
            shared.get("recipe", {}) | entry.get("recipe", {}),
            shared.get("any", {}) | entry.get("any", {}),
            entry.get("until"),
            entry.get(CROWD, FEW_REGIONS),
        )
        for entry in entries
    )
    if not stages or any(not _is_limit(stage.until) for stage in stages[:-1]):
        raise InputError(
            f"recipe {path}: every stage but the last needs until: a whole number, or a share "
            "between 0 and 1"
        )
    return stages


def _is_limit(until: Any) -> bool:
    """Whether a value of ``until`` is a number of images or a share of the training."""
    return isinstance(until, int) or (isinstance(until, float) and 0 < until < 1)


def recipes_of(stages: Sequence[Stage]) -> list[Recipe]:
    """The recipes of stages, one for each combination of fields that limit the size of photos."""
    recipes: dict[Recipe, None] = {}
    for stage in stages:
        names = [name for name in ("size", "fit", "radius", "feather") if name in stage.any]
        first = {name: values[0] for name, values in stage.any.items()}
        for values in itertools.product(*(stage.any[name] for name in names)):
            with contextlib.suppress(InputError):  # no such combination
                combination = dict(zip(names, values, strict=True))
                recipes[recipe.from_dict({**stage.common, **first, **combination})] = None
    return list(recipes)
