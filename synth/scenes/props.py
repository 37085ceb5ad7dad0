"""Single objects in the foreground of a scene: conifers, stones, leaves.

Each is an ``(h, w)`` coverage and an ``(h, w, 3)`` colour, blended over the scene from back to
front, as in the dead-leaves model of natural images. Positions and sizes are shares of the
picture's sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.scenes import noise


@dataclass(frozen=True)
class GroundObject:
    """A leaf or a stone.

    Args:
        x, y: centre, share of width and height.
        size: half length, share of the geometric mean of the sides.
        slim: width over length.
        turn: rotation, radians.
        colour: (3,) linear light.
        grain: offset of its texture in the tile.
    """

    x: float
    y: float
    size: float
    slim: float
    turn: float
    colour: np.ndarray
    grain: float


@dataclass(frozen=True)
class Tree:
    """A conifer.

    Args:
        x, y: foot of the trunk, share of width and height.
        height: share of the picture's height.
        slim: width over height.
        tiers: number of tiers of branches.
        grain: offset of its texture in the tile.
    """

    x: float
    y: float
    height: float
    slim: float
    tiers: float
    grain: float


def blend(
    image: np.ndarray, rows: slice, cols: slice, cover: np.ndarray, colour: np.ndarray
) -> None:
    """Blends ``colour`` (h, w, 3) into ``image`` (H, W, 3) by ``cover`` (h, w), 0 to 1."""
    patch = image[rows, cols]
    patch += cover[..., None] * (colour - patch)


def pixel_span(centre: float, reach: float, size: int) -> slice:
    """The pixels from 0 to ``size`` - 1 within ``reach`` px of ``centre``."""
    return slice(max(0, int(centre - reach)), max(0, min(size, int(centre + reach) + 2)))


def conifer(
    image: np.ndarray,
    tree: Tree,
    texture: np.ndarray,
    lit: np.ndarray,
    dark: np.ndarray,
    side: float,
) -> None:
    """Paints a conifer into ``image``.

    Args:
        image: (H, W, 3) linear light; changed in place.
        tree: the conifer.
        texture: noise tile.
        lit, dark: (3,) colours in light and in shade.
        side: direction of the light, -1 (left) to 1 (right).
    """
    height, width, _ = image.shape
    tall = tree.height * height
    foot, middle = tree.y * height, tree.x * width
    rows = slice(max(0, int(foot - tall)), max(0, min(height, int(foot) + 1)))
    cols = pixel_span(middle, tall * tree.slim * 1.3 + 1, width)
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return
    t = ((np.arange(rows.start, rows.stop) - foot + tall) / tall)[:, None].clip(0, 1)
    s = ((np.arange(cols.start, cols.stop) - middle) / tall)[None, :]
    grain = 150 + 0 * s * t
    coarse = noise.sample(texture, s * grain + tree.grain, t * 150 + np.sign(s) * 37)
    droop = t - np.abs(s) * 0.55 + 0.012 * coarse
    tier = (droop * tree.tiers * (1.25 - 0.4 * t)) % 1.0
    reach = tree.slim * t**0.85 * (0.45 + 0.55 * tier) * (1 + 0.22 * coarse)
    fine = noise.sample(texture, s * 420 + tree.grain, t * 420)
    inside = (reach - np.abs(s)) * tall
    solid = inside / (0.12 * reach * tall + 1.0) + 0.9 * fine + 0.25
    trunk = (0.011 * t + 0.002 - np.abs(s)) * tall
    cover = np.clip(np.maximum(np.where(inside > -1, solid, 0), trunk + 0.5), 0, 1)
    glow = np.clip(0.25 + 0.55 * tier + side * s / (reach + 0.02) * 0.6 + 0.2 * fine, 0, 1.3)
    colour = dark + (lit - dark) * (glow * np.clip(inside + 0.5, 0, 1))[..., None]
    blend(image, rows, cols, cover.astype("f4"), colour.astype("f4"))


def draw_ground_object(
    image: np.ndarray,
    one: GroundObject,
    texture: np.ndarray,
    sun: tuple[float, float],
    round_: bool,
) -> None:
    """Paints a stone (``round_``) or a leaf and its shadow into ``image``.

    ``sun`` is the (column, row) direction of the light in the picture.
    """
    height, width, _ = image.shape
    side = float(np.sqrt(height * width))
    size, x, y = one.size * side, one.x * width, one.y * height
    rows, cols = pixel_span(y, size * 1.35 + 1, height), pixel_span(x, size * 1.35 + 1, width)
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return
    dy = (np.arange(rows.start, rows.stop) - y)[:, None].astype("f4")
    dx = (np.arange(cols.start, cols.stop) - x)[None, :].astype("f4")
    c, s = np.float32(np.cos(one.turn)), np.float32(np.sin(one.turn))
    a, b = (c * dx + s * dy) / size, (c * dy - s * dx) / (size * one.slim)
    rough = noise.sample(texture, a * 22 + one.grain, b * 22 * one.slim + one.grain)
    if round_:
        edge = 1 + 0.07 * rough - np.sqrt(a * a + b * b)
        bulge = np.sqrt(np.clip(1 - a * a - b * b, 0, 1))
        face = c * a - s * b, s * a + c * b
        shade = 0.25 + 0.55 * bulge - 0.5 * (face[0] * sun[0] + face[1] * sun[1])
        glow = np.clip(shade, 0.06, None) * np.exp(0.22 * rough)
    else:
        edge = (1 - a * a) * (1 + 0.08 * rough) - np.abs(b)
        veins = np.abs(((a - 0.8 * np.abs(b) * one.slim) * 9) % 1.0 - 0.5)
        rib = np.exp(-np.abs(b) * size * one.slim / max(1.0, size * 0.03))
        fold = np.sign(b) * (sun[0] * s - sun[1] * c) * 0.28 + 0.15 * a * (sun[0] * c + sun[1] * s)
        glow = np.clip(0.75 + fold + 0.22 * rib + 0.22 * (veins - 0.25), 0.1, None)
        glow *= np.exp(0.16 * rough)
    scale = size * one.slim
    cover = np.clip(edge * scale + 0.5, 0, 1)
    shadow = np.clip(edge * 2.5 + 0.6 + 0.9 * (a * 0 + (dx * -sun[0] + dy * -sun[1]) / size), 0, 1)
    image[rows, cols] *= (1 - 0.55 * np.clip(shadow, 0, 1))[..., None]
    blend(image, rows, cols, cover, one.colour * glow[..., None])
