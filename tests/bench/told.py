"""Compares `ringvote` when it is told nothing, r, the ratio, or both; also roughly and wrongly.

python tests/bench/told.py [--photos DIR] [--recipe FILE] [--per-photo N] [--csv FILE]

The network is the same in all cases. The images are those of
`synth generate DIR SET --recipe FILE --per-photo N`. Intervals are 95 % bootstrap intervals over
photos; differences are between answers to the same images.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import draw_samples, parser_with_photos, photos_or_scenes

from localize import registry
from localize.evaluation import metrics
from localize.localizer import Finding, Known, Told
from localize.methods.ringvote import predict_image_only, predict_told
from localize.methods.ringvote.method import RingVote
from localize.methods.ringvote.network import RingVoteNet
from synth import console, recipe
from synth.renderer import Sample

RECIPE = Path(__file__).parents[2] / "data" / "recipes" / "T1.json"
WITHIN = 5  # px
NOTHING, BOTH = "nothing", "both"
OTHER_ROW, NO_IMAGE = "both, of another row", "both, without the image"
RADIUS_ERRORS = (1, 2, 4, 8)  # px, added to or subtracted from the radius
LOG_RATIO_FACTORS = (0.5, 2.0, -1.0)
Predict = Callable[[np.ndarray, Told], tuple[float, float]]


def centre(finding: Finding) -> tuple[float, float]:
    """A finding -> x, y in px."""
    return finding.x, finding.y


def conditions(network: RingVoteNet) -> dict[str, Predict]:
    """By what is told: a function from an image and its true r and ratio to x, y in px."""
    signs, ends = (np.random.default_rng(seed) for seed in (1, 2))

    def told(image: np.ndarray, r: float, ratio: float) -> tuple[float, float]:
        return centre(predict_told.find(network, image, Told(r, ratio)))

    def search(image: np.ndarray, known: Known) -> tuple[float, float]:
        return centre(predict_image_only.search(network, image, known))

    def wrong_radius(px: float) -> Predict:
        return lambda image, true: told(
            image, true.r + px * signs.choice([-1, 1]), true.discolor_ratio
        )

    def wrong_ratio(factor: float) -> Predict:
        return lambda image, true: told(image, true.r, true.discolor_ratio**factor)

    def roughly(image: np.ndarray, radius: float, ratio: float | None) -> tuple[float, float]:
        """Tells a range of radii, highest / lowest 1.2, and of log ratios, highest / lowest 2.

        The truth is at a random position in each range.
        """
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
        **{f"both, r {px} px wrong": wrong_radius(px) for px in RADIUS_ERRORS},
        **{f"both, log ratio x {factor:g}": wrong_ratio(factor) for factor in LOG_RATIO_FACTORS},
    }


def predict_all(network: RingVoteNet, images: Sequence[Sample]) -> pd.DataFrame:
    """Predicts every image under every condition.

    Returns:
        a row for each prediction, with found (True or False) and the normalised distance.
    """
    truths = [Told(each.truth.r, each.truth.discolor_ratio) for each in images if each.truth]
    others = np.random.default_rng(0).permutation(len(images))
    predict_by_condition, rows = conditions(network), []
    with console.progress("predicting") as step:
        for number, sample in enumerate(images):
            image, truth = sample.image, sample.truth
            assert truth is not None
            height, width = image.shape[:2]
            answers = {
                told: predict(image, truths[number])
                for told, predict in predict_by_condition.items()
            }
            answers[OTHER_ROW] = predict_by_condition[BOTH](image, truths[others[number]])
            answers[NO_IMAGE] = (width - 1) / 2, (height - 1) / 2
            predicted = np.array(list(answers.values()))
            true, size = np.array([[truth.x, truth.y]]), np.array([[width, height]])
            columns = {
                "told": list(answers),
                "row": number,
                "photo": sample.photo,
                "found": metrics.distance(predicted, true) <= WITHIN,
                "normalised_distance": metrics.normalised_distance(predicted, true, size),
            }
            rows.append(pd.DataFrame(columns))
            step(number + 1, len(images))
    return pd.concat(rows, ignore_index=True)


def mean_text(values: pd.Series, photo: pd.Series, digits: int = 3, sign: str = "") -> str:
    """(N,) values and the photo of each -> their mean and its interval as text."""
    mean, *ends = values.mean(), *metrics.bootstrap(values.to_numpy(float), list(photo))
    low, high = (f"{end:{sign}.{digits}f}" for end in ends)
    return f"{mean:{sign}.{digits}f} [{low}, {high}]"


def main() -> None:
    parser = parser_with_photos(__doc__)
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="recipe of the images [T1]")
    parser.add_argument("--per-photo", type=int, default=1, help="images per photo [1]")
    parser.add_argument("--csv", type=Path, help="file for the distances of all answers")
    chosen = parser.parse_args()
    method = registry.load("ringvote")
    assert isinstance(method, RingVote)
    assert method.network is not None
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=8)
        drawn = dataclasses.replace(recipe.load(chosen.recipe), per_photo=chosen.per_photo)
        images = list(draw_samples(folder, drawn))
    answers = predict_all(method.network, images)
    if chosen.csv:
        answers.to_csv(chosen.csv, index=False)
    by_condition = {
        told: rows.set_index("row") for told, rows in answers.groupby("told", sort=False)
    }
    print(f"{len(images)} images; 95 % intervals over photos; differences in percentage points")
    print(f"{'told':26} {'found':22} {'normalised distance':22} found more than with ...")
    for told, rows in by_condition.items():
        columns = [mean_text(rows[name], rows.photo) for name in ("found", "normalised_distance")]
        for other in (NOTHING, BOTH):
            if told != other:
                more = 100 * (rows.found.astype(float) - by_condition[other].found)
                columns.append(f"{other}: {mean_text(more, rows.photo, 1, '+')}")
        print(f"{told:26}", "   ".join(columns))


if __name__ == "__main__":
    main()
