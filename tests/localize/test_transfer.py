"""`transfer` and `transfer-clean`: features, distances, the head, runs that are interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from localize import registry
from localize.localizer import Images, Source
from localize.methods.backbones.options import BACKBONE
from localize.methods.transfer import cache, head, method, neighbours, whitening
from localize.methods.transfer.cache import FeatureCache
from localize.methods.transfer.features import Extractor, PooledBackbone
from localize.methods.transfer.finetuning import FineTuning
from localize.methods.transfer.head import Examples, class_weights, fit_head
from localize.methods.transfer.method import Transfer
from localize.methods.transfer.neighbours import CleanFeatures
from localize.methods.transfer.whitening import Whitening
from localize.run_files import read_run, write_run
from synth.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread", "few_steps")
CPU = torch.device("cpu")
FAST: dict[str, Any] = {
    "backbone": "lcnet_035", "input": (32, 32), "random_weights": True, "device": "cpu",
    "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def few_steps() -> Iterator[None]:
    """Short trainings of the head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "LEAST_STEPS", 60)
        yield


class Lists(Source):
    """A source of given clean and anomalous images."""

    def __init__(self, clean: Sequence[np.ndarray], anomalous: Sequence[np.ndarray]) -> None:
        super().__init__()
        self._clean, self._anomalous = clean, anomalous

    def __len__(self) -> int:
        return len(self._anomalous)

    def clean_images(self) -> Images:
        return self._clean

    def anomalous_images(self) -> Images:
        return self._anomalous


def lists(clean: int, anomalous: int, seed: int) -> Lists:
    """Dark images of noise as the clean ones, and bright ones."""
    rng = np.random.default_rng(seed)

    def some(count: int, low: int) -> list[np.ndarray]:
        return [rng.integers(low, low + 60, (30, 40, 3), dtype=np.uint8) for _ in range(count)]

    return Lists(some(clean, 20), some(anomalous, 150))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, few_steps: None) -> Transfer:
    """`transfer` after a training on more anomalous than clean images."""
    run = tmp_path_factory.mktemp("labelled") / "run"
    localizer = registry.create("transfer", **FAST)
    assert isinstance(localizer, Transfer)
    localizer.fit(lists(8, 24, 0), lists(6, 6, 1), run)
    localizer.run = run  # type: ignore[attr-defined]
    return localizer


@pytest.fixture(scope="module")
def from_clean(tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    """`transfer-clean` after a training on 8 images."""
    run = tmp_path_factory.mktemp("clean") / "run"
    localizer = registry.create("transfer-clean", **FAST)
    assert isinstance(localizer, Transfer)
    localizer.fit(lists(8, 5, 0), lists(6, 6, 1), run)
    localizer.run = run  # type: ignore[attr-defined]
    return localizer


def scores(localizer: Transfer, images: Images) -> np.ndarray:
    """The scores of images."""
    found = localizer.locate([images[i] for i in range(len(images))])
    assert np.isnan([(each.x, each.y) for each in found]).all()
    return np.array([each.score for each in found])


@pytest.mark.parametrize("k", [1, 2, 50])
def test_distances_to_the_nearest_rows_by_brute_force(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    generator = torch.Generator().manual_seed(0)
    rows, bank = (torch.randn((n, 12), generator=generator) for n in (20, 33))
    rows[3] = bank[5]  # at distance 0
    gaps = np.linalg.norm(rows.numpy()[:, None].astype(float) - bank.numpy()[None], axis=2)
    expected = np.sort(gaps, axis=1)[:, : min(k, 33)].mean(1)
    clean = CleanFeatures.of(bank, 0)
    np.testing.assert_allclose(clean.mean_distances(rows, k).numpy(), expected, atol=1e-5)
    assert len(clean.mean_distances(rows[:0], k)) == 0


def unit_rows(count: int, length: int, seed: int) -> Tensor:
    """Features of length 1 whose variances differ."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.arange(1.0, length + 1)
    return torch.nn.functional.normalize(torch.randn((count, length), generator=generator) * scales)


@pytest.mark.parametrize("shrinkage", [0.1, 0.8, 1.0])
def test_distances_of_whitened_features_are_those_of_mahalanobis(
    shrinkage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitening, "BLOCK", 7)
    rows, other = unit_rows(40, 6, 0), unit_rows(9, 6, 1)
    covariance = np.cov(rows.numpy().T, bias=True)
    variance = covariance.diagonal().mean()
    inverse = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * variance * np.eye(6))

    gaps = other.numpy()[:, None] - rows.numpy()[None]
    expected = np.sqrt(variance * np.einsum("nmi,ij,nmj->nm", gaps, inverse, gaps)).min(axis=1)
    found = CleanFeatures.of(rows, shrinkage).mean_distances(other, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_whitening_with_fewer_images_than_features(count: int) -> None:
    rows, other = unit_rows(count, 12, 0), unit_rows(9, 12, 1)
    clean = CleanFeatures.of(rows, 0.1)
    assert torch.isfinite(clean.mean_distances(other, 2)).all()
    np.testing.assert_allclose(clean.mean_distances(rows, 1), 0, atol=1e-5)
    if count == 1:  # there is no covariance
        plain = CleanFeatures.of(rows, 0).mean_distances(other, 2)
        np.testing.assert_allclose(clean.mean_distances(other, 2), plain, atol=1e-6)


def test_both_kinds_of_images_have_the_same_weight() -> None:
    weights = class_weights(torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))
    assert weights.mean() == pytest.approx(1)
    assert weights[[1, 4]].sum() == pytest.approx(float(weights[[0, 2, 3, 5, 6]].sum()))


def gaussian(clean: int, anomalous: int, seed: int) -> Examples:
    """Features whose log odds are known: means -1 and 1 along the first axis, variance 1."""
    generator = torch.Generator().manual_seed(seed)
    examples = Examples.of(
        *(torch.randn((count, 5), generator=generator) for count in (clean, anomalous))
    )
    examples.rows[:, 0] += 2 * examples.labels - 1
    return examples


def test_the_head_gives_log_odds_for_equal_numbers_of_images() -> None:
    """Also where a tenth of the images is clean; the true log odds are 2x."""
    trained = fit_head(gaussian(200, 1800, 0), gaussian(200, 1800, 1), 0, CPU)
    assert trained.is_calibrated
    test = gaussian(1000, 1000, 2)
    with torch.inference_mode():
        found = trained.head(test.rows)
    true = 2 * test.rows[:, 0]
    assert float((found - true).abs().mean()) < 0.4
    assert float(found.mean()) == pytest.approx(0, abs=0.25)
    again = fit_head(gaussian(200, 1800, 0), gaussian(200, 1800, 1), 0, CPU)
    assert all(
        map(torch.equal, again.head.state_dict().values(), trained.head.state_dict().values())
    )


def test_the_head_depends_on_the_seed_alone() -> None:
    train, val = gaussian(20, 20, 0), gaussian(20, 20, 1)
    heads = [fit_head(train, val, seed, CPU).head for seed in (0, 0, 1)]
    first, again, other = (each.layers[1].weight for each in heads)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_labels_separate_the_images(labelled: Transfer) -> None:
    assert (labelled.note, labelled.score_kind) == ("labels, random weights", "log odds")
    test = lists(10, 10, 2)
    assert (scores(labelled, test.clean_images()) < 0).all()
    assert (scores(labelled, test.anomalous_images()) > 0).all()
    about = read_run(labelled.run)  # type: ignore[attr-defined]
    assert about["learned_from"] == "labels"
    assert about["train_images"] == {"clean": 8, "anomalous": 24}
    assert not (labelled.run / cache.FOLDER).exists()  # type: ignore[attr-defined]


def test_clean_images_give_a_distance(from_clean: Transfer) -> None:
    assert from_clean.note == "clean images, k = 2, random weights"
    assert from_clean.score_kind == ""
    train = lists(8, 5, 0)
    extractor, clean = from_clean._extractor, from_clean._clean
    assert extractor is not None
    assert clean is not None
    assert clean.whitening is not None
    plain = extractor.rows(list(train.clean_images()))  # type: ignore[call-overload]
    np.testing.assert_allclose(torch.linalg.norm(plain, dim=1), 1, atol=1e-5)
    rows = Whitening.of(plain, from_clean.options.whitening)(plain)
    assert torch.equal(rows, clean.bank.rows)
    gaps = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = gaps.sort(dim=1)[0][:, 1] / 2  # the nearest is the image itself
    np.testing.assert_allclose(scores(from_clean, train.clean_images()), nearest, atol=1e-4)
    test = lists(10, 10, 2)
    assert from_clean.threshold is not None
    assert (scores(from_clean, test.anomalous_images()) > from_clean.threshold).all()


@pytest.mark.parametrize("name", ["labelled", "from_clean"])
def test_the_same_after_loading(name: str, request: pytest.FixtureRequest) -> None:
    fitted = request.getfixturevalue(name)
    loaded = registry.load(fitted.run, device="cpu")
    assert isinstance(loaded, Transfer)
    test = lists(3, 3, 2).anomalous_images()
    np.testing.assert_array_equal(scores(loaded, test), scores(fitted, test))
    attributes = ("note", "score_kind", "learns", "threshold", "parameters")
    for attribute in attributes:
        assert getattr(loaded, attribute) == getattr(fitted, attribute)


def test_runs_of_versions_without_whitening_answer_as_before(tmp_path: Path) -> None:
    run, test = tmp_path / "run", lists(3, 3, 2).anomalous_images()
    localizer = registry.create("transfer-clean", **FAST, whitening=0)
    assert isinstance(localizer, Transfer)
    localizer.fit(lists(8, 5, 0), lists(6, 6, 1), run)
    about = read_run(run)
    del about["options"]["whitening"]
    write_run(run, about)
    loaded = registry.load(run, device="cpu")
    assert isinstance(loaded, Transfer)
    assert loaded.note == "clean images, k = 2, random weights, not whitened"
    np.testing.assert_array_equal(scores(loaded, test), scores(localizer, test))


@pytest.mark.parametrize(
    ("clean", "anomalous", "learns", "uses"),
    [(5, 5, "auto", True), (5, 0, "auto", False), (5, 5, "clean", False), (5, 1, "labelled", True)],
)
def test_the_form_follows_from_the_images(
    clean: int, anomalous: int, learns: str, uses: bool
) -> None:
    localizer = Transfer(learns=learns, **FAST)
    assert localizer._uses_labels(method.Split.of(lists(clean, anomalous, 0))) == uses
    assert not Transfer(clean=True, **FAST)._uses_labels(method.Split.of(lists(5, 5, 0)))


def test_without_validation_images_of_both_kinds_there_are_no_log_odds(tmp_path: Path) -> None:
    localizer = Transfer(**FAST)
    localizer.fit(lists(8, 8, 0), lists(4, 0, 1), tmp_path / "run")
    assert localizer.score_kind == ""
    assert localizer.note == "labels, not calibrated, random weights"
    assert "not calibrated" in read_run(tmp_path / "run")["trained"]
    assert registry.load(tmp_path / "run").score_kind == ""


class Killed(Exception):
    """In place of kill -9."""


@pytest.mark.parametrize("name", ["transfer", "transfer-clean"])
def test_an_interrupted_run_continues_from_its_features(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 3)
    original, seen = Extractor.rows, []

    def rows(self: Extractor, images: Sequence[np.ndarray]) -> Tensor:
        seen.append(len(images))
        if len(seen) == limit:
            raise Killed
        return original(self, images)

    monkeypatch.setattr(Extractor, "rows", rows)
    limit, runs = 3, [tmp_path / "whole", tmp_path / "resumed"]
    data = lists(8, 4, 0), lists(4, 4, 1)
    with pytest.raises(Killed):
        registry.create(name, **FAST).fit(*data, runs[1])
    damaged = next((runs[1] / cache.FOLDER).glob("*clean-0000003*"))
    damaged.write_bytes(damaged.read_bytes()[:-5])
    limit = -1
    for run in runs:
        seen.clear()
        registry.create(name, **FAST).fit(*data, run)
    total = 8 + 4 + (4 + 4 if name == "transfer" else 0)
    assert sum(seen) == total - 3  # the first block was whole
    for file in ("model.json", *read_run(runs[0])["files"]):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes()


def test_features_of_other_images_are_computed_anew(tmp_path: Path) -> None:
    def features(request: str, seed: int) -> Tensor:
        def extract(images: Sequence[np.ndarray]) -> Tensor:
            return torch.tensor([[float(image.mean())] for image in images])

        images = lists(5, 0, seed).clean_images()
        return FeatureCache(tmp_path, extract, 1, request).rows("x", images, lambda *_: None)

    first = features("a", 0)
    assert torch.equal(features("a", 0), first)
    assert not torch.equal(features("a", 1), first)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    features("b", 1)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("name", "parts"),
    [(BACKBONE, 4), ("resnet18", 3), ("mobilenet_v2", 4), ("vit_tiny_patch16_224", 4)],
)
def test_features_of_other_backbones(name: str, parts: int) -> None:
    """A ResNet's last stage is its last layer, whose features are not repeated."""
    network = PooledBackbone(name, "stages", (64, 32))
    images = torch.rand((2, 3, 32, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        rows = network(images)
    assert rows.shape == (2, network.length)
    np.testing.assert_allclose(torch.linalg.norm(rows, dim=1), 1, atol=1e-5)
    last = PooledBackbone(name, "last", (64, 32))
    assert last.length < network.length
    assert float(rows[0, -last.length :].norm()) == pytest.approx(parts**-0.5, abs=1e-4)


@pytest.mark.slow
def test_fine_tuning_changes_the_backbone_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lists(8, 8, 0), lists(4, 4, 1)
    options = FAST | {"finetune": True, "batch": 4, "epochs": 2}
    whole, part, unchanged = (tmp_path / name for name in ("whole", "part", "unchanged"))
    original, steps = FineTuning.training_step, []

    def training_step(self: FineTuning, batch: list[Tensor], index: int) -> Tensor:
        steps.append(index)
        if len(steps) == 6:  # in the second epoch
            raise Killed
        return original(self, batch, index)

    monkeypatch.setattr(FineTuning, "training_step", training_step)
    with pytest.raises(Killed):
        Transfer(**options).fit(*data, part)
    Transfer(**options).fit(*data, part)
    assert len(steps) == 6 + 4
    localizer = Transfer(**options)
    localizer.fit(*data, whole)
    assert localizer.note == "labels, fine-tuned, random weights"
    files = read_run(whole)["files"]
    assert read_run(part)["files"] == files
    Transfer(**FAST).fit(*data, unchanged)
    assert read_run(unchanged)["files"]["backbone.safetensors"] != files["backbone.safetensors"]
    test = lists(4, 4, 2)
    loaded = registry.load(whole, device="cpu")
    assert isinstance(loaded, Transfer)
    assert (scores(loaded, test.anomalous_images()) > 0).all()
    np.testing.assert_array_equal(
        scores(loaded, test.clean_images()), scores(localizer, test.clean_images())
    )
    assert not list(whole.glob("*.ckpt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": (31, 64)}, "at least 32x32"),
        ({"learns": "all"}, "learns is 'all'"),
        ({"features": "all"}, "features is 'all'"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"whitening": 1.1}, "whitening is 1.1: give a number from 0 to 1"),
        ({"whitening": float("nan")}, "whitening is nan"),
        ({"finetune": True, "learns": "clean"}, "finetune needs labels"),
        ({"backbone": "resnet19"}, "unknown"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Transfer(**FAST | options)


@pytest.mark.parametrize(
    ("clean", "anomalous", "options", "message"),
    [
        (0, 5, {}, "the training split has none"),
        (5, 0, {"learns": "labelled"}, "images with an anomaly and the training split has none"),
        (5, 0, {"finetune": True}, "images with an anomaly and the training split has none"),
        (5, 5, {"backbone": "swin_tiny_patch4_window7_224"}, "gives no pooled features"),
    ],
)
def test_bad_images(
    clean: int, anomalous: int, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        Transfer(**FAST | options).fit(lists(clean, anomalous, 0), lists(4, 4, 1), tmp_path / "run")
    assert not (tmp_path / "run/model.json").exists()
