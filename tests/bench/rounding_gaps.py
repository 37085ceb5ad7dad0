"""What rounding gaps add to `ringvote` on lossless files, and whether they say nothing elsewhere.

python tests/bench/rounding_gaps.py [--photos DIR] [--per-photo N] [--size WxH] [--radius PX]
                                    [--ratio LOW:HIGH] [--methods NAME ...] [--csv FILE]

First, without a network: how often the term of the true region, of 63 other ones and of the told
search is not 0, in clean pictures, after JPEG, and after stochastic rounding. Then the share of
regions found within 5 px and the AUROC against clean twins, with and without the term. Clean
twins whose term is 0 are not asked a second time.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from common import draw_samples, parser_with_photos, photos_or_scenes

from localize import registry
from localize.evaluation import detection, metrics
from localize.localizer import Told
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.gap_scores import add_gap_evidence, gap_map
from synth import console, recipe
from synth.renderer import Sample

RECIPE = Path(__file__).parents[2] / "data" / "recipes" / "T1.json"
METHODS = ("ringvote-told", "ringvote")
OTHERS = 63  # candidates beside the true region
FORMS = {
    "PNG, nearest": {"codec": "png", "rounding": "nearest"},
    "PNG, floor": {"codec": "png", "rounding": "floor"},
    "PNG, stochastic": {"codec": "png", "rounding": "stochastic"},
    **{f"JPEG {q}": {"codec": "jpeg", "quality": q} for q in (90, 95, 98)},
}


def candidates(sample: Sample, rng: np.random.Generator) -> list[Candidate]:
    """The true region and OTHERS at random places with random radii."""
    height, width = sample.image.shape[:2]
    truth = sample.truth
    assert truth is not None
    square, ratio = truth.shape == "square", truth.discolor_ratio
    found = [Candidate(round(truth.x), round(truth.y), truth.r, 1.0, square, ratio)]
    for number in range(OTHERS):
        r = float(np.exp(rng.uniform(np.log(20), np.log(0.47 * min(height, width)))))
        x, y = (int(rng.integers(int(r), side - int(r))) for side in (width, height))
        found.append(Candidate(x, y, r, 0.0, bool(number % 2), ratio))
    return found


def terms(sample: Sample, image: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """An (H, W, 3) uint8 image -> the terms, nats, and the CPU time of computing them, s."""
    truth, regions = sample.truth, candidates(sample, rng)
    assert truth is not None
    began = time.process_time()
    scored = add_gap_evidence(regions, image)
    between = time.process_time()
    map = gap_map(image, Told(truth.r, truth.discolor_ratio))
    ended = time.process_time()
    by_place = {(one.x, one.y, one.r): one.gaps for one in scored}
    true, *others = (by_place[one.x, one.y, one.r] for one in regions)
    return {
        "true": true, "others": max(others), "told": 0.0 if map is None else float(map.max()),
        "candidates_s": between - began, "told_s": ended - between,
    }  # fmt: skip


def print_terms(images: dict[str, list[Sample]]) -> None:
    """Prints how often the terms are not 0."""
    print(f"{'':20} {'pictures':>8}  term not 0: true region, other candidates, told map   CPU ms")
    rng = np.random.default_rng(0)
    for form, group in images.items():
        for name in ("clean", form) if form == "PNG, nearest" else (form,):
            rows = pd.DataFrame(
                terms(one, one.image if name == form else clean_of(one), rng) for one in group
            )
            shares = [f"{100 * (rows[part] != 0).mean():6.1f} %" for part in rows.columns[:3]]
            times = 1000 * rows[["candidates_s", "told_s"]].median()
            print(f"{name:20} {len(rows):>8}  {'  '.join(shares)}   median "
                  f"{rows.true.median():.1f} nats   {times.iloc[0]:.0f} {times.iloc[1]:.0f}",
                  flush=True)  # fmt: skip


def clean_of(sample: Sample) -> np.ndarray:
    """The clean twin of an image."""
    assert sample.clean is not None
    return sample.clean


def answers(name: str, images: dict[str, list[Sample]]) -> pd.DataFrame:
    """A row for each image and clean twin, with and without the term: found, score, nats."""
    localizers = {gaps: registry.load(name, gaps=gaps) for gaps in (True, False)}
    rows = []
    with console.progress(name) as step:
        for number, group in enumerate(zip(*images.values(), strict=True)):
            for form, sample in zip(("clean", *images), (group[0], *group), strict=True):
                truth = sample.truth
                assert truth is not None
                told = [Told(truth.r, truth.discolor_ratio)] if localizers[True].told else None
                image = clean_of(sample) if form == "clean" else sample.image
                (found,) = localizers[True].locate([image], told)
                (plain,) = (
                    [found]
                    if form == "clean" and not found.gap_evidence
                    else localizers[False].locate([image], told)
                )
                for gaps, finding in ((True, found), (False, plain)):
                    off = np.hypot(finding.x - truth.x, finding.y - truth.y)
                    rows.append({
                        "method": name, "form": form, "gaps": gaps, "row": number,
                        "photo": sample.photo, "found": float(off <= 5), "distance": off,
                        "score": finding.score, "evidence": finding.gap_evidence or 0.0,
                        "ratio": truth.discolor_ratio, "shape": truth.shape,
                    })  # fmt: skip
            step(number + 1, len(images[next(iter(images))]))
    return pd.DataFrame(rows)


def print_answers(name: str, rows: pd.DataFrame, forms: Sequence[str]) -> None:
    """Prints hit rates and AUROC with and without the term, and the paired difference."""
    clean = rows[rows.form == "clean"]
    for form in forms:
        both = {}
        for gaps in (False, True):
            part = rows[(rows.form == form) & (rows.gaps == gaps)].set_index("row")
            score = clean[clean.gaps == gaps].score.to_numpy()
            area = detection.image_metrics(
                np.concatenate([part.score, score]),
                np.arange(2 * len(part)) < len(part),
                [*part.photo, *part.photo],
            )["image_auroc"].value
            both[gaps] = part.found
            low, high = metrics.bootstrap(part.found.to_numpy(), list(part.photo))
            print(f"{name:15} {form:14} {'with' if gaps else 'without':8} found "
                  f"{part.found.mean():.2f} [{low:.2f}, {high:.2f}]  AUROC {area:.3f}  "
                  f"clean twins above one half {(score > 0).mean():.2f}")  # fmt: skip
        more = both[True] - both[False]
        low, high = metrics.bootstrap(more.to_numpy(), list(part.photo))
        print(f"{'':39} difference {more.mean():+.2f} [{low:+.2f}, {high:+.2f}]", flush=True)


def main() -> None:
    parser = parser_with_photos(__doc__)
    parser.add_argument("--per-photo", type=int, default=1, help="images per photo [1]")
    parser.add_argument("--size", default="keep", help="WIDTHxHEIGHT in px [keep]")
    parser.add_argument("--radius", type=float, default=40.0, help="px [40]")
    parser.add_argument("--ratio", default="1.02:1.08", help="range of the ratio [1.02:1.08]")
    parser.add_argument("--methods", nargs="*", default=METHODS, help="with --methods alone, none")
    parser.add_argument("--csv", type=Path, help="file for all answers")
    chosen = parser.parse_args()
    low, high = map(float, chosen.ratio.split(":"))
    size = chosen.size if chosen.size == "keep" else tuple(map(int, chosen.size.split("x")))
    common = dataclasses.replace(
        recipe.load(RECIPE), per_photo=chosen.per_photo, size=size, fit="crop", ratio=(low, high),
        radius=(chosen.radius, chosen.radius), twins=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=8)
        images = {
            form: list(draw_samples(folder, dataclasses.replace(common, **changes)))
            for form, changes in FORMS.items()
        }
    print_terms(images)
    forms = ("PNG, nearest", "PNG, floor")
    tables = []
    for name in chosen.methods:
        tables.append(answers(name, {form: images[form] for form in forms}))
        print_answers(name, tables[-1], forms)
    if chosen.csv and tables:
        pd.concat(tables).to_csv(chosen.csv, index=False)


if __name__ == "__main__":
    main()
