"""Rendering of the land: a fractal height field with light, aerial perspective and water."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.scenes import noise
from synth.scenes.camera import LUMA, View
from synth.scenes.noise import smoothstep
from synth.scenes.places import Light, Place, linear_rgb
from synth.scenes.sky import sky_colour

FARTHEST = 6000.0  # largest depth, units of the terrain


@dataclass(frozen=True)
class Surface:
    """The terrain that the rays of the pixels hit.

    Args:
        seen: (H, W) bool, whether the ray hits the terrain.
        depth: (H, W) depth of that point, units of the terrain.
        share: (H, W) share of the pixel below in the colour, for anti-aliased silhouettes.
    """

    seen: np.ndarray
    depth: np.ndarray
    share: np.ndarray


def _swell(place: Place, depth: np.ndarray) -> np.ndarray:
    """Depth -> factor of the relief, which is small near the camera and 1 at a distance."""
    if place.land.relief in ("ridged", "mesa"):
        return 0.03 + 0.97 * smoothstep(np.log(depth), np.log(60.0), np.log(330.0))
    if place.land.relief == "dunes":
        return 0.2 + 0.8 * smoothstep(np.log(depth), np.log(25.0), np.log(160.0))
    return 0.06 + 0.94 * smoothstep(np.log(depth), np.log(16.0), np.log(400.0))


def cast_rays(place: Place, view: View) -> tuple[Surface, float]:
    """Casts the rays of all pixels -> the terrain they hit, and the height of the relief."""
    nearest = view.camera_height * view.focal / max(view.height - view.horizon, 1) * 0.7
    steps = 200 + view.height // 3
    z = np.geomspace(nearest, FARTHEST, steps)[:, None].astype("f4")
    x = view.across()[None, :] * z
    z_all = np.broadcast_to(z, x.shape)
    relief = noise.sample(place.relief, x, z_all)
    land, swell = place.land, _swell(place, z)
    base = relief * swell
    level = max(land.water, 0.0)
    rise = place.summit * view.height / view.focal
    tall = float(rise / np.maximum(((base - level) / z)[z[:, 0] > 40].max(), 1e-9))
    ground = np.maximum(base - level, 0) * tall
    shore = smoothstep(np.log(z), np.log(nearest * 4.5), np.log(nearest * 1.2))
    if place.bank > 0:
        bumps = noise.sample(place.sky, x * 3 + 90, z_all * 3)
        ground = np.maximum(
            ground, view.camera_height * (shore * place.bank * (1 + 0.2 * bumps) - 0.06)
        )
        ground = np.maximum(ground, 0)
    if land.forest > 0:
        edge = 0.1 * noise.sample(place.texture, x, z_all)
        grown = smoothstep(land.forest - relief + edge, 0, 0.1) * (base > level + 0.004)
        trees = noise.sample(place.stand, x * 14, z_all * 14) * grown
        ground = ground + trees * 1.1 * smoothstep(z, 10, 18)
    e = (ground - view.camera_height) / z
    top = np.maximum.accumulate(e, axis=0)
    first_row = np.ceil(view.horizon - view.focal * top).clip(0, view.height).astype(np.int64)
    flat = first_row * view.width + np.arange(view.width)
    count = np.bincount(flat.ravel(), minlength=(view.height + 1) * view.width)
    first = steps - count.reshape(view.height + 1, view.width).cumsum(axis=0)[:-1]
    seen = first < steps
    here, before = np.minimum(first, steps - 1), np.clip(first - 1, 0, steps - 1)
    column = np.arange(view.width)[None, :]
    e1, e0, peak = e[here, column], e[before, column], top[before, column]
    t = np.clip((view.up()[:, None] - e0) / np.maximum(e1 - e0, 1e-9), 0, 1)
    t[first == 0] = 1
    depth = z[before, 0] * (1 - t) + z[here, 0] * t
    gap = view.horizon - view.focal * peak - np.arange(view.height)[:, None]
    edge = (first > 0) & (~seen | (peak > e0 + 1e-6))
    share = np.where(edge, np.clip(0.5 - gap, 0, 1), 0)
    return Surface(seen, depth, share.astype("f4")), tall


def _shadow(relief: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """-> (N, N) float32: 1 where the sun shines on a terrain tile, 0 in a shadow."""
    over = np.zeros_like(relief)
    flat = float(np.hypot(sun[0], sun[2]))
    for far in np.geomspace(2, 100, 14):
        shift = (-round(far * sun[2] / flat), -round(far * sun[0] / flat))
        over = np.maximum(over, np.roll(relief, shift, (0, 1)) - relief - far * sun[1] / flat)
    return 1 - smoothstep(over, 0.0, 1.5)


def skylight(light: Light) -> np.ndarray:
    """-> (3,): ambient light of the whole sky."""
    sky = (
        0.4 * linear_rgb(light.zenith)
        + 0.35 * linear_rgb(light.shade)
        + 0.25 * linear_rgb(light.horizon)
    )
    return 0.65 * sky + 0.35 * float((sky * LUMA).sum())


def ground(place: Place, view: View, surface: Surface, tall: float) -> np.ndarray:
    """-> (n, 3) float32: light of the n visible ground pixels, with aerial perspective."""
    land, light = place.land, place.light
    rows, columns = np.nonzero(surface.seen)
    z = surface.depth[rows, columns]
    a, e = view.across()[columns], view.up()[rows]
    x, height = a * z, view.camera_height + e * z
    gx, gz = noise.gradient(place.relief)
    aside = place.sun[0] * (2.5 if place.facing > 0 else 5.0)
    sun = np.array([aside, place.sun[1] + 0.2, place.facing])
    sun /= np.sqrt((sun**2).sum())
    relief = np.stack([place.relief, gx, gz, _shadow(place.relief * tall, sun)], -1)
    h, gx, gz, open_ = np.moveaxis(noise.sample(relief, x, z), -1, 0)
    swell = _swell(place, z) * tall
    ripples = land.relief == "dunes"
    bumps = place.waves if ripples else np.stack(noise.gradient(place.sky * 5), -1)
    fine = np.concatenate([place.texture[..., None], bumps], -1)
    f, fx, fz = np.moveaxis(noise.zoom(fine, x, 0.35 * z + height, z / view.focal), -1, 0)
    gx, gz = gx * swell + land.rough * fx, gz * swell + land.rough * fz
    open_ = 1 - (1 - open_) * smoothstep(swell / tall, 0.1, 0.5)
    norm = 1 / np.sqrt(1 + gx * gx + gz * gz)
    direct = np.clip((sun[1] - sun[0] * gx - sun[2] * gz) * norm, 0, None) * open_
    albedo = _albedo(place, h, f, norm)
    if land.forest > 0:
        under = height - (h * swell - max(land.water, 0) * tall)
        wood = (smoothstep(under, 0.05, 0.35) * smoothstep(z, 10, 18))[:, None]
        tip = np.clip(0.35 + 0.7 * under + 0.12 * f, 0.1, 1.3)[:, None]
        albedo = albedo * (1 - wood) + linear_rgb("2e3d22") * tip * wood
    ambient = skylight(light) * (0.2 + 0.6 * norm)[:, None]
    glow = direct[:, None] * (0.7 * linear_rgb(light.sun) + 0.3) * light.power
    colour = albedo * (ambient + glow)
    thin = np.array([0.75, 1.0, 1.3]) / (700 * light.air)
    low = 1 + 2.5 * np.exp(-np.maximum(height, 0) / 10)
    through = np.exp(-(z * low)[:, None] * thin)
    return (colour * through + sky_colour(place, a, np.full_like(a, 0.02)) * (1 - through)).astype(
        "f4"
    )


def _albedo(place: Place, h: np.ndarray, f: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """-> (n, 3): albedo of bare ground by relative height h, texture f and slope (norm)."""
    land = place.land
    high = smoothstep(h + 0.06 * f, 0.25, 0.7)[:, None]
    cliff = smoothstep(norm + 0.05 * f, 0.8, 0.6)[:, None]
    albedo = linear_rgb(land.low) * (1 - high) + linear_rgb(land.high) * high
    albedo = albedo * (1 - cliff) + linear_rgb(land.steep) * cliff
    if land.relief == "mesa":
        bands = noise.sample(place.texture, h * 260 + 0.6 * f, 0 * h + 7)
        albedo = albedo * np.exp(0.3 * bands[:, None] * np.array([0.7, 1.0, 1.1]))
    albedo = albedo * np.exp((0.02 + 0.2 * min(land.rough, 1.0)) * f)[:, None]
    if land.relief == "smooth":
        bloom = smoothstep(f, 1.5, 2.2)[:, None] * (1 - high)
        albedo = albedo * (1 - bloom) + place.flower * bloom
    if land.snow < 1:
        snow = smoothstep(h + 0.05 * f, land.snow, land.snow + 0.12)
        snow = (snow * smoothstep(norm + 0.1 * f, 0.35, 0.6))[:, None]
        albedo = albedo * (1 - snow) + linear_rgb("f4f7fb") * snow
    return albedo


def water(place: Place, view: View, image: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """-> (n, 3) float32: colour of the n water pixels ``wet`` (H, W), which mirror ``image``."""
    light = place.light
    rows, columns = np.nonzero(wet)
    down = np.maximum(-view.up()[rows], 0.3 / view.focal)
    z = view.camera_height / down
    x = view.across()[columns] * z
    slope = noise.zoom(place.waves, x * 1.5, z * 1.5, z / view.focal * 2.5) * place.land.wave
    tilt, roll = slope[:, 1], slope[:, 0]
    up = np.abs(down + 2 * tilt) + np.abs(tilt) * 0.3
    mirror = np.clip(np.rint(view.horizon - up * view.focal), 0, view.horizon).astype(np.int64)
    aside = np.clip(np.rint(columns + roll * view.focal * 0.5), 0, view.width - 1).astype(np.int64)
    mirrored = image[np.minimum(mirror, view.height - 1), aside]
    facing = np.clip(down + tilt, 0, 1)
    fresnel = (0.03 + 0.97 * (1 - facing) ** 5)[:, None] * 0.92
    body = (
        linear_rgb("123a44")
        * (0.4 * linear_rgb(light.zenith) + 0.3 * linear_rgb(light.horizon))
        * 1.5
    )
    colour = mirrored * fresnel + body * (1 - fresnel)
    if place.facing > 0:
        across = view.across()[columns] + 0.6 * roll - place.sun[0]
        off = (across / 0.05) ** 2 + ((up - place.sun[1]) / 0.1) ** 2
        off /= 0.2 + 6 * place.land.wave
        colour = colour + (0.9 * light.power * np.exp(-off))[:, None] * linear_rgb(light.sun)
    return colour.astype("f4")
