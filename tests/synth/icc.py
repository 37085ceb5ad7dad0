"""ICC profiles made by hand (ICC.1:2001-04): matrix and curve, grey, CMYK with a table."""

from __future__ import annotations

import struct

import numpy as np

# Columns R, G, B in XYZ relative to D50, as their published profiles have them.
SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PROPHOTO = ((0.7977, 0.2880, 0.0000), (0.1352, 0.7119, 0.0000), (0.0313, 0.0001, 0.8249))
D50 = (0.9642, 1.0, 0.8249)


def srgb_to_linear(values: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def _curve(gamma: float | None) -> bytes:
    """A power, or None: the curve of sRGB, sampled."""
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    table = np.rint(srgb_to_linear(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.tobytes()


def _profile(space: bytes, kind: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50),
        **tags,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[8:12] = b"\2\x10\0\0"
    head[12:24] = kind + space + pcs
    head[36:40] = b"acsp"
    head[68:80] = _fixed(*D50)
    head[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    return bytes(head) + table + body


def rgb(primaries: tuple[tuple[float, ...], ...], gamma: float | None = None) -> bytes:
    """A display: primaries as above, one curve for the three channels."""
    tags = {
        letter + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*column)
        for letter, column in zip((b"r", b"g", b"b"), primaries, strict=True)
    }
    return _profile(
        b"RGB ", b"mntr", b"XYZ ", tags | {c + b"TRC": _curve(gamma) for c in (b"r", b"g", b"b")}
    )


def grey(gamma: float) -> bytes:
    return _profile(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk(paper: float = 100.0) -> bytes:
    """Inks that all reduce the lightness, to black: L* = paper (1 - C)(1 - M)(1 - Y)(1 - K)."""
    corners = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = paper * np.prod(1 - corners, axis=1)
    lab = np.stack([light / 100 * 255, np.full(16, 128), np.full(16, 128)], -1)
    ramp = bytes(range(256))
    table = (
        b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + ramp * 4 + np.rint(lab).astype(np.uint8).tobytes() + ramp * 3
    )  # fmt: skip
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": table, b"A2B1": table})


def expected(
    values: np.ndarray, primaries: tuple[tuple[float, ...], ...], gamma: float | None
) -> np.ndarray:
    """(..., 3) uint8 of a display -> sRGB code values, by the definitions."""
    share = values / 255
    linear = srgb_to_linear(share) if gamma is None else share**gamma
    xyz = linear @ np.array(primaries)
    return linear_to_srgb(xyz @ np.linalg.inv(np.array(SRGB))) * 255
