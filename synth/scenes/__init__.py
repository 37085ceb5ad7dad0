"""Scenes: procedural landscape photos, rendered without a network.

The steps are: a sky with clouds and a sun; a fractal terrain seen through a pinhole camera, lit by
sky and sun, with aerial perspective; water that mirrors the picture above it; trees and stones in
the foreground; lens, sensor noise and tone curve. All values are linear light up to
:func:`camera.develop`. All random parameters and noise tiles are drawn independently of the
picture's size, so a small picture shows the same place as a large one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from synth import folders
from synth.errors import InputError
from synth.paths import path_of
from synth.scenes import noise, places, props
from synth.scenes.camera import View, develop, soften
from synth.scenes.noise import smoothstep
from synth.scenes.places import Place, linear_rgb
from synth.scenes.sky import paint_sky
from synth.scenes.terrain import cast_rays, ground, skylight, water

__all__ = ["scene", "write"]

SMALLEST = 32
ABOUT = ".scenes.json"  # hidden, so that a search for photos ignores it
MARKER = folders.Marker(
    ABOUT,
    lambda about: about.get("made_by") == "synth scenes",
    lambda name: re.fullmatch(r"scene-\d{4,}\.png", name) is not None,
)


def _litter(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """-> (H, W, 3) float32: the ground from above, leaves or pebbles of all sizes."""
    round_ = bool(rng.random() < 0.45)
    colours = [
        linear_rgb(code)
        for code in places.LITTER[str(rng.choice(places.PEBBLES if round_ else places.LEAVES))]
    ]
    texture, dapple = noise.fractal(rng, 1.0, 6), noise.fractal(rng, 1.8, 2)
    turn = rng.uniform(0, 2 * np.pi)
    sun = (float(np.cos(turn)), float(np.sin(turn)))
    sizes = np.minimum(0.014 * (1 + rng.pareto(1.6, 1100)), 0.16)
    sizes = sizes[np.argsort(-sizes * rng.uniform(0.3, 1, sizes.size))]
    image = np.empty((height, width, 3), "f4")
    image[:] = colours[0] * 0.25
    for size in sizes:
        one = props.GroundObject(
            x=rng.uniform(-0.05, 1.05),
            y=rng.uniform(-0.05, 1.05),
            size=float(size),
            slim=rng.uniform(0.6, 0.95) if round_ else rng.uniform(0.3, 0.55),
            turn=rng.uniform(0, 2 * np.pi),
            colour=colours[rng.integers(len(colours))] * rng.uniform(0.6, 1.3),
            grain=rng.uniform(0, 512),
        )
        props.draw_ground_object(image, one, texture, sun, round_)
    span = max(width, height)
    v, u = np.mgrid[0:height, 0:width] * (150 / span)
    light = smoothstep(noise.sample(dapple, u, v), -0.6, 0.9)[..., None]
    return image * (0.35 + np.array([1.0, 0.93, 0.8], "f4") * light)


def _front(place: Place, image: np.ndarray) -> None:
    """Paints boulders and trees in the foreground into ``image`` (H, W, 3)."""
    light = place.light
    ambient = skylight(light)
    behind = 0.12 if place.facing > 0 else 0.7
    glow = ambient * 0.6 + linear_rgb(light.sun) * light.power * behind
    side = float(np.sign(place.sun[0]))
    for stone in place.stones:
        lit = replace(stone, colour=stone.colour * glow)
        props.draw_ground_object(image, lit, place.texture, (side * 0.6, -0.8), round_=True)
    needles = linear_rgb("34442a")
    for tree in place.trees:
        props.conifer(image, tree, place.texture, needles * glow, needles * ambient * 0.2, side)


def _check_size(width: int, height: int) -> None:
    for name, size in (("width", width), ("height", height)):
        if size < SMALLEST:
            raise InputError(f"scene {name} is {size} px: give at least {SMALLEST}")


def scene(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """-> (H, W, 3) uint8 RGB: one landscape, determined by its size and ``rng``.

    Raises:
        InputError: a side is below 32 px.
    """
    _check_size(width, height)
    if rng.random() < 0.12:
        return develop(_litter(rng, width, height), 0.11 * rng.uniform(0.8, 1.2), rng)
    place = places.draw(rng)
    view = View(
        width, height, place.horizon * height, 1.1 * max(width, height), place.camera_height
    )
    image = paint_sky(place, view)
    surface, tall = cast_rays(place, view)
    land = ground(place, view, surface, tall)
    image[surface.seen] = land
    if place.land.water > 0:
        height_over = view.camera_height + view.up()[:, None] * surface.depth
        wet = surface.seen & (height_over < 0.02)
        image[wet] = water(place, view, image, wet)
    below = np.concatenate([image[1:], image[-1:]])
    image += surface.share[..., None] * (below - image)
    for _ in range(round(place.blur * np.sqrt(width * height))):
        image = soften(image, 0.25)
    _front(place, image)
    return develop(image, place.light.key * place.exposure, rng)


def write(
    out: str | Path,
    count: int,
    width: int,
    height: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Writes scenes 0 to ``count`` - 1 as PNG files into the folder ``out``; returns their paths.

    Scene k depends on its size, the seed and k only. ``progress`` is called with the number of
    files written.

    Raises:
        InputError: a count below 1, a negative seed or a size below 32 px.
    """
    _check_size(width, height)
    if count < 1:
        raise InputError(f"scene count is {count}: give at least 1")
    if seed < 0:
        raise InputError(f"scene seed is {seed}: give 0 or a positive integer")
    out = path_of(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(count):
        path = out / f"scene-{k:04d}.png"
        pixels = scene(width, height, np.random.default_rng([seed, k]))
        Image.fromarray(pixels).save(path, compress_level=6)
        paths.append(path)
        if progress is not None:
            progress(k + 1)
    about = {"made_by": "synth scenes", "count": count, "size": [width, height], "seed": seed}
    folders.write(out / ABOUT, json.dumps(about) + "\n")
    return paths
