"""`centre`: always answers the middle of the image, the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from localize.localizer import Finding, Learns, Source, Told


class Centre:
    """The localizer; its answer is ((W - 1) / 2, (H - 1) / 2) px."""

    told: frozenset[str] = frozenset()
    learns: Learns = "nothing"
    parameters = 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Do nothing: there is nothing to learn."""

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px."""
        return [Finding((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2) for image in images]
