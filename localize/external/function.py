"""SPEC ``file.py:function``: any function that says where, in a process of its own."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from localize.external import caller
from localize.external.peer import START_LIMIT, TIME_LIMIT, Peer, check_limit
from localize.localizer import Finding, Learns, Source, Told
from localize.methods.peak import peak, resize_place
from synth.errors import InputError
from synth.paths import path_of


def finding(message: dict[str, Any], shape: tuple[int, int]) -> Finding:
    """What ``caller.told`` made of an answer about an (H, W) image -> the finding.

    The place of a map alone is its peak; x and y are NaN where the map is flat. A map that is
    smaller than the image is enlarged to it.
    """
    fields = dict(message)
    map = fields.get("map")
    if map is not None:
        if "x" not in fields:
            place = peak(map)
            x, y = (math.nan, math.nan) if place is None else resize_place(place, map.shape, shape)
            fields |= {"x": x, "y": y}
        if map.shape != shape:
            fields["map"] = cv2.resize(map, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Finding(**fields)


class Function:
    """A function of the user's, from an (H, W, 3) uint8 array to a place or a map.

    Args:
        path: the file that defines it; it is imported in the other process, never here.
        name: the function's.
        time_limit: seconds that it gets per image.
        start_limit: seconds that the import gets.

    Raises:
        InputError: there is no such function, or its file cannot be imported.
    """

    told: frozenset[str] = frozenset()
    learns: Learns = "nothing"
    parameters: int | None = None  # who knows
    at_once = 1  # a group of images would fail as one

    def __init__(
        self,
        path: str | Path,
        name: str,
        *,
        time_limit: float = TIME_LIMIT,
        start_limit: float = START_LIMIT,
    ) -> None:
        check_limit(time_limit)
        path = path_of(path)
        if not path.is_file():
            raise InputError(f"no file at {path}: a SPEC is file.py:function, a name or a run")
        self.time_limit = time_limit
        job = (caller.__file__, path.resolve(), name)
        self._peer = Peer(sys.executable, job, start_limit=max(start_limit, time_limit))
        try:
            self._peer.start()
        except InputError as error:
            reason = str(error).removeprefix("SystemExit: ")
            raise InputError(f"{path}:{name} cannot be used: {reason}") from None

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """There is nothing to learn."""

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px.

        Raises:
            Failure: it failed on one of them, took too long or crashed.
        """
        return [
            finding(
                self._peer.ask({"image": np.ascontiguousarray(image)}, self.time_limit),
                image.shape[:2],
            )
            for image in images
        ]

    def close(self) -> None:
        """End its process; it starts again when it is asked."""
        self._peer.close()
