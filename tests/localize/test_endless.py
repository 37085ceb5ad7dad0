"""Endless images: reproducible, with the recorded truth, and as the recipe determines."""

from __future__ import annotations

import csv
import itertools
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from localize import api
from localize.data import endless, recipe_stages, unusable_photos
from localize.data.batches import Order
from localize.data.endless import Endless
from localize.data.recipe_stages import Stage
from synth import InputError, Recipe, anomaly, generate
from synth.text_escapes import escape_surrogates

SMALL = Stage(
    {"size": [64, 64], "margin": 0, "codec": "png"},
    {"radius": [[6, 8], [8, 12]], "shape": ["circle", "square"], "ratio": [[1.2, 1.3], [0.7, 0.8]]},
)


def source(folder: Path, *stages: Stage, **options: object) -> Endless:
    return Endless(folder, stages or (SMALL,), 5, **options)  # type: ignore[arg-type]


def test_an_image_depends_on_seed_and_index_alone(photo_folder: Path) -> None:
    first, again = source(photo_folder), pickle.loads(pickle.dumps(source(photo_folder)))
    backwards = [again[i] for i in reversed(range(6))][::-1]
    for i, other in enumerate(backwards):
        assert first[i].truth == other.truth == first.truth(i)[0]
        assert np.array_equal(first[i].image, other.image)
    assert first[0].truth != first[1].truth
    assert Endless(photo_folder, (SMALL,), 6)[0].truth != first[0].truth


def test_the_truth_is_what_changed(photo_folder: Path) -> None:
    for i in range(8):
        sample = source(photo_folder)[i]
        assert sample.truth is not None
        assert sample.clean is not None
        differs = (sample.image != sample.clean).any(axis=2)
        inside = anomaly.mask(sample.truth, *sample.image.shape[:2])
        assert not differs[~inside].any()
        assert differs[inside].mean() > 0.9


def test_several_regions_do_not_touch_and_share_one_ratio(photo_folder: Path) -> None:
    few = Stage(SMALL.common, SMALL.any, max_regions=3)
    images = [source(photo_folder, few).multi_region(i)[1] for i in range(20)]
    assert {len(regions) for regions in images} == {1, 2, 3}
    for regions in images:
        assert len({a.discolor_ratio for a in regions}) == 1
        for a, b in itertools.combinations(regions, 2):
            gap = max(abs(a.x - b.x), abs(a.y - b.y)) - a.r - b.r
            assert gap >= endless.GAP
        assert all(a.fits(64, 64) for a in regions)


def test_with_many_regions_as_many_as_fit_are_drawn(photo_folder: Path) -> None:
    small = {**SMALL.any, "radius": [[4, 4]]}
    counts = [
        [len(source(photo_folder, stage).multi_region(i)[1]) for i in range(6)]
        for stage in (Stage(SMALL.common, small), Stage(SMALL.common, small, max_regions=40))
    ]
    assert max(counts[0]) <= recipe_stages.FEW_REGIONS < min(counts[1])
    with pytest.raises(InputError, match="crowd"):
        Stage(SMALL.common, small, max_regions=0)


def test_every_choice_is_drawn(photo_folder: Path) -> None:
    truths = [source(photo_folder).truth(i)[0] for i in range(60)]
    assert {a.shape for a in truths} == {"circle", "square"}
    assert min(a.r for a in truths) < 7 < 11 < max(a.r for a in truths)
    assert min(a.discolor_ratio for a in truths) < 0.8 < 1.2 < max(a.discolor_ratio for a in truths)


def test_a_stage_may_last_a_share_of_the_run(photo_folder: Path) -> None:
    easy = Stage({**SMALL.common, "ratio": [1.5, 1.6], "radius": [6, 8]}, {}, until=0.5)
    images = source(photo_folder, easy, SMALL).schedule(6)
    assert [images.truth(i)[0].discolor_ratio > 1.4 for i in range(6)] == [True] * 3 + [False] * 3
    assert images.description()["mixes"][0]["until"] == 3


def test_a_stage_of_many_regions_draws_no_images_with_one_region(photo_folder: Path) -> None:
    common = {**SMALL.common, "ratio": [1.5, 1.6], "radius": [6, 8]}
    many_regions = Stage(common, {}, until=3, max_regions=9)
    both = source(photo_folder, many_regions, SMALL)
    assert all(both.truth(i)[0].discolor_ratio < 1.4 for i in range(3))
    assert all(both.multi_region(i)[1][0].discolor_ratio > 1.4 for i in range(3))


def test_stages_follow_one_another(photo_folder: Path) -> None:
    easy = Stage({**SMALL.common, "ratio": [1.5, 1.6], "radius": [6, 8]}, {}, until=3)
    both = source(photo_folder, easy, SMALL)
    assert [both.truth(i)[0].discolor_ratio > 1.4 for i in range(6)] == [True] * 3 + [False] * 3


def test_without_augmentation_photos_are_used_as_they_are(photo_folder: Path) -> None:
    recipe = Recipe(size="keep", radius=(8, 12), codec="png")
    plain = Endless(photo_folder, recipe, augment=False)
    from synth import photos

    originals = {name: photos.read(photo_folder, name).pixels for name in plain.names}
    for i in range(5):
        assert np.array_equal(plain[i].clean, originals[plain[i].photo])
        assert plain.truth(i)[1] == (120, 96)


def test_length_clean_twins_and_names(photo_folder: Path) -> None:
    name = source(photo_folder).names[3]
    few = source(photo_folder, names=[name], length=2)
    assert len(few) == 2
    assert [few[i].photo for i in range(2)] == [name] * 2
    assert all(np.array_equal(a, few[i].clean) for i, a in enumerate(few.clean()))
    with pytest.raises(IndexError):
        few[2]


def test_recipe_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    stage = {"recipe": SMALL.common, "any": SMALL.any}
    path.write_text(json.dumps({"stages": [{**stage, "until": 5}, stage]}))
    assert recipe_stages.load(path) == (Stage(SMALL.common, SMALL.any, 5), SMALL)
    short = {"recipe": SMALL.common, "any": SMALL.any, "stages": [{"until": 5}, {}]}
    path.write_text(json.dumps(short))
    assert recipe_stages.load(path) == (Stage(SMALL.common, SMALL.any, 5), SMALL)
    path.write_text(json.dumps(short | {"stages": [{"any": {"ratio": [[1.5, 1.6]]}}]}))
    assert recipe_stages.load(path)[0].any == SMALL.any | {"ratio": [[1.5, 1.6]]}
    assert recipe_stages.load("seed")[0].recipe(np.random.default_rng(0)).shape == "square"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"stages": {}}', "no list"),
        ('{"stages": [{"untill": 3}]}', "no list"),
        ('{"stages": [{}, {}]}', "until"),
        ('{"stages": [{"until": 1.5}, {}]}', "until"),
        ('{"stages": [{}], "crowd": 3}', "only recipe and any"),
        ('{"stages": [{}], "any": 3}', "objects"),
        ('{"stages": [{"any": {"shape": "circle"}}]}', "list of values"),
        ('{"stages": [{"any": {"shape": ["oval"]}}]}', "circle or square"),
        ('{"stages": [{"any": {"shap": ["circle"]}}]}', "did you mean 'shape'"),
    ],
)
def test_bad_recipe_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        recipe_stages.load(path)


def test_photos_too_small_are_an_error(photo_folder: Path) -> None:
    big = Recipe(size=(400, 400), radius=(8, 12))
    for augment in (False, True):  # neither is enlarged
        with pytest.raises(InputError, match="photo is 120x96, smaller than 400x400"):
            Endless(photo_folder, big, augment=augment)[0]
    stretched = Recipe(size=(400, 400), radius=(8, 12), fit="stretch")  # asked for
    assert Endless(photo_folder, stretched)[0].image.shape == (400, 400, 3)


def test_networks_learn_from_pictures_without_end(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch sees the next pictures, not the same."""
    monkeypatch.setattr("localize.data.batches.EPOCH", 6)
    monkeypatch.setattr("localize.data.endless.VAL_IMAGES", 2)
    order = Order(6, seed=0, shuffle=True, fresh=True)
    seen = []
    for epoch in range(2):
        order.set_epoch(epoch)
        seen.append(sorted(index for index, _ in order))
    assert seen == [list(range(6)), list(range(6, 12))]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"stages": [{"recipe": SMALL.common, "any": SMALL.any}]}))
    out = tmp_path / "run"
    options = {"input": (48, 48), "epochs": 2, "batch": 3}
    api.train("cnn-fuse-last", None, out, photos=photo_folder, recipe=recipe, **options)
    about = api.describe(out)
    assert about["last_epoch"] == 2
    assert about["source"]["photos"] > 0
    assert about["train_images"] is None


@pytest.fixture
def odd_folder(photo_folder: Path, tmp_path: Path) -> Path:
    """Two good photos among a cut one, a transparent, an animated, a small one and a bad name."""
    folder = tmp_path / "odd"
    folder.mkdir()
    first, second, third = sorted(photo_folder.glob("*.png"))[:3]
    for path in (first, second):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "cut.png").write_bytes(third.read_bytes()[:400])
    (folder / os.fsdecode(b"stra\xdfe.png")).write_bytes(third.read_bytes())
    with Image.open(third) as image:
        clear = image.convert("RGBA")
        clear.putpixel((0, 0), (0, 0, 0, 0))
        clear.save(folder / "clear.png")
        image.save(folder / "moving.gif", save_all=True, append_images=[image.rotate(90)])
        image.resize((40, 96)).save(folder / "small.png")
    return folder


@pytest.mark.parametrize("name", ["cnn-fast", "unet-dsnt"])
def test_the_stages_of_a_recipe_last_their_share_of_every_training(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("localize.data.batches.EPOCH", 4)
    monkeypatch.setattr("localize.data.endless.VAL_IMAGES", 2)
    recipe, seen = tmp_path / "stages.json", []
    stages = [{"until": 0.5, "any": {"ratio": [[1.5, 1.6]]}}, {"any": {"ratio": [[1.1, 1.2]]}}]
    shared = {"recipe": {"size": [64, 64], "margin": 0, "radius": [8, 12]}, "stages": stages}
    recipe.write_text(json.dumps(shared))
    draw = Endless.__getitem__

    def record(self: Endless, index: int) -> object:
        sample = draw(self, index)
        if self._length > 2:
            assert sample.truth is not None
            seen.append((index, sample.truth.discolor_ratio))
        return sample

    monkeypatch.setattr(Endless, "__getitem__", record)
    monkeypatch.setattr("torch.get_num_threads", lambda: 0)  # no workers: all in this process
    api.train(
        name, None, tmp_path / "run", photos=photo_folder, recipe=recipe,
        input=(32, 32), epochs=4, batch=4, progress=False, device="cpu",
    )  # fmt: skip
    assert sorted({index for index, _ in seen}) == list(range(16))
    assert all((ratio > 1.4) == (index < 8) for index, ratio in seen)


def test_photos_that_cannot_be_used_are_skipped_as_generate_does(
    odd_folder: Path, tmp_path: Path
) -> None:
    recipe = Recipe(size=(64, 64), radius=(6, 8))
    table = generate(odd_folder, tmp_path / "set", recipe)
    reasons = {escape_surrogates(name): why for name, why in table.attrs["skipped"].items()}
    for seed in range(5):  # whichever are held for validation
        train, val = endless.split(odd_folder, (Stage(recipe.to_dict()),), seed)
        assert unusable_photos.skipped_photos((train, val)) == reasons
        used = {source[i].photo for source in (train, val) for i in range(20)}
        assert used == set(table["photo"])
        assert not {train[i].photo for i in range(20)} & {val[i].photo for i in range(20)}
    assert unusable_photos.skipped_summary((train, val)).startswith("5 of 7 photos skipped: 1 x ")


def test_skipping_changes_no_other_picture(photo_folder: Path, tmp_path: Path) -> None:
    """A photo that is lost later costs its own pictures alone."""
    folder = tmp_path / "photos"
    shutil.copytree(photo_folder, folder)
    before = [source(folder)[i] for i in range(30)]
    lost = before[0].photo
    (folder / lost).write_bytes(b"")
    later = source(folder)
    for i, sample in enumerate(before):
        assert later[i].photo != lost
        if sample.photo != lost:
            assert np.array_equal(later[i].image, sample.image)
    assert set(later.skipped) == {lost}
    assert later.description() != source(folder, names=source(folder).names[1:]).description()
    assert later.description() == source(photo_folder, names=source(folder).names).description()


def test_only_where_no_photo_can_be_used_is_it_an_error(odd_folder: Path) -> None:
    for path in sorted(odd_folder.glob("scene-*"))[1:]:
        path.unlink()
    with pytest.raises(InputError, match="at least two usable photos"):
        endless.split(odd_folder, (SMALL,))
    next(odd_folder.glob("scene-*")).unlink()
    with pytest.raises(InputError, match=r"none of the 5 photos in .* can be used; the first: "):
        endless.split(odd_folder, (SMALL,))


def test_training_lists_the_photos_that_it_skips(
    odd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that becomes unreadable meanwhile, which only a worker notices."""
    monkeypatch.setattr("localize.data.batches.EPOCH", 12)
    monkeypatch.setattr("localize.data.endless.VAL_IMAGES", 2)
    monkeypatch.setattr("localize.data.endless.CACHE", 0)
    for name in ("third.png", "fourth.png"):
        shutil.copy(next(odd_folder.glob("scene-*")), odd_folder / name)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"stages": [{"recipe": SMALL.common, "any": SMALL.any}]}))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        train, _ = endless.split(odd_folder, recipe_stages.load(recipe))
        lost = next(name for name in train.names if name not in train.skipped)
        (odd_folder / lost).write_bytes(b"")

    api.train(
        "cnn-fast", None, tmp_path / "run", photos=odd_folder, recipe=recipe, say=say,
        input=(32, 32), epochs=2, batch=3, progress=False, device="cpu",
    )  # fmt: skip
    assert said[0].startswith("5 of 9 photos skipped: ")
    assert said[1].startswith("6 of 9 photos skipped: ")
    with (tmp_path / "run" / "skipped.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 6
    assert {"stra\\xdfe.png", "cut.png"} < {row["photo"] for row in rows}


def test_photos_with_less_detail_have_the_same_regions_and_are_smoother(
    photo_folder: Path,
) -> None:
    images = source(photo_folder, augment=False)
    sharp, smooth = (images.resize((64, 48), detail)[0] for detail in (1.0, 0.5))
    assert sharp.truth == smooth.truth
    assert sharp.clean is not None
    assert smooth.clean is not None
    assert sharp.clean.shape == smooth.clean.shape == (48, 64, 3)
    steps = [np.abs(np.diff(each.clean.astype(int), axis=1)).mean() for each in (sharp, smooth)]
    assert steps[1] < 0.8 * steps[0]
