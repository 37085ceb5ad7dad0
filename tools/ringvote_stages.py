"""Figures of the stages of `ringvote` on one image: python -m tools.ringvote_stages

It writes docs/images/ringvote-{image,evidence,votes,candidates,answer}. The photo is
made by synth.scenes, so nothing else is needed.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

import localize
import synth
from localize.localizer import Known, Told
from localize.methods.hough.border import Border
from localize.methods.ringvote import predict_image_only, predict_told, proposals
from localize.methods.ringvote.evidence import encode_image
from localize.report import plots, style
from synth import scenes
from synth.anomaly import Anomaly

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE, SEED, ROW = (640, 420), (1, 12), 3  # of the photo; which row is drawn in it
RATIO, RADIUS = (1.07, 1.07), (52, 52)
TRUTH, FOUND = "#00B7C7", "#FF4FA3"  # colours that are visible on photos and in gray
DIRECTIONS = {0: "right", 2: "down", 4: "left", 6: "up"}  # planes of evidence: outward direction
ZOOM = 12  # px around the centre
CROP = 95  # px around the centre, of the evidence
DASHED = (0, (4, 4))


def main() -> None:
    """Draw every stage."""
    photo = scenes.scene(*SIZE, np.random.default_rng(SEED))
    sample = synth.render(photo, synth.Recipe(size="keep", ratio=RATIO, radius=RADIUS), ROW)
    truth, image = sample.truth, sample.image
    assert truth is not None
    assert sample.clean is not None

    told, image_only = localize.load("ringvote-told"), localize.load("ringvote")
    network = image_only.network  # type: ignore[attr-defined]
    border, known = Border.of(image), Told(truth.r, truth.discolor_ratio)
    with torch.inference_mode():
        planes = predict_told.find_candidates(network, image, known)[0]
        encoding = encode_image(network, image)
        squares = predict_image_only.coarse_evidence_of(network, encoding, border)
        coarse = proposals.propose(network, squares, image.shape[:2], Known())
        refined = predict_image_only.find_candidates(network, image)[2]
    votes = told.locate([image], [known])[0].map
    answer = image_only.locate([image])[0]
    assert votes is not None

    figure, (left, right) = _panels(image, 2)
    left.set_title("The image")
    _circle(right, truth, TRUTH)
    change = np.abs(image.astype(int) - sample.clean).max(2)
    right.images[0].set_data(np.clip(20 * change, 0, 255))
    right.set_title("Its difference from the clean twin, × 20")
    _save(figure, "image")

    figure, axes = _panels(image, len(DIRECTIONS), columns=2)
    for each, (plane, name) in zip(axes, DIRECTIONS.items(), strict=True):
        each.clear()
        each.set_axis_off()
        each.imshow(planes[plane].cpu().numpy(), cmap="RdBu_r", vmin=-4, vmax=4)
        _crop(each, truth, CROP)
        each.set_title(f"outward direction: {name}")
    figure.colorbar(axes[0].images[0], ax=axes, label="evidence, nats", shrink=0.7)
    _save(figure, "evidence", photo=False)

    figure, (left, right) = _panels(image, 2)
    for one in sorted(coarse, key=lambda each: each.logit):
        _circle(left, one, FOUND, lw=0.9, alpha=0.75)
    _circle(left, truth, TRUTH, ls=DASHED)
    left.set_title(f"{len(coarse)} candidates of the coarse search")
    for one in refined[:5]:
        _circle(right, one, FOUND)
    _circle(right, truth, TRUTH, ls=DASHED)
    right.set_title("The five likeliest after refinement")
    _save(figure, "candidates")

    figure, (left, right) = _panels(image, 2)
    left.clear()
    left.imshow(votes, cmap="magma", vmin=np.quantile(votes, 0.5), vmax=votes.max())
    left.set_axis_off()
    left.set_title("Logit of each centre, true radius")
    shown = right.imshow(votes, cmap="magma", vmin=votes.max() - 60, vmax=votes.max())
    right.plot(truth.x, truth.y, "+", color=TRUTH, ms=14, mew=2)
    _crop(right, truth, ZOOM)
    right.set_title(f"Within {ZOOM} px of the true centre")
    figure.colorbar(shown, ax=right, label="logit", shrink=0.7)
    _save(figure, "votes", photo=False)

    figure, (left, right) = _panels(image, 2)
    for each in (left, right):
        _circle(each, answer, FOUND)
        _circle(each, truth, TRUTH, ls=DASHED)
    confidence = 1 / (1 + np.exp(-(answer.score or 0)))
    distance = np.hypot(answer.x - truth.x, answer.y - truth.y)
    left.set_title(f"The answer: confidence {confidence:.4f}")
    _crop(right, truth, CROP)
    right.set_title(f"{distance:.1f} px from the true centre")
    _save(figure, "answer")
    print(truth)
    print(answer)


def _panels(image: np.ndarray, count: int, columns: int = 0) -> tuple[Figure, list[Axes]]:
    """A figure with the image in each of its panels."""
    columns = columns or count
    rows = -(-count // columns)
    with style.figure_style(grid=False):
        figure = Figure(figsize=(3.9 * columns, 2.85 * rows), dpi=150, layout="constrained")
        figure.get_layout_engine().set(h_pad=0.1)  # type: ignore[union-attr, call-arg]
        axes = list(np.ravel(figure.subplots(rows, columns)))
        for each in axes:
            each.imshow(image, cmap="gray")
            each.set_axis_off()
    return figure, axes


def _crop(axes: Axes, centre: Anomaly, reach: float) -> None:
    """Show only what lies within so many px (vertically 65 %) of a centre."""
    axes.set_xlim(centre.x - reach, centre.x + reach)
    axes.set_ylim(centre.y + 0.65 * reach, centre.y - 0.65 * reach)


def _circle(axes: Axes, region, colour: str, **options) -> None:  # type: ignore[no-untyped-def]
    options = {"lw": 1.8} | options
    axes.add_patch(Circle((region.x, region.y), region.r, fill=False, ec=colour, **options))


def _save(figure: Figure, name: str, *, photo: bool = True) -> None:
    """Write a figure: JPEG if it shows the photo, else PNG of 256 colours, both below 300 kB."""
    IMAGES.mkdir(exist_ok=True)
    with style.figure_style(grid=False):
        drawn = Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))).convert("RGB")
    if photo:
        drawn.save(IMAGES / f"ringvote-{name}.jpg", quality=90, subsampling=0, optimize=True)
    else:
        drawn.quantize(256).save(IMAGES / f"ringvote-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
