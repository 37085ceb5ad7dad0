"""Fits the parts of the included `ringvote` weights that are fitted after the training.

python -m tools.ringvote_heads --photos DIR [--only-scores] [--out RUN]

The head for wrapped pixels learns from the photos that the network learned from, with
data/recipes/wrapped.json; the Platt scaling of all forms is fitted to images of the other photos,
with data/recipes/ringvote-scores.json.
Encoder, evidence heads and vote aggregation stay as they are. A run folder is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save

from localize import registry
from localize.data import endless, recipe_stages
from localize.methods.ringvote.method import WRAPPED_STEPS, RingVote, fit_scores
from localize.methods.ringvote.train import wrapped
from localize.methods.ringvote.tta import MOST
from localize.methods.ringvote.wrapped import WrappedPixelHead
from localize.run_files import SHIPPED, read_run, write_run
from synth import console, folders

RECIPES = Path(__file__).parents[1] / "data" / "recipes"
SEED = 1  # of the training of the included weights; it determines the validation photos
IMAGES = {1: 400, MOST: 200}  # to which the scores are calibrated, by number of views


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=SHIPPED / "ringvote")
    parser.add_argument("--only-scores", action="store_true", help="keep the head as it is")
    chosen = parser.parse_args()
    about = read_run(SHIPPED / "ringvote")
    method = registry.load("ringvote")
    assert isinstance(method, RingVote)
    network = method.network
    assert network is not None
    fitted = about.setdefault("fitted_afterwards", {})
    if not chosen.only_scores:
        stages = recipe_stages.load(RECIPES / "wrapped.json")
        source, _ = endless.split(chosen.photos, stages, SEED)
        torch.manual_seed(SEED)
        head = WrappedPixelHead()
        with console.progress("wrapped pixels") as step:
            wrapped.fit(head, source, WRAPPED_STEPS, SEED, step)
        network.wrapped_head.load_state_dict(head.state_dict())
        fitted["wrapped_head"] = {"steps": WRAPPED_STEPS, "source": source.description()}
    _, val = endless.split(
        chosen.photos, recipe_stages.load(RECIPES / "ringvote-scores.json"), SEED
    )
    for views, images in IMAGES.items():
        with console.progress(f"scores, {views} views") as step:
            fit_scores(network, views, val, images, step)
    fitted["platt"] = {"images": list(IMAGES.values()), "source": val.description()}
    about.pop("odds", None)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    chosen.out.mkdir(parents=True, exist_ok=True)
    folders.write(chosen.out / "best.safetensors", save(state))
    write_run(chosen.out, about, ["best.safetensors"])


if __name__ == "__main__":
    main()
