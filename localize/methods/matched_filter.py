"""The base class of the matched filters, which learn nothing and are told r and the ratio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from localize.localizer import Finding, Localizer, Part, Told
from synth.errors import InputError


class MatchedFilter(Localizer, ABC):
    """A localizer whose subclasses define ``name`` and :meth:`find`."""

    name: str
    told: frozenset[str] = frozenset({"r", "discolor_ratio"})
    gives: frozenset[Part] = frozenset({"place", "score", "map"})
    parameters = 0

    @abstractmethod
    def find(self, image: np.ndarray, told: Told) -> Finding:
        """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 and the radius and ratio of each -> B findings, px.

        Raises:
            InputError: ``told`` is missing.
        """
        if told is None:
            raise InputError(f"{self.name} must be told r and discolor_ratio: give both")
        return [self.find(image, each) for image, each in zip(images, told, strict=True)]
