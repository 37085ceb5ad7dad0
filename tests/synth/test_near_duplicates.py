"""Near-duplicates are linked, different objects on plain ground are not; in split and scrape."""

from __future__ import annotations

import itertools
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth import Recipe, generate, near_duplicates, photos, plain_ground, recipe, scenes
from synth.near_duplicates import (
    DetailTable,
    Signature,
    SignatureIndex,
    decode_detail,
    groups,
    signature,
)
from synth.scraping import inspection
from synth.scraping.manifest import Collection
from synth.scraping.outcomes import Outcome
from synth.scraping.pages import FoundImage

sys.path.insert(0, str(Path(__file__).parent))
import objects


def linked(signatures: list[Signature]) -> list[int]:
    details = DetailTable()
    for number, each in enumerate(signatures):
        details.add(number, each.detail)
    return groups([each.dhash for each in signatures], details=details)


def near(a: Image.Image, b: Image.Image) -> bool:
    """Whether two pictures are linked."""
    return are_near(signature(a), signature(b))


def are_near(one: Signature, other: Signature) -> bool:
    """Whether they are linked by groups and by a scrape's index, which must agree."""
    known = SignatureIndex()
    known.add(one)
    assert known.contains_near(other) == (linked([one, other]) == [0, 0])
    return known.contains_near(other)


@pytest.mark.parametrize("kind", objects.GROUNDS)
def test_different_objects_on_plain_ground_are_told_apart(kind: str) -> None:
    pictures = [
        objects.picture(kind, shape, colour, size)
        for shape in objects.SHAPES
        for colour in ((150, 60, 70), (60, 130, 80), (110, 110, 130))
        for size in (0.08, 0.2)
    ]
    signatures = [signature(each) for each in pictures]
    assert sum(bool(each.detail) for each in signatures) >= 30
    assert linked(signatures) == list(range(36))


@cache
def originals() -> tuple[tuple[str, str, float, Image.Image, Signature], ...]:
    """Ground, shape, size, picture and signature of each of 36 pictures."""
    kinds = itertools.product(objects.GROUNDS, objects.SHAPES[::2], (0.1, 0.2))
    images = [
        (kind, shape, size, objects.picture(kind, shape, (150, 90, 70), size, (0.47, 0.55)))
        for kind, shape, size in kinds
    ]
    return tuple((*each, signature(each[-1])) for each in images)


@pytest.mark.parametrize("name", objects.COPIES)
def test_copies_are_linked(name: str) -> None:
    missed = []
    for kind, shape, size, image, one in originals():
        if not are_near(one, signature(objects.COPIES[name](image))):
            missed.append((kind, shape, size))
    # A crop may move steps beyond the border of the compared part; details of 8 px blur.
    assert len(missed) <= (3 if name.startswith(("crop", "third")) else 0), missed


def test_blank_pictures_are_compared_by_their_ground() -> None:
    white, grey = (Image.new("RGB", (300, 200), (v, v, v)) for v in (255, 150))
    assert near(white, objects.jpeg(white, 30))
    assert not near(white, grey)
    assert not near(white, objects.picture("white", "circle", (9, 9, 9), 0.1))


def test_a_mirrored_photo_is_another() -> None:
    image = objects.picture("white", "angle", (20, 60, 90), 0.2)
    assert not near(image, objects.mirror(image))


def test_scenes_have_no_second_look() -> None:
    images = [
        Image.fromarray(scenes.scene(160, 120, np.random.default_rng(seed))) for seed in range(4)
    ]
    assert not any(signature(each).detail for each in images)
    assert linked([signature(each) for each in images]) == [0, 1, 2, 3]


def test_details_go_through_text() -> None:
    plain = signature(objects.picture("white", "bar", (9, 9, 99), 0.1))
    assert len(plain.detail) == plain_ground.BYTES
    assert decode_detail(plain.encode_detail()) == plain.detail
    assert json.loads(json.dumps(plain.encode_detail())) == plain.encode_detail()
    for text in (
        "",
        "abc",
        plain.encode_detail()[:-5],
        "\u20ac" * 9,
        plain.encode_detail() + "00000",
    ):
        assert decode_detail(text) == b""


def test_many_plain_pictures_of_one_hash_are_not_compared_each_with_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    base = [
        signature(objects.picture("white", shape, tuple(rng.integers(0, 200, 3)), size, side=200))
        for shape in objects.SHAPES
        for size in np.linspace(0.05, 0.3, 15)
    ]
    compared = []
    alike = plain_ground.are_near_duplicates

    def count(one: np.ndarray, others: np.ndarray) -> np.ndarray:
        compared.append(len(others))
        return alike(one, others)

    monkeypatch.setattr(plain_ground, "are_near_duplicates", count)
    many = [Signature(0, each.detail) for each in base if each.detail] * 20
    found = linked(many)
    distinct = len(many) // 20
    assert distinct / 2 < len(set(found)) <= distinct
    assert all(found[k] == found[k + distinct] for k in range(len(many) - distinct))
    assert sum(compared) < len(many) ** 2 / 10


def test_a_plain_picture_and_another_are_compared_by_hash() -> None:
    detail = signature(objects.picture("white", "bar", (9, 9, 99), 0.1)).detail
    other = signature(objects.picture("white", "ring", (200, 9, 99), 0.15)).detail
    assert linked([Signature(1, detail), Signature(1, other)]) == [0, 1]
    assert linked([Signature(1, detail), Signature(3), Signature(1, other)]) == [0, 0, 0]
    assert linked([Signature(1, detail), Signature(255), Signature(1, other)]) == [0, 1, 2]


SMALL = Recipe(size=(200, 200), radius=(8, 16), split=(0.5, 0.25, 0.25))


def test_the_split_parts_objects_and_keeps_copies_together(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    for k, shape in enumerate(objects.SHAPES):
        image = objects.picture("white", shape, (150 - 20 * k, 60, 30 * k), 0.1, side=220)
        image.save(source / f"{shape}.png")
        if k < 3:
            objects.jpeg(image, 70).save(source / f"{shape} copy.png")
    table = generate(source, tmp_path / "set", SMALL)
    split = dict(zip(table["photo"], table["split"], strict=True))
    assert len(set(split.values())) == 3
    for shape in objects.SHAPES[:3]:
        assert split[f"{shape}.png"] == split[f"{shape} copy.png"]
    kept = recipe.from_dict(SMALL.to_dict() | {"keep_duplicates": True})
    splits = []
    for seed in range(4):
        again = recipe.from_dict(kept.to_dict() | {"seed": seed})
        table = generate(source, tmp_path / f"kept {seed}", again)
        split = dict(zip(table["photo"], table["split"], strict=True))
        splits += [split[f"{s}.png"] != split[f"{s} copy.png"] for s in objects.SHAPES[:3]]
    assert any(splits)
    assert (
        "Near-duplicate photos may be in different"
        in (tmp_path / "kept 0" / "README.md").read_text()
    )


def test_a_scrape_keeps_different_objects_and_resumes_with_its_signatures(tmp_path: Path) -> None:
    shapes = list(objects.SHAPES)
    images = {s: objects.picture("white", s, (150, 60, 90), 0.08) for s in shapes}
    images["copy"] = objects.resize(images["bar"], 0.7)

    def keep(out: Path, name: str, duplicates: bool = False) -> Outcome:
        collection = Collection(out, keep_duplicates=duplicates)
        file = out / ".incoming" / f"{name}.part"
        images[name].save(file, "JPEG", quality=90)
        data = file.read_bytes()
        digest = f"{sum(data):032x}{len(data):032x}"
        found = inspection.inspect(file, digest, len(data), 16, 10**6)
        url = f"https://x.org/{name}"
        assert collection.outcome_of(url) is None
        outcome = collection.keep(FoundImage(url, url), found, "now")
        collection.close()
        return outcome

    out = tmp_path / "got"
    assert [keep(out, shape) for shape in shapes] == [Outcome.SAVED] * len(shapes)
    assert keep(out, "copy") is Outcome.NEAR
    assert keep(out, "copy", duplicates=True) is Outcome.SAVED
    assert near_duplicates.is_plain(images["bar"])
    assert len(photos.find(out)) == len(shapes) + 1
