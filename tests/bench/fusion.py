"""Hit rate of one network with the image alone, the radius, the ratio, both, roughly or wrongly.

python tests/bench/fusion.py [--photos DIR] [--recipe FILE] [--per-photo N] [--csv FILE]

The rows are those of `synth generate DIR SET --recipe FILE --per-photo N`. Intervals are over
photos, differences on the same rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import chosen_or_made, options

from localize import registry
from localize.evaluation import metrics
from localize.localizer import Finding, Known, Told
from localize.methods.ringvote import predict_image_only, predict_told
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import RingVoteNet
from synth import console, photos, recipe, renderer
from synth.errors import Skipped
from synth.renderer import Sample

RECIPE = Path(__file__).parents[2] / "data" / "recipes" / "T1.json"
WITHIN = 5  # px
NOTHING, BOTH, OTHERS, NUMBERS = "nothing", "both", "both, another row's", "the numbers alone"
RADII = (1, 2, 4, 8)  # px that a radius is wrong, up or down
STEPS = (0.5, 2.0, -1.0)  # how many times as large as it is a log ratio is told
Answer = Callable[[np.ndarray, Told], tuple[float, float]]


def place(found: Finding) -> tuple[float, float]:
    """A finding -> x, y, px."""
    return found.x, found.y


def conditions(network: RingVoteNet) -> dict[str, Answer]:
    """What is told -> an image and the truth's numbers to a place, px."""
    signs, ends = (np.random.default_rng(seed) for seed in (1, 2))

    def told(image: np.ndarray, r: float, ratio: float) -> tuple[float, float]:
        return place(predict_told.find(network, image, Told(r, ratio)))

    def search(image: np.ndarray, known: Known) -> tuple[float, float]:
        return place(predict_image_only.search(network, image, known))

    def wrong_radius(px: float) -> Answer:
        return lambda image, true: told(
            image, true.r + px * signs.choice([-1, 1]), true.discolor_ratio
        )

    def wrong_step(times: float) -> Answer:
        return lambda image, true: told(image, true.r, true.discolor_ratio**times)

    def roughly(image: np.ndarray, radius: float, ratio: float | None) -> tuple[float, float]:
        """The truth is anywhere between the ends, which are 1.2 and, of log ratios, 2 to 1."""
        low = radius / 1.2 ** ends.random()
        if ratio is None:
            return search(image, Known((low, 1.2 * low)))
        weak = math.log(ratio) / 2 ** ends.random()
        weaker, stronger = sorted((math.exp(weak), math.exp(2 * weak)))
        return search(image, Known((low, 1.2 * low), (weaker, stronger)))

    return {
        NOTHING: lambda image, true: search(image, Known()),
        "r only": lambda image, true: search(image, Known(r=(true.r, true.r))),
        "ratio only": lambda image, true: search(
            image, Known(ratio=(true.discolor_ratio, true.discolor_ratio))
        ),
        "r roughly": lambda image, true: roughly(image, true.r, None),
        "both roughly": lambda image, true: roughly(image, true.r, true.discolor_ratio),
        BOTH: lambda image, true: told(image, true.r, true.discolor_ratio),
        **{f"both, r {px} px off": wrong_radius(px) for px in RADII},
        **{f"both, log ratio times {times:g}": wrong_step(times) for times in STEPS},
    }


def samples(folder: Path, chosen: recipe.Recipe) -> Iterator[Sample]:
    """All rows that have an anomaly."""
    for name in photos.find(folder):
        for k in range(chosen.per_photo):
            try:
                sample = renderer.render(photos.read(folder, name), chosen, k)
            except Skipped as reason:
                print(f"{name}: {reason}")
                break
            if sample.truth is not None:
                yield sample


def predict_all(network: RingVoteNet, drawn: Sequence[Sample]) -> pd.DataFrame:
    """Samples -> a row for each sample and condition: found (0 or 1), normalised distance."""
    numbers = [Told(each.truth.r, each.truth.discolor_ratio) for each in drawn if each.truth]
    others = np.random.default_rng(0).permutation(len(drawn))
    known, rows = conditions(network), []
    with console.progress("asking") as step:
        for number, sample in enumerate(drawn):
            image, truth = sample.image, sample.truth
            assert truth is not None
            height, width = image.shape[:2]
            places = {told: answer(image, numbers[number]) for told, answer in known.items()}
            places[OTHERS] = known[BOTH](image, numbers[others[number]])
            # What anyone who sees the numbers but not the image can do: the region must fit in.
            places[NUMBERS] = (width - 1) / 2, (height - 1) / 2
            said = np.array(list(places.values()))
            true, size = np.array([[truth.x, truth.y]]), np.array([[width, height]])
            found = metrics.distance(said, true) <= WITHIN
            off = metrics.normalised_distance(said, true, size)
            about = {"row": number, "photo": sample.photo, "found": found, "off": off}
            rows.append(pd.DataFrame({"told": list(places), **about}))
            step(number + 1, len(drawn))
    return pd.concat(rows, ignore_index=True)


def shown(values: pd.Series, groups: pd.Series, digits: int = 3, sign: str = "") -> str:
    """(N,), their photos -> mean and interval."""
    mean, *ends = values.mean(), *metrics.bootstrap(values.to_numpy(float), list(groups))
    low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return f"{mean:{sign}.{digits}f} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="default: T1")
    parser.add_argument("--per-photo", type=int, default=1, help="rows a photo (default 1)")
    parser.add_argument("--csv", type=Path, help="also write all answers' distances here")
    chosen = options(parser)
    method = registry.load("ringvote")
    assert isinstance(method, RingVote)
    assert method.network is not None
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen_or_made(chosen.photos, Path(temporary), count=8)
        rows = dataclasses.replace(recipe.load(chosen.recipe), per_photo=chosen.per_photo)
        drawn = list(samples(folder, rows))
    answers = predict_all(method.network, drawn)
    if chosen.csv:
        answers.to_csv(chosen.csv, index=False)
    by = {told: some.set_index("row") for told, some in answers.groupby("told", sort=False)}
    print(f"{len(drawn)} images; 95 % intervals over photos; differences of points, same rows")
    print(f"{'told':28} {'found within 5 px':22} {'mean normalised':22} points more than told ...")
    for told, some in by.items():
        line = f"{told:28} {shown(some.found, some.photo)}   {shown(some.off, some.photo)}"
        for other in (NOTHING, BOTH):
            more = 100 * (some.found.astype(float) - by[other].found)
            line += f"   {other}: {shown(more, some.photo, 1, '+')}" if told != other else ""
        print(line)


if __name__ == "__main__":
    main()
