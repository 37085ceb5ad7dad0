"""Precision and recall of near-duplicates, on photos and on objects on plain ground.

python tests/bench/near_duplicates.py [--photos DIR]

Pairs that ought to be linked: each picture with a copy of it. Pairs that ought not: each two
different pictures; on plain ground also the hard ones, alike in all but one thing. Beside the
two looks stands the difference hash alone, at the same limit of 4 bits.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from common import photo_folder
from PIL import Image

from synth import photos
from synth.near_duplicates import NEAR, DetailTable, Signature, SignatureIndex, groups, signature

sys.path.insert(0, str(Path(__file__).parents[1] / "synth"))
import objects

Pair = tuple[Signature, Signature]
ROW = "{:<44} {:>6} {:>10} {:>10}"


def by_hash(a: Signature, b: Signature) -> bool:
    return (a.dhash ^ b.dhash).bit_count() <= NEAR


def by_both(a: Signature, b: Signature) -> bool:
    known = SignatureIndex()
    known.add(a)
    return known.contains_near(b)


def row(name: str, pairs: Sequence[Pair]) -> tuple[int, int]:
    """Print how many pairs are linked by the hash alone and by both looks."""
    hits = [sum(look(*pair) for pair in pairs) for look in (by_hash, by_both)]
    shares = [f"{100 * n / max(1, len(pairs)):.1f} %" for n in hits]
    print(ROW.format(name, len(pairs), *shares))
    return hits[0], hits[1]


def table(title: str, images: Sequence[Image.Image], alone: int | None = None) -> None:
    """Copies of each picture; each two of the first ``alone`` as different ones."""
    own = [signature(image) for image in images]
    plain = sum(bool(each.detail) for each in own)
    print(f"\n{title}: {len(images)} pictures, {plain} of them with a second look")
    print(ROW.format("linked", "pairs", "hash alone", "both looks"))
    right = np.zeros(2, int)
    for name, change in objects.COPIES.items():
        copies = [signature(change(image)) for image in images]
        right += row(name, list(zip(own, copies, strict=True)))
    mirrored = [signature(objects.mirror(image)) for image in images]
    row("mirrored (no near-duplicate)", list(zip(own, mirrored, strict=True)))
    different = list(itertools.combinations(own[:alone], 2))
    wrong = np.array(row("different pictures (wrongly)", different))
    recall = 100 * right / (len(images) * len(objects.COPIES))
    precision = 100 * right / np.maximum(right + wrong, 1)
    print(ROW.format("recall", "", *(f"{each:.1f} %" for each in recall)))
    print(ROW.format("precision", "", *(f"{each:.1f} %" for each in precision)))


def hard() -> None:
    """Objects at one place that differ in one thing."""
    print("\nObjects on plain ground that are alike in all but one thing (wrongly linked)")
    print(ROW.format("different in", "pairs", "hash alone", "both looks"))
    colours = ((60, 90, 140), (140, 60, 60), (60, 140, 60), (90, 120, 170))
    sizes = (0.06, 0.12, 0.2)

    def all_two(groups: Iterable[Sequence[Signature]]) -> list[Pair]:
        return [pair for group in groups for pair in itertools.combinations(group, 2)]

    def look(ground: str, shape: str, colour: tuple[int, int, int], size: float) -> Signature:
        return signature(objects.picture(ground, shape, colour, size, side=500))

    cases = list(itertools.product(objects.GROUNDS, sizes))
    row(
        "shape",
        all_two([look(g, s, colours[0], size) for s in objects.SHAPES] for g, size in cases),
    )
    row(
        "colour",
        all_two([look(g, "square", c, size) for c in colours] for g, size in cases),
    )
    row(
        "size, by 1.3",
        all_two(
            [look(g, s, colours[0], size) for size in (0.1, 0.13)]
            for g in objects.GROUNDS
            for s in objects.SHAPES
        ),
    )


def speed() -> None:
    """Grouping of many pictures on white, all of one hash."""
    rng = np.random.default_rng(0)
    drawn = [
        signature(
            objects.picture(
                "white",
                str(rng.choice(objects.SHAPES)),
                tuple(rng.integers(0, 200, 3)),
                rng.uniform(0.05, 0.2),
                (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)),
                side=200,
            )
        ).detail
        for _ in range(2000)
    ]
    drawn = [each for each in drawn if each]
    print("\nGrouping of pictures on white with one hash")
    for count in (2_000, 20_000, 100_000):
        details = DetailTable()
        for number in range(count):
            each = np.frombuffer(drawn[number % len(drawn)], np.uint8).copy()
            each[20:] += rng.integers(0, 2, len(each) - 20).astype(np.uint8)
            details.add(number, each.tobytes())
        began = time.perf_counter()
        found = groups([0] * count, details=details)
        seconds = time.perf_counter() - began
        print(f"{count:>8} pictures: {seconds:6.1f} s, {len(set(found))} groups")


def main() -> None:
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = photo_folder(Path(temporary), count=24)
        images = [photos.read(folder, name).picture for name in photos.find(folder)]
    table("Photos", images)
    plain = [
        objects.picture(
            ground,
            shape,
            tuple(rng.integers(90, 250, 3) if ground == "black" else rng.integers(10, 170, 3)),
            size,
            (rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)),
            side=500,
        )
        for ground, shape, size in itertools.product(
            objects.GROUNDS, objects.SHAPES, (0.06, 0.12, 0.2)
        )
    ]
    table("Objects on plain ground", plain)
    hard()
    speed()


if __name__ == "__main__":
    main()
