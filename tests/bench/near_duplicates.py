"""Measures precision and recall of near-duplicates, on photos and on objects on plain ground.

python tests/bench/near_duplicates.py [--photos DIR]

Pairs that should be linked: an image and a changed copy of it. Pairs that should not be linked:
two different images, and two drawings that differ in one property only. Two rules are compared:
the difference hash alone, and `synth.near_duplicates`, which also compares the detail of plain
images. Both allow 4 different bits of the hash.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from common import parser_with_photos, photos_or_scenes
from PIL import Image

from synth import photos
from synth.near_duplicates import NEAR, DetailTable, Signature, SignatureIndex, groups, signature

sys.path.insert(0, str(Path(__file__).parents[1] / "synth"))
import objects

Pair = tuple[Signature, Signature]
ROW = "{:<44} {:>6} {:>10} {:>10}"


def is_near_by_hash(a: Signature, b: Signature) -> bool:
    """Whether the difference hashes differ in few bits."""
    return (a.dhash ^ b.dhash).bit_count() <= NEAR


def is_near(a: Signature, b: Signature) -> bool:
    """Whether `synth.near_duplicates` links two images."""
    index = SignatureIndex()
    index.add(a)
    return index.contains_near(b)


def print_row(name: str, pairs: Sequence[Pair]) -> tuple[int, int]:
    """Prints the share of pairs that each rule links -> the numbers of linked pairs."""
    linked = [sum(rule(*pair) for pair in pairs) for rule in (is_near_by_hash, is_near)]
    shares = [f"{100 * count / max(1, len(pairs)):.1f} %" for count in linked]
    print(ROW.format(name, len(pairs), *shares))
    return linked[0], linked[1]


def print_table(title: str, images: Sequence[Image.Image]) -> None:
    """Prints the shares of linked pairs: each image with its copies, and each two images."""
    signatures = [signature(image) for image in images]
    plain = sum(bool(each.detail) for each in signatures)
    print(f"\n{title}: {len(images)} images, {plain} of them plain")
    print(ROW.format("linked pairs", "pairs", "hash alone", "with detail"))
    right = np.zeros(2, int)
    for name, change in objects.COPIES.items():
        copies = [signature(change(image)) for image in images]
        right += print_row(name, list(zip(signatures, copies, strict=True)))
    mirrored = [signature(objects.mirror(image)) for image in images]
    print_row("mirrored (no near-duplicates)", list(zip(signatures, mirrored, strict=True)))
    different = list(itertools.combinations(signatures, 2))
    wrong = np.array(print_row("different images (wrongly linked)", different))
    recall = 100 * right / (len(images) * len(objects.COPIES))
    precision = 100 * right / np.maximum(right + wrong, 1)
    print(ROW.format("recall", "", *(f"{each:.1f} %" for each in recall)))
    print(ROW.format("precision", "", *(f"{each:.1f} %" for each in precision)))


def print_similar_objects() -> None:
    """Prints how many drawings of objects that differ in one property are wrongly linked."""
    print("\nObjects on plain ground that differ in one property only (wrongly linked)")
    print(ROW.format("different in", "pairs", "hash alone", "with detail"))
    colours = ((60, 90, 140), (140, 60, 60), (60, 140, 60), (90, 120, 170))
    sizes = (0.06, 0.12, 0.2)

    def pairs_in(groups: Iterable[Sequence[Signature]]) -> list[Pair]:
        return [pair for group in groups for pair in itertools.combinations(group, 2)]

    def drawing(ground: str, shape: str, colour: tuple[int, int, int], size: float) -> Signature:
        return signature(objects.picture(ground, shape, colour, size, side=500))

    cases = list(itertools.product(objects.GROUNDS, sizes))
    print_row(
        "shape",
        pairs_in([drawing(g, s, colours[0], size) for s in objects.SHAPES] for g, size in cases),
    )
    print_row(
        "colour",
        pairs_in([drawing(g, "square", c, size) for c in colours] for g, size in cases),
    )
    print_row(
        "size, by 1.3",
        pairs_in(
            [drawing(g, s, colours[0], size) for size in (0.1, 0.13)]
            for g in objects.GROUNDS
            for s in objects.SHAPES
        ),
    )


def print_grouping_time() -> None:
    """Prints the time to group many drawings on white that have the same hash."""
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
    drawn = [detail for detail in drawn if detail]
    print("\nTime to group drawings on white that have the same hash")
    for count in (2_000, 20_000, 100_000):
        details = DetailTable()
        for number in range(count):
            detail = np.frombuffer(drawn[number % len(drawn)], np.uint8).copy()
            detail[20:] += rng.integers(0, 2, len(detail) - 20).astype(np.uint8)
            details.add(number, detail.tobytes())
        start = time.perf_counter()
        group_of = groups([0] * count, details=details)
        seconds = time.perf_counter() - start
        print(f"{count:>8} drawings: {seconds:6.1f} s, {len(set(group_of))} groups")


def main() -> None:
    chosen = parser_with_photos(__doc__).parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=24)
        images = [photos.read(folder, name).picture for name in photos.find(folder)]
    print_table("Photos", images)
    drawings = [
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
    print_table("Objects on plain ground", drawings)
    print_similar_objects()
    print_grouping_time()


if __name__ == "__main__":
    main()
