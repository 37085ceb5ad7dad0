"""Fits the scores of the included weights of `ringvote` (image-only, one view) anew.

python -m tools.ringvote_scores --photos DIR [--out RUN]

The Platt scaling is fitted to images of data/recipes/ringvote-scores.json, which are drawn from
the photos that the network did not learn from. All other weights stay as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save

from localize import registry
from localize.data import endless, recipe_stages
from localize.methods.ringvote.method import RingVote, fit_scores
from localize.run_files import SHIPPED, read_run, write_run
from synth import console, folders

RECIPE = Path(__file__).parents[1] / "data" / "recipes" / "ringvote-scores.json"
SEED = 1  # of the training of the included weights; it determines the validation photos
IMAGES = 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="those of the training")
    parser.add_argument("--out", type=Path, default=SHIPPED / "ringvote", help="run folder")
    chosen = parser.parse_args()
    method = registry.load("ringvote")
    assert isinstance(method, RingVote)
    network = method.network
    assert network is not None
    _, val = endless.split(chosen.photos, recipe_stages.load(RECIPE), SEED)
    with console.progress("scores") as step:
        fit_scores(network, 1, True, val, IMAGES, step)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    scores = {"images": IMAGES, "source": val.description()}
    about = read_run(SHIPPED / "ringvote") | {"image_only_scores": scores}
    chosen.out.mkdir(parents=True, exist_ok=True)
    folders.write(chosen.out / "best.safetensors", save(state))
    write_run(chosen.out, about, ["best.safetensors"])


if __name__ == "__main__":
    main()
