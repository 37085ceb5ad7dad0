"""SPEC ``file.py:function``: a function of the user, called in its own process."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from localize.external import caller
from localize.external.options import ExternalOptions
from localize.external.peer import START_LIMIT, Peer
from localize.localizer import Finding, Localizer, Part, Told
from localize.methods.peak import peak, resize_place
from synth.errors import InputError
from synth.paths import path_of


def to_finding(message: dict[str, Any], shape: tuple[int, int]) -> Finding:
    """A message of ``caller.to_message`` about an (H, W) image -> the finding.

    Where x and y are missing, they are the peak of the map, and NaN for a flat map. A map that is
    smaller than the image is enlarged.
    """
    fields = dict(message)
    map = fields.get("map")
    if map is not None:
        if "x" not in fields:
            position = peak(map)
            x, y = (
                (math.nan, math.nan)
                if position is None
                else resize_place(position, map.shape, shape)
            )
            fields |= {"x": x, "y": y}
        if map.shape != shape:
            fields["map"] = cv2.resize(map, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Finding(**fields)


class Function(Localizer):
    """A function of the user, from an (H, W, 3) uint8 array to a position or a map.

    Args:
        path: the file that defines it; imported only in the other process.
        name: the name of the function.
        start_limit: seconds that the import may take.
        options: of :class:`~localize.external.options.ExternalOptions`.

    Raises:
        InputError: there is no such function, or its file cannot be imported.
    """

    gives: frozenset[Part] = frozenset({"place", "score", "map"})  # what it returns is not known
    batch_size = 1  # in a group of images one failure would lose all answers

    def __init__(
        self,
        path: str | Path,
        name: str,
        *,
        start_limit: float = START_LIMIT,
        **options: Any,
    ) -> None:
        self.time_limit = ExternalOptions(**options).time_limit
        path = path_of(path)
        if not path.is_file():
            raise InputError(f"no file at {path}: a SPEC is file.py:function, a name or a run")
        job = (caller.__file__, path.resolve(), name)
        self._peer = Peer(sys.executable, job, start_limit=max(start_limit, self.time_limit))
        try:
            self._peer.start()
        except InputError as error:
            reason = str(error).removeprefix("SystemExit: ")
            raise InputError(f"{path}:{name} cannot be used: {reason}") from None

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px.

        Raises:
            Failure: the function failed on an image, took too long or crashed.
        """
        return [
            to_finding(
                self._peer.request({"image": np.ascontiguousarray(image)}, self.time_limit),
                image.shape[:2],
            )
            for image in images
        ]

    def close(self) -> None:
        """End the process; the next call of :meth:`locate` starts it again."""
        self._peer.close()
