"""The method `heatmap`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from localize.localizer import (
    Finding,
    Learns,
    Localizer,
    Part,
    ScoreKind,
    Source,
    Told,
    check_labelled,
)
from localize.methods.heatmap import prediction
from localize.methods.heatmap.network import HeatmapNet
from localize.methods.heatmap.options import HeatmapOptions
from localize.methods.heatmap.targets import EPOCH, loader
from localize.methods.heatmap.training import CLIP, HeatmapTraining
from localize.methods.ringvote import platt
from localize.methods.ringvote.network import current_keys
from localize.methods.ringvote.options import start_run
from localize.run_files import read_file, read_run, read_run_of
from localize.training import runs, trainer
from localize.training.devices import bfloat16_is_fast, device_of
from localize.training.runs import load_weights
from localize.training.trainer import Schedule
from synth import console, folders
from synth.anomaly import Anomaly
from synth.errors import InputError


class Heatmap(Localizer):
    """A U-Net at full resolution that computes a map of centres; see the package.

    Args:
        options: of :class:`~localize.methods.heatmap.options.HeatmapOptions`. ``epochs_scale``
            multiplies ``calibration_images``, too.
    """

    learns: Learns = "labelled"
    gives: frozenset[Part] = frozenset({"place", "score", "map"})
    score_kind: ScoreKind = "log odds"
    batch_size = 1  # larger groups are not faster, and an interruption would lose the whole group

    def __init__(self, **options: Any) -> None:
        self.options = HeatmapOptions(**options)
        self.device = device_of(self.options.device)
        self.network: HeatmapNet | None = None

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, or continue an interrupted run; keep the epoch of least validation loss."""
        check_labelled(train, val)
        options = self.options
        epochs = max(1, round(options.epochs * options.epochs_scale))
        is_endless = len(train) == sys.maxsize
        train = train.schedule(epochs * min(EPOCH, len(train)))
        torch.manual_seed(options.seed)
        network = HeatmapNet()
        about = {
            "method": "heatmap",
            "options": options.description(),
            "source": train.description(),
            **self._load_start(network),
        }
        shared: dict[str, Any] = {"batch": options.batch, "seed": options.seed}
        workers = min(8, torch.get_num_threads()) if is_endless else 0
        images = loader(train, options.window, train=True, workers=workers, **shared)
        trainer.train(
            HeatmapTraining(
                network,
                options.learning_rate,
                epochs * len(images),
                options.encoder_rate,
                bfloat16_is_fast(self.device),
            ),
            images,
            loader(val, options.window, train=False, workers=0, **shared),
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
            best_by="val_loss",
            gradient_clip=CLIP,
        )
        self._load_weights(network, run, "best")
        try:
            self._fit_scores(network, val, run)
        except InputError as error:
            raise runs.to_interruption(run, error) from None
        runs.finish(run, about, "val_loss")

    def _load_start(self, network: HeatmapNet) -> dict[str, Any]:
        """Load the weights of ``start`` into the network -> their name and digest for the run.

        From a run of ringvote, the weights of the encoder are loaded.
        """
        start = self.options.start
        if start is None:
            return {}
        run = start_run(start)
        method = str(read_run(run)["method"])
        if method == "heatmap":
            load_weights(network, run)
        elif method.startswith("ringvote"):
            state = current_keys(load(read_file(run, "best.safetensors")))
            own = network.state_dict()
            encoder = {
                name: value
                for name, value in state.items()
                if name in own and not name.startswith("platt")
            }
            if any(own[name].shape != value.shape for name, value in encoder.items()):
                raise InputError(f"{run} has another width: --start needs the usual one")
            network.load_state_dict(own | encoder)
        else:
            raise InputError(f"{run} is no run of heatmap or ringvote: --start needs one")
        return {"start": {"name": run.name, "sha256": folders.sha256(run / "best.safetensors")}}

    def _fit_scores(self, network: HeatmapNet, val: Source, run: Path) -> None:
        """Fit the Platt scaling and write it into both files of weights and ``model.json``."""
        images = max(1, round(self.options.calibration_images * self.options.epochs_scale))
        progress = console.progress if self.options.progress else console.no_progress

        def inputs_of(image: np.ndarray, _: Anomaly) -> Tensor:
            return prediction.best(prediction.maps_of(network, image)).platt_inputs()

        with progress("calibration") as step:
            platt.fit_on_source(network.platt, inputs_of, val, images, step)
        scaling = {k: v.cpu() for k, v in network.state_dict().items() if k.startswith("platt")}
        for which in (runs.BEST, runs.LAST):
            folders.write(run / which, save(load_file(run / which) | scaling))

    def _load_weights(self, network: HeatmapNet, run: Path, which: str) -> None:
        load_weights(network, run, which)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval()

    @classmethod
    def load(cls, run: Path, which: str = "best", device: str = "auto") -> Heatmap:
        """A run folder -> the method with its ``best`` or ``last`` weights.

        Raises:
            InputError: the folder is damaged or belongs to another method.
        """
        about = read_run_of(run, "heatmap")
        try:
            localizer = cls(device=device, **about["options"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer._load_weights(HeatmapNet(), run, which)
        return localizer

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px.

        Raises:
            InputError: there are no weights yet.
        """
        network = self.network
        if network is None:
            raise InputError("heatmap must be trained or loaded first: call fit")
        return [prediction.find(network, image) for image in images]
