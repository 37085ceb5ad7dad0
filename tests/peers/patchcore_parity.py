"""Compares `patchcore` with PatchCore in anomalib 2.7.0, stage by stage.

    make peers
    PYTHONPATH=. .peers/anomalib/bin/python tests/peers/patchcore_parity.py

Both are given the same images, backbone weights, random projection and first row of the coreset;
then each computes all stages. The exit code is 1 if an absolute difference exceeds 1e-4 or if
the coresets differ.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from localize.methods.backbones.convolutions import speed_up
from localize.methods.backbones.pretrained import Choice
from localize.methods.patchcore import coreset, embedding, preprocessing, scoring
from localize.methods.patchcore.backbones import build
from localize.training.torchvision_compat import make_torchvision_importable
from synth import scenes

make_torchvision_importable()
logging.disable(logging.WARNING)
warnings.filterwarnings("ignore")

from anomalib.models.components.dimensionality_reduction import (  # noqa: E402
    SparseRandomProjection,
)
from anomalib.models.components.sampling import k_center_greedy  # noqa: E402
from anomalib.models.image.patchcore.lightning_model import Patchcore  # noqa: E402
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: E402

LAYERS = {"tf_efficientnet_lite0": ("blocks.2", "blocks.4")}
RATIO, ALLOWED = 0.05, 1e-4


def render_scenes(count: int) -> list[np.ndarray]:
    """Renders scenes, (360, 480, 3) uint8 each."""
    with tempfile.TemporaryDirectory() as folder:
        paths = scenes.write(Path(folder), count, 480, 360, seed=5)
        return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def compare(backbone: str, images: list[np.ndarray], fitted: int) -> dict[str, tuple[float, float]]:
    """By stage, the largest absolute difference and the largest absolute value of anomalib.

    Args:
        backbone: name of the feature network.
        images: (H, W, 3) uint8 each.
        fitted: number of images that both are fitted to; the others are predicted.
    """
    choice = Choice(backbone, random=backbone not in LAYERS)
    ours, _ = build(choice)
    theirs = PatchcoreModel(LAYERS.get(backbone, ("layer2", "layer3")), backbone, pre_trained=False)
    theirs.feature_extractor.feature_extractor.load_state_dict(ours.model.state_dict())
    speed_up(ours.model)
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = ours.mean.flatten().tolist(), ours.std.flatten().tolist()
    resize = Patchcore.configure_pre_processor().transform.transforms[0]

    found: dict[str, tuple[float, float]] = {}

    def note(stage: str, mine: torch.Tensor, other: torch.Tensor) -> None:
        assert mine.shape == other.shape, (stage, mine.shape, other.shape)
        found[stage] = (float((mine - other).abs().max()), float(other.abs().max()))

    cpu = torch.device("cpu")
    frames = [preprocessing.axes(image.shape[1::-1], "anomalib") for image in images]
    squares = [preprocessing.square(i, frame, cpu) for i, frame in zip(images, frames, strict=True)]
    my_input = torch.stack(squares)
    their_input = torch.stack([resize(torch.tensor(i).permute(2, 0, 1) / 255) for i in images])
    note("input", my_input, their_input)
    normal = (their_input - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    with torch.inference_mode():
        mine = embedding.parts(ours(my_input), "anomalib")
        train_parts = tuple(part[:fitted] for part in mine)
        test_parts = tuple(part[fitted:] for part in mine)
        rows = embedding.join(train_parts)
        theirs.train()
        their_rows = theirs(normal[:fitted])
        note("embedding", rows, their_rows)

        projection = coreset.sparse_projection(len(rows), rows.shape[1], torch.Generator())
        start = len(rows) // 3
        keep = int(len(rows) * RATIO)
        picked = coreset.k_centre(rows @ projection.T, keep, start=start)
        bank = rows[picked]

        class Injected(SparseRandomProjection):
            def fit(self, embedding: torch.Tensor) -> None:
                super().fit(embedding)
                assert self.sparse_random_matrix.shape == projection.shape
                self.sparse_random_matrix = projection

        k_center_greedy.SparseRandomProjection = Injected
        k_center_greedy.tqdm = lambda steps, **_: steps
        sampler = k_center_greedy.KCenterGreedy(their_rows, RATIO)
        drawn, torch.randint = torch.randint, lambda **_: torch.tensor([start])
        try:
            order = torch.tensor(sampler.select_coreset_idxs())
        finally:
            torch.randint = drawn
        differ = int((order != picked).sum())
        found[f"order of the {keep} of {len(rows)} rows"] = (differ, keep)
        theirs.memory_bank = their_rows[order]

        theirs.eval()
        their_test = theirs.reshape_embedding(
            theirs.generate_embedding(
                {
                    layer: theirs.feature_pooler(feature)
                    for layer, feature in theirs.feature_extractor(normal[fitted:]).items()
                }
            )
        )
        their_patches, _ = theirs.nearest_neighbors(their_test, 1)
        answer = theirs(normal[fitted:])
        patches, scores = scoring.score(test_parts, scoring.Bank.of(bank), "anomalib", 9)
        note("patch scores", patches.flatten(), their_patches)
        note("image scores", scores, answer.pred_score)
        # In the coordinates of the network's input, as anomalib's maps.
        frame = preprocessing.axes((preprocessing.SIDE, preprocessing.SIDE), "anomalib")
        maps = [torch.tensor(preprocessing.full_map(p, frame, "anomalib")) for p in patches]
        note("maps", torch.stack(maps), answer.anomaly_map[:, 0])
        # Each value of anomalib's maps is a sum of 33 x 33 products in float32, which is exact to
        # five or six digits only.
        precise = theirs.anomaly_map_generator.double()(patches[:, None].double(), (256, 256))
        note("maps, anomalib in float64", torch.stack(maps), precise[:, 0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16, help="number; a quarter is predicted")
    parser.add_argument(
        "--backbones", default="tf_efficientnet_lite0,resnet18,wide_resnet50_2", metavar="A,B,..."
    )
    chosen = parser.parse_args()
    images, failed = render_scenes(chosen.images), False
    for backbone in chosen.backbones.split(","):
        print(f"\n{backbone} ({'ImageNet' if backbone in LAYERS else 'random'} weights)")
        for stage, (gap, size) in compare(backbone, images, chosen.images * 3 // 4).items():
            allowed = 0 if stage.startswith("order") else ALLOWED
            # Maps may differ by float32 rounding, relative to their largest value.
            bad = gap > max(allowed, 1e-5 * size if stage == "maps" else 0)
            failed |= bad
            print(f"  {stage:40} {gap:10.3g}  of {size:8.4g}{'  TOO LARGE' if bad else ''}")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
