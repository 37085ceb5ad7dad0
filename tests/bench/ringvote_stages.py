"""Compares the time of the stages of `ringvote` with that of another checkout of the project.

python tests/bench/ringvote_stages.py --other CHECKOUT [--photos DIR]

Both versions answer the same images of 800 x 800 px (recipe T2) in one process, in turn. The ratio
is the median over the images of this version's time divided by the other's.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from common import parser_with_photos, photos_or_scenes

from synth import photos, recipe, renderer

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "data" / "recipes" / "T2.json"
IMAGES = 9
MODULES = (
    "localize.localizer", "localize.methods.hough.border", "localize.methods.ringvote.evidence",
    "localize.methods.ringvote.predict_image_only", "localize.methods.ringvote.predict_told",
    "localize.methods.ringvote.proposals", "localize.registry",
)  # fmt: skip


def load(checkout: Path) -> SimpleNamespace:
    """The modules of a checkout by their last names, and its network."""
    for name in [name for name in sys.modules if name.split(".")[0] == "localize"]:
        del sys.modules[name]
    sys.path.insert(0, str(checkout))
    modules = {name.rsplit(".", 1)[1]: importlib.import_module(name) for name in MODULES}
    sys.path.pop(0)
    assert Path(modules["registry"].__file__ or "").is_relative_to(checkout)
    return SimpleNamespace(**modules, network=modules["registry"].load("ringvote").network)


@torch.inference_mode()
def measure(
    version: SimpleNamespace, image: np.ndarray, r: float, ratio: float
) -> dict[str, float]:
    """(H, W, 3) uint8 and its region -> seconds of each stage and of both whole answers."""
    network, image_only = version.network, version.predict_image_only
    seconds: dict[str, float] = {}

    def clock(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = function()
        seconds[name] = time.perf_counter() - start
        return result

    encoding = clock("encode", lambda: version.evidence.encode_image(network, image))
    border = version.border.Border.of(image)
    coarse = clock(
        "coarse evidence", lambda: image_only.coarse_evidence_of(network, encoding, border)
    )
    nothing = version.localizer.Known()
    clock("propose", lambda: version.proposals.propose(network, coarse, image.shape[:2], nothing))
    told = version.localizer.Told(r, ratio)
    clock("told, whole", lambda: version.predict_told.find(network, image, told))
    clock("image-only, whole", lambda: image_only.search(network, image))
    return seconds


def main() -> None:
    parser = parser_with_photos(__doc__)
    parser.add_argument("--other", type=Path, required=True, help="checkout to compare with")
    chosen = parser.parse_args()
    versions = [load(chosen.other.resolve()), load(ROOT)]
    drawn = recipe.load(RECIPE)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=IMAGES)
        for name in photos.find(folder)[:IMAGES]:
            sample = renderer.render(photos.read(folder, name), drawn, 1)
            assert sample.truth is not None
            region = sample.truth.r, sample.truth.discolor_ratio
            pair = [measure(each, sample.image, *region) for each in versions]
            rows.append(pair)
    print(f"{'stage':20} {'other, ms':>10} {'this, ms':>10} {'ratio':>6}")
    for stage in rows[0][0]:
        # The first image warms up both versions.
        times = np.array([[each[stage] for each in pair] for pair in rows[1:]])
        other, this = 1000 * np.median(times, axis=0)
        ratio = np.median(times[:, 1] / times[:, 0])
        print(f"{stage:20} {other:10.0f} {this:10.0f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
