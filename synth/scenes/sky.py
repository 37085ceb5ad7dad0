"""Rendering of the sky: air, sun and clouds."""

from __future__ import annotations

import numpy as np

from synth.scenes import noise
from synth.scenes.camera import View
from synth.scenes.noise import smoothstep
from synth.scenes.places import Place, linear_rgb


def sun_glow(place: Place, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Tangents of rays -> brightness of the glow around the sun, per ray."""
    if place.facing < 0:
        return np.zeros(np.broadcast_shapes(across.shape, up.shape), "f4")
    angle2 = (across - place.sun[0]) ** 2 + (up - place.sun[1]) ** 2
    wide = np.exp(-angle2 / 0.3) * 0.35
    return (wide + 0.5 * np.exp(-np.sqrt(angle2) / 0.06)).astype("f4")


def sky_colour(place: Place, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Tangents of rays of shape S -> (\\*S, 3): colour of the cloudless sky."""
    light = place.light
    high = (1 - np.exp(-np.maximum(up, 0) * 4.5))[..., None]
    colour = linear_rgb(light.horizon) * (1 - high) + linear_rgb(light.zenith) * high
    glow = sun_glow(place, across, up) * min(light.power, 2.2)
    if light.height[1] < 0.15:
        along = np.exp(-((across - place.sun[0]) ** 2) / 0.5) * np.exp(-np.maximum(up, 0) / 0.07)
        glow = glow + 0.45 * along * (1 if place.facing > 0 else 0.3)
    return colour + glow[..., None] * linear_rgb(light.sun)


def paint_sky(place: Place, view: View) -> np.ndarray:
    """-> (H, W, 3) float32: the sky; the rows below the horizon repeat the last row."""
    light = place.light
    across, up = np.broadcast_arrays(view.across()[None, :], view.up()[:, None])
    rows = slice(0, min(view.height, int(view.horizon) + 2))
    across, up = across[rows], up[rows]
    colour = sky_colour(place, across, up)
    if place.facing > 0:
        away = np.hypot(across - place.sun[0], up - place.sun[1])
        disc = np.clip((0.016 - away) * view.focal + 0.5, 0, 1)[..., None]
        colour = colour + disc * linear_rgb(light.sun) * (12 if light.power > 1 else 4)
    far = 1 / (np.maximum(up, 0) + 0.07)
    u = across * far * 40 * (1 - 0.5 * place.wisp)
    v = np.where(place.wisp > 0, far * 26, -52 * np.log(far))
    cell = np.maximum(far * 40 / view.focal, 0.4)
    fluff = np.stack([place.sky, *noise.gradient(place.sky)], -1)
    density, gu, gv = np.moveaxis(noise.zoom(fluff, u, v, cell), -1, 0)
    broad = noise.sample(place.sky, u / 7 + 50, v / 7)
    thick = 0.8 * broad + 0.5 * density + place.cover - 1.0
    cloud = smoothstep(thick, 0.0, 0.7 + 0.9 * place.wisp) * (1 - 0.35 * place.wisp)
    toward = place.sun[0] * 1.5 * gu - place.facing * gv
    lit = 0.95 - 0.35 * np.maximum(thick, 0) + 0.8 * toward
    lit = np.clip(lit + sun_glow(place, across, up) * 0.9, 0, 1.7)[..., None]
    white = linear_rgb(light.shade) * (1 - lit) + linear_rgb(light.bright) * lit
    haze = np.exp(-np.maximum(up, 0) * 14)
    cloud = (cloud * (1 - 0.75 * haze))[..., None] * 0.95
    full = np.empty((view.height, view.width, 3), "f4")
    full[rows] = colour * (1 - cloud) + white * cloud
    full[rows.stop :] = full[rows.stop - 1]
    return full
