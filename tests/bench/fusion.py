"""Does it help to know? One network, told nothing, the radius, the ratio, both, or what is wrong.

python tests/bench/fusion.py [--photos DIR]   (recipe T1, a row a photo; intervals over photos)
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import photo_folder

from localize import metrics, registry
from localize.localizer import Told
from localize.methods.ringvote import locating, searching
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.searching import Known
from synth import photos, recipe, renderer
from synth.errors import Skipped

RECIPE = Path(__file__).parents[2] / "data" / "recipes" / "T1.json"


def main() -> None:
    method = registry.load("ringvote")
    assert isinstance(method, RingVote)
    network = method.network
    assert network is not None
    chosen = recipe.load(RECIPE)
    samples = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = photo_folder(Path(temporary), count=8)
        for name in photos.find(folder):
            try:
                samples.append(renderer.render(photos.read(folder, name), chosen, 0))
            except Skipped as reason:
                print(f"{name}: {reason}")
    truths = [sample.truth for sample in samples if sample.truth is not None]
    others = np.random.default_rng(0).permutation(len(truths))
    # What anyone who sees the numbers but not the image can do: the region must fit in.
    conditions = {
        "nothing": lambda i: searching.search(network, samples[i].image),
        "r only": lambda i: searching.search(network, samples[i].image, Known(r=truths[i].r)),
        "ratio only": lambda i: searching.search(
            network, samples[i].image, Known(ratio=truths[i].discolor_ratio)
        ),
        "both": lambda i: locating.find(
            network, samples[i].image, Told(truths[i].r, truths[i].discolor_ratio)
        ),
        "both, another row's": lambda i: locating.find(
            network,
            samples[i].image,
            Told(truths[others[i]].r, truths[others[i]].discolor_ratio),
        ),
        "the numbers alone": None,
    }
    print(f"{len(truths)} images; 95 % intervals\n{'told':22} hit@5               mean normalised")
    for told, answer in conditions.items():
        hits, distances = [], []
        for i, truth in enumerate(truths):
            height, width = samples[i].image.shape[:2]
            size = np.array([[width, height]], float)
            middle = (size[0] - 1) / 2
            found = answer(i) if answer else None
            place = np.array([[found.x, found.y]]) if found else middle[None]
            centre = np.array([[truth.x, truth.y]])
            hits.append(float(metrics.distance(place, centre)[0] <= 5))
            distances.append(float(metrics.normalised_distance(place, centre, size)[0]))
        groups = list(range(len(truths)))
        shown = []
        for values in (hits, distances):
            low, high = metrics.bootstrap(np.array(values), groups)
            shown.append(f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]")
        print(f"{told:22} {shown[0]}  {shown[1]}", flush=True)


if __name__ == "__main__":
    main()
