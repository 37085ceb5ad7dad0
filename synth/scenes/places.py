"""Parameters of a scene: light, land and the random draw of one place.

Nothing here depends on the picture's size. Colours are (3,) float32 linear light; in the tables
they are sRGB hex codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.scenes import noise, props

FLOWERS = ("c8202a", "e8c020", "f4f0e8", "8a5cc0", "e070a0")
LITTER = {
    "autumn": ("7a3b12", "b5541c", "d98a24", "e0b23c", "8c2418", "6b4a20", "a3762e"),
    "summer": ("2c4a1a", "47702a", "5f8c34", "86a644", "39602c", "a8b858"),
    "beech": ("6a4630", "8f6242", "b08054", "c89c6c", "50382a"),
    "beach": ("8c8c8a", "b4aea4", "d2cabc", "6a6c70", "a08c78", "4c5058", "c0b4a0"),
    "river": ("5c6a70", "7c8a8c", "a4a89c", "8a6e5c", "40484e", "9c8468", "607868"),
}
LEAVES, PEBBLES = ("autumn", "summer", "beech"), ("beach", "river")


def linear_rgb(code: str) -> np.ndarray:
    """sRGB hex code ``"rrggbb"`` -> (3,) float32 linear light."""
    value = np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype("f4")


@dataclass(frozen=True)
class Light:
    """The light at one time of day. Colours are sRGB hex codes.

    Args:
        zenith, horizon: colours of the sky at zenith and horizon.
        sun: colour of direct light and of the glow around the sun.
        power: strength of direct light in relation to a white sky of 1.
        shade, bright: colours of clouds away from the sun and towards it.
        height: lowest and highest elevation of the sun, tangent of the angle.
        key: mean brightness of the developed picture, linear.
        air: visibility; 1 is a clear day, smaller values are mist.
    """

    zenith: str
    horizon: str
    sun: str
    power: float
    shade: str
    bright: str
    height: tuple[float, float]
    key: float
    air: float


@dataclass(frozen=True)
class Land:
    """One kind of land. Colours are sRGB hex codes.

    Args:
        relief: name of the height field.
        low, high, steep: colours of valleys, heights and cliffs.
        snow: relative height above which there is snow; above 1 there is none.
        forest: relative height below which there are trees; below 0 there are none.
        water: water level as relative height; below 0 there is none.
        wave: slope of the waves.
        summit: range of the highest point above the horizon, share of the picture's height.
        rough: strength of the fine relief of the ground.
    """

    relief: str
    low: str
    high: str
    steep: str
    snow: float
    forest: float
    water: float
    wave: float
    summit: tuple[float, float]
    rough: float


LIGHTS = {
    "noon": Light("1f5cb4", "b0d2ee", "fff0dc", 2.8, "8ea4be", "ffffff", (0.6, 1.3), 0.22, 1.3),
    "golden": Light("3f74b8", "f4dcb8", "ffca8c", 3.4, "8f8698", "fff0d8", (0.12, 0.3), 0.19, 0.9),
    "sunset": Light("2a4690", "f5ad7c", "ff9448", 2.2, "564c74", "ffb880", (0.02, 0.1), 0.13, 0.7),
    "dusk": Light("0f2c6a", "d0a8a4", "ffa678", 0.8, "303c68", "eca8a4", (0.01, 0.05), 0.1, 0.8),
    "overcast": Light("7f95ae", "d3dce2", "fff4e4", 1.0, "66768a", "f2f4f4", (0.6, 1.2), 0.19, 0.7),
    "mist": Light("6f9cc8", "f0e2cc", "ffdca8", 2.0, "a2aab8", "fff4e2", (0.12, 0.3), 0.23, 0.32),
    "moon": Light("0a1c48", "43689c", "c6d8ff", 1.0, "142444", "86a6d4", (0.25, 0.4), 0.06, 0.7),
}

LANDS = {
    "alps": Land("ridged", "52652f", "77716a", "6d665e", 0.5, 0.36, 0.13, 0.02, (0.18, 0.34), 1.0),
    "fjord": Land(
        "ridged", "4c5a32", "635c55", "4f4a46", 0.75, 0.45, 0.24, 0.05, (0.14, 0.28), 1.0
    ),
    "winter": Land("ridged", "e8eef4", "f2f5f9", "5a5b61", 0.1, 0.3, 0.06, 0.01, (0.14, 0.28), 0.7),
    "hills": Land("smooth", "5b6c3c", "7f7f50", "75664c", 2.0, 0.5, -1.0, 0.0, (0.08, 0.2), 0.7),
    "desert": Land("dunes", "c2a282", "ccb094", "b08c6c", 2.0, -1.0, -1.0, 0.0, (0.1, 0.2), 0.1),
    "canyon": Land("mesa", "a87656", "9c6248", "84503c", 2.0, -1.0, -1.0, 0.0, (0.14, 0.24), 1.1),
    "woods": Land("ridged", "4c5a32", "56603c", "5c564c", 2.0, 2.0, -1.0, 0.0, (0.1, 0.26), 0.8),
    "sea": Land("ridged", "5a6640", "6b655a", "575049", 2.0, 0.3, 0.45, 0.13, (0.03, 0.12), 1.0),
}


@dataclass(frozen=True)
class Place:
    """All random parameters of a landscape, apart from the sensor noise."""

    light: Light
    land: Land
    sun: tuple[float, float]  # tangents of azimuth and elevation
    facing: float  # 1: the sun is in front of the camera, -1: behind it
    horizon: float
    camera_height: float
    summit: float
    cover: float
    wisp: float
    bank: float
    blur: float
    flower: np.ndarray
    trees: tuple[props.Tree, ...]
    stones: tuple[props.GroundObject, ...]
    exposure: float
    relief: np.ndarray
    texture: np.ndarray
    sky: np.ndarray
    stand: np.ndarray
    waves: np.ndarray


def _trees(rng: np.random.Generator) -> tuple[props.Tree, ...]:
    """Conifers at one or both sides of the picture, the smallest ones first."""
    heights = np.sort(rng.uniform(0.2, 0.85, rng.integers(3, 10)))
    sides = rng.choice([-1, 1], heights.size) if rng.random() < 0.5 else np.ones(heights.size)
    sides = sides * rng.choice([-1, 1])
    return tuple(
        props.Tree(
            x=0.5 + float(side) * rng.uniform(0.18, 0.52),
            y=rng.uniform(0.96, 1.12) - 0.1 * (0.85 - float(tall)),
            height=float(tall),
            slim=rng.uniform(0.15, 0.25),
            tiers=rng.uniform(12, 20),
            grain=rng.uniform(0, 512),
        )
        for side, tall in zip(sides, heights, strict=True)
    )


def _stones(rng: np.random.Generator, land: Land) -> tuple[props.GroundObject, ...]:
    """Boulders along the lower edge of the picture, larger towards it."""
    colour = linear_rgb(land.steep)
    stones = []
    for near in np.sort(rng.random(rng.integers(60, 200))):
        stones.append(
            props.GroundObject(
                x=rng.uniform(-0.05, 1.05),
                y=0.9 + 0.12 * float(near),
                size=(0.006 + 0.016 * float(near)) * min(float(rng.pareto(2.5)) + 0.6, 4),
                slim=rng.uniform(0.45, 0.8),
                turn=rng.uniform(-0.3, 0.3),
                colour=colour * rng.uniform(0.5, 1.3),
                grain=rng.uniform(0, 512),
            )
        )
    return tuple(stones)


def draw(rng: np.random.Generator) -> Place:
    """Draws one place."""
    light = LIGHTS[str(rng.choice(list(LIGHTS), p=[0.3, 0.23, 0.14, 0.08, 0.09, 0.1, 0.06]))]
    land = LANDS[str(rng.choice(list(LANDS), p=[0.2, 0.14, 0.1, 0.14, 0.1, 0.1, 0.12, 0.1]))]
    facing = 1.0 if rng.random() < (0.7 if light.height[1] < 0.45 else 0.1) else -1.0
    relief = {
        "ridged": lambda: noise.ridges(rng),
        "smooth": lambda: (noise.fractal(rng, 2.1, 3) * 0.16 + 0.5).clip(0, 1),
        "mesa": lambda: noise.terrace(noise.ridges(rng)),
        "dunes": lambda: noise.dunes(rng),
    }[land.relief]()
    return Place(
        light=light,
        land=land,
        sun=(rng.uniform(-0.36, 0.36), rng.uniform(*light.height)),
        facing=facing,
        horizon=rng.uniform(0.34, 0.62),
        camera_height=rng.uniform(4.0, 10.0) * (0.6 if land.relief == "dunes" else 1.0),
        summit=rng.uniform(*land.summit),
        cover=rng.uniform(0.0, 1.7),
        wisp=float(rng.choice([0.0, 0.3, 1.0])),
        trees=_trees(rng) if land.forest > 0 and rng.random() < 0.5 else (),
        stones=_stones(rng, land) if rng.random() < 0.25 else (),
        exposure=rng.uniform(0.85, 1.2),
        relief=relief,
        texture=noise.fractal(rng, 1.0, 6),
        sky=noise.fractal(rng, 1.7, 3),
        stand=noise.cones(rng, 5200, 5.0),
        waves=noise.waves(rng),
        bank=rng.uniform(0.2, 0.6) if land.water > 0 and rng.random() < 0.5 else 0.0,
        blur=rng.uniform(0.002, 0.006) if rng.random() < 0.12 else 0.0,
        flower=linear_rgb(str(rng.choice(FLOWERS))),
    )
