"""The features of many images, kept in files so that an interrupted training continues."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Images
from localize.run_files import read_with_checksum, write_with_checksum
from synth.console import Progress
from synth.json_files import Damaged

BLOCK = 1024  # images per file: an interruption loses at most their features
FOLDER = "features"  # in the run folder

Extract = Callable[[Sequence[np.ndarray]], Tensor]  # images -> (B, D) float32 features


@dataclass(frozen=True)
class FeatureCache:
    """Files with the features of :data:`BLOCK` images each.

    A file is used if it is whole, and if the request, the number of images and the first of its
    images are the same as when it was written.

    Args:
        folder: of the files.
        extract: computes the features.
        length: number of features of an image.
        request: text that determines the features: the network, its weights, its input.
    """

    folder: Path
    extract: Extract
    length: int
    request: str

    def rows(self, name: str, images: Images, progress: Progress) -> Tensor:
        """Images -> (N, D) float32 features, from the files where there are some.

        Args:
            name: start of the names of the files.
            progress: called with the number of finished images and of all.
        """
        rows = torch.empty((len(images), self.length))
        for start in range(0, len(images), BLOCK):
            end = min(start + BLOCK, len(images))
            rows[start:end] = self._block(name, images, start, end)
            progress(end, len(images))
        return rows

    def _block(self, name: str, images: Images, start: int, end: int) -> Tensor:
        """The features of the images from ``start`` to ``end``."""
        first = images[start]
        digest = hashlib.sha256(np.ascontiguousarray(first).data).hexdigest()
        use = f"{self.request} {name} {start} {end} {len(images)} {digest}"
        path = self.folder / f"{name}-{start:07d}.features"
        try:
            values = np.frombuffer(read_with_checksum(path, use), np.float32)
            return torch.from_numpy(values.reshape(end - start, self.length).copy())
        except (OSError, Damaged):
            pass
        # A few at a time, because the images may be large.
        step = 64
        parts = [
            self.extract([first if i == start else images[i] for i in range(a, min(a + step, end))])
            for a in range(start, end, step)
        ]
        rows = torch.cat(parts)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_with_checksum(path, rows.numpy().tobytes(), use)
        return rows

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)
