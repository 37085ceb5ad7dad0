"""`centre`: always answers the middle of the image, the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from localize.localizer import Finding, Localizer, Told


class Centre(Localizer):
    """Always answers the image's centre, ((W - 1) / 2, (H - 1) / 2)."""

    parameters = 0

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px."""
        return [Finding((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2) for image in images]
