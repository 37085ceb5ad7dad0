"""Augmentation of datasets on disk: x, y and r move with the pixels.

The only module that knows albumentations, which is no longer maintained.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from localize.batches import Augment
from synth.errors import InputError
from synth.renderer import Sample

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import

import albumentations as A

NAMES = ("flip", "turn", "crop", "noise", "gain")


def _transform(name: str) -> A.BasicTransform | A.BaseCompose:
    if name == "flip":
        return A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    if name == "turn":
        return A.RandomRotate90(p=0.75)
    if name == "crop":
        return A.BBoxSafeRandomCrop(erosion_rate=0.2, p=0.5)
    if name == "noise":
        return A.GaussNoise(std_range=(0.0, 0.01), p=0.5)
    # One factor for the whole picture: inside and outside keep their ratio.
    return A.MultiplicativeNoise(multiplier=(0.8, 1.0), per_channel=False, elementwise=False, p=0.5)


def build(names: Sequence[str]) -> Augment:
    """Names of :data:`NAMES` -> a function of (sample, seed) that gives another sample.

    Flips, quarter turns and crops (which keep the whole region) move x, y and r; noise and
    gain leave them. The same seed gives the same sample.

    Raises:
        InputError: a name is unknown.
    """
    for name in names:
        if name not in NAMES:
            raise InputError(f"augmentation '{name}' is unknown: use {', '.join(NAMES)}")
    pipeline = A.Compose(
        [_transform(name) for name in NAMES if name in names],
        keypoint_params=A.KeypointParams("xy", remove_invisible=False),
        bbox_params=A.BboxParams("pascal_voc", label_fields=[], min_area=0, clip=True),
    )

    def augment(sample: Sample, seed: int) -> Sample:
        truth = sample.truth
        if truth is None:
            return sample
        height, width = sample.image.shape[:2]
        reach = truth.reach
        # A box counts edges, not centres: the pixel i spans i to i + 1.
        box = (truth.x - reach, truth.y - reach, truth.x + reach + 1, truth.y + reach + 1)
        box = tuple(np.clip(box, 0, (width, height, width, height)).tolist())
        pipeline.set_random_seed(seed)
        moved: dict[str, Any] = pipeline(
            image=sample.image, keypoints=[(truth.x, truth.y)], bboxes=[box]
        )
        x, y = (float(v) for v in moved["keypoints"][0][:2])
        return replace(sample, image=moved["image"], truth=replace(truth, x=x, y=y), clean=None)

    return augment
