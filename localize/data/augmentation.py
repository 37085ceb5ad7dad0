"""Augmentation of datasets on disk: x, y and r are transformed with the pixels.

Only this module imports albumentations, which is no longer maintained.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from localize.data.augmentation_names import NAMES, check_augmentations
from localize.data.batches import Augment
from synth.renderer import Sample

if TYPE_CHECKING:
    import albumentations as A


def _transforms(name: str) -> tuple[A.BasicTransform, ...]:
    # Without this variable, the import asks a server for a newer version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as A

    if name == "flip":
        return A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)
    if name == "turn":
        return (A.RandomRotate90(p=0.75),)
    if name == "crop":
        return (A.BBoxSafeRandomCrop(erosion_rate=0.0, p=0.5),)
    if name == "noise":
        return (A.GaussNoise(std_range=(0.0, 0.01), p=0.5),)
    # One factor for the whole image keeps the ratio of inside and outside.
    return (A.MultiplicativeNoise((0.8, 1.0), per_channel=False, elementwise=False, p=0.5),)


def _pipeline(transform: A.BasicTransform) -> A.Compose:
    import albumentations as A

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Got processor")  # noise has no keypoints to move
        return A.Compose(
            [transform],
            keypoint_params=A.KeypointParams("xy", remove_invisible=False),
            bbox_params=A.BboxParams("pascal_voc", label_fields=[], clip=True),
        )


def build(names: Sequence[str]) -> Augment:
    """Names of augmentations -> a function of (sample, seed) that returns the augmented sample.

    Flips, quarter turns and crops (which keep the whole region) move x, y and r; noise and
    gain leave them. The same seed gives the same sample.

    Raises:
        InputError: a name is unknown.
    """
    check_augmentations(names)
    # In a common pipeline all transforms would get the same random numbers.
    pipelines = [_pipeline(t) for name in NAMES if name in names for t in _transforms(name)]

    def augment(sample: Sample, seed: int) -> Sample:
        truth = sample.truth
        if truth is None:
            return sample
        image, x, y = sample.image, truth.x, truth.y
        for pipeline, pipeline_seed in zip(
            pipelines, np.random.SeedSequence(seed).generate_state(len(pipelines)), strict=True
        ):
            pipeline.set_random_seed(int(pipeline_seed))
            result = pipeline(image=image, keypoints=[(x, y)], bboxes=[_box(x, y, truth.reach)])
            image = result["image"]
            x, y = (float(v) for v in result["keypoints"][0][:2])
        return replace(sample, image=image, truth=replace(truth, x=x, y=y), clean=None)

    return augment


def _box(x: float, y: float, reach: float) -> tuple[float, float, float, float]:
    """The box around a region (left, top, right, bottom); pixel i spans i to i + 1."""
    return (
        math.floor(x - reach),
        math.floor(y - reach),
        math.ceil(x + reach) + 1,
        math.ceil(y + reach) + 1,
    )
