"""The method `autoencoder`: finds what a network that knows clean images reconstructs worst."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from localize.localizer import Finding, Learns, Localizer, MapMarks, Part, Source, Told
from localize.methods import clean_images
from localize.methods.autoencoder.error_map import error_map
from localize.methods.autoencoder.graph import ErrorMap
from localize.methods.autoencoder.network import Autoencoder
from localize.methods.autoencoder.options import AutoencoderOptions
from localize.methods.autoencoder.training import CLIP, AutoencoderTraining, loader, val_loader
from localize.methods.peak import position
from localize.onnx.sidecar import Sidecar
from localize.run_files import RUN_FILE, read_run_of
from localize.training import runs, trainer
from localize.training.devices import device_of
from localize.training.trainer import Schedule
from synth import console
from synth.errors import InputError


class AutoencoderLocalizer(Localizer):
    """The blurred error of an image's reconstruction; see the package.

    The score of an image is the maximum of its map.

    Args:
        options: of :class:`~localize.methods.autoencoder.options.AutoencoderOptions`.
    """

    learns: Learns = "clean"
    gives: frozenset[Part] = frozenset({"place", "score", "map"})
    map_marks: MapMarks = "region"
    batch_size = 1  # larger groups are not faster, and an interruption would lose the whole group

    def __init__(self, **options: Any) -> None:
        self.options = AutoencoderOptions(**options)
        self.device = device_of(self.options.device)
        self.network: Autoencoder | None = None
        self.threshold: float | None = None

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train on the clean images of ``train``, or continue an interrupted run.

        The epoch of least validation loss is kept; without clean validation images, that of least
        training loss. Then the threshold is set on the clean images of ``val``.

        Raises:
            InputError: there is no clean image to learn from.
        """
        images, val_images = train.clean_images(), val.clean_images()
        if not len(images):
            raise clean_images.none_to_learn_from("autoencoder")
        options = self.options
        epochs = max(1, round(options.epochs * options.epochs_scale))
        torch.manual_seed(options.seed)
        network = Autoencoder(options.latent)
        batches = loader(train, images, options)
        about = {
            "method": "autoencoder",
            "options": options.description(),
            "train_images": len(images),
            "val_images": len(val_images),
        }
        best_by = "val_loss" if len(val_images) else "train_loss"
        trainer.train(
            AutoencoderTraining(network, options, epochs * len(batches)),
            batches,
            val_loader(val, val_images, options) if len(val_images) else None,
            run,
            Schedule(
                epochs=epochs,
                learning_rate=options.learning_rate,
                batch=options.batch,
                device=options.device,
                devices=1,
                progress=options.progress,
            ),
            about,
            best_by=best_by,
            gradient_clip=CLIP,
        )
        self._load_weights(run, "best")
        try:
            scores = self._scores(val)
        except InputError as error:
            raise runs.to_interruption(run, error) from None
        self.threshold = clean_images.threshold(scores)
        runs.finish(run, about | {"threshold": clean_images.threshold_entry(scores)}, best_by)

    def _scores(self, val: Source) -> list[float]:
        """The image scores of the clean validation images."""

        def score(images: Sequence[np.ndarray]) -> list[float]:
            return [float(self._map(image).max()) for image in images]

        progress: Any = contextlib.nullcontext(lambda done, total: None)
        if self.options.progress:
            progress = console.progress("autoencoder: threshold")
        with progress as step:
            return clean_images.scores(val, score, 1, step)

    def _map(self, image: np.ndarray) -> np.ndarray:
        assert self.network is not None
        return error_map(self.network, image, self.options.error)

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px, with image score and map."""
        if self.network is None:
            raise InputError("autoencoder must be trained or loaded first: call fit")
        findings = []
        for image in images:
            map = self._map(image)
            x, y = position(map, self.options.locate)
            findings.append(Finding(x, y, score=float(map.max()), map=map))
        return findings

    def _load_weights(self, run: Path, which: str) -> None:
        network = Autoencoder(self.options.latent)
        runs.load_weights(network, run, which)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval()

    def to_onnx(self) -> tuple[torch.nn.Module, Sidecar]:
        """The whole method but the place, which is found in the map."""
        if self.network is None:
            raise InputError("autoencoder must be trained or loaded first: call fit")
        sidecar = Sidecar(image="image", score="score", map="map", locate=self.options.locate)
        return ErrorMap(self.network, self.options.error), sidecar

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> AutoencoderLocalizer:
        """A run folder -> the method with its ``best`` or ``last`` weights.

        Raises:
            InputError: the folder is damaged or belongs to another method.
        """
        about = read_run_of(run, "autoencoder")
        try:
            localizer = cls(device=device, **about["options"])
            localizer.threshold = about["threshold"]["score"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{run}/{RUN_FILE} is damaged ({error}): train again") from None
        localizer._load_weights(run, which)
        return localizer
