"""`ringvote`: a network gives evidence of an edge per pixel, which votes for a region's centre.

`ringvote-told` is told the radius and the ratio; `ringvote` has the same network and searches for
both. The `careful` forms average the evidence of the image and its mirror images. The network
learns from endless images (:mod:`localize.data.endless`) or from a dataset; trained weights are
included.

The steps are listed in :mod:`localize.methods.ringvote`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from localize.data.endless import VAL_IMAGES
from localize.localizer import (
    Finding,
    Known,
    Learns,
    Localizer,
    ScoreKind,
    Source,
    Told,
    check_labelled,
)
from localize.methods.ringvote import platt, predict_image_only, predict_told
from localize.methods.ringvote.network import RingVoteNet, current_keys
from localize.methods.ringvote.options import RingVoteOptions, current_options, start_run
from localize.methods.ringvote.train import loop
from localize.methods.ringvote.train.targets import Batches
from localize.methods.ringvote.tta import FLIPS, MOST
from localize.run_files import read_run
from localize.training import runs
from localize.training.devices import device_of
from localize.training.runs import load_weights
from synth import console, folders
from synth.anomaly import Anomaly
from synth.errors import InputError

EPOCH = 200  # steps
CAREFUL = "-careful"  # part of the name of the forms that average over MOST views


class RingVote(Localizer):
    """One of the forms of `ringvote`; see the module.

    Args:
        image_only: whether r and the ratio are searched for instead of told.
        views: number of mirrored views of an image over which the evidence is averaged: 1 or
            :data:`~localize.methods.ringvote.tta.MOST`.
        options: of :class:`~localize.methods.ringvote.options.RingVoteOptions`. An epoch has
            :data:`EPOCH` steps, or those of one pass over a smaller source. ``epochs_scale``
            multiplies ``calibration_images``, too.
    """

    learns: Learns = "labelled"
    score_kind: ScoreKind = "log odds"
    batch_size = 1  # larger groups are not faster, and an interruption would lose the whole group
    takes_ranges = True

    def __init__(self, *, image_only: bool = False, views: int = 1, **options: Any) -> None:
        self.options = RingVoteOptions(**options)
        self.told = frozenset(() if image_only else ("r", "discolor_ratio"))
        self.gives = frozenset(("place", "score") if image_only else ("place", "score", "map"))
        self.takes_ranges = image_only
        self.name = "ringvote" + CAREFUL * (views > 1) + "-told" * (not image_only)
        self.device = device_of(self.options.device)
        self.progress = console.progress if self.options.progress else console.no_progress
        self.network: RingVoteNet | None = None
        self.gaps = True  # whether rounding gaps of lossless files add to the logits
        self._views = views

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, or continue an interrupted run; keep the epoch of least validation loss."""
        check_labelled(train, val)
        options, batch = self.options, self.options.batch
        every = min(EPOCH, -(-len(train) // batch))
        steps = max(1, round(options.epochs * options.epochs_scale)) * every
        plan = loop.Plan(steps, batch, options.learning_rate, every)
        train = train.schedule(steps * batch)
        torch.manual_seed(options.seed)
        network = RingVoteNet(options.width)
        val_batches = Batches(val, 0, min(VAL_IMAGES, len(val)), batch, 1)
        about = {
            "method": self.name,
            "options": options.description(),
            "source": train.description(),
            **self._load_start(network),
        }
        with self.progress("training") as step:
            loop.train(network, train, val_batches, run, plan, about, self.device, step)
        try:
            self._fit_scores(network, val, run)
        except InputError as error:
            raise runs.to_interruption(run, error) from None
        runs.finish(run, about, "val_loss")
        self._load_weights(network, run, "best")

    def _fit_scores(self, network: RingVoteNet, val: Source, run: Path) -> None:
        """Fit the Platt scaling of all four forms and write it into both files of weights."""
        images = max(1, round(self.options.calibration_images * self.options.epochs_scale))
        for views, image_only in itertools.product((1, MOST), (False, True)):
            with self.progress("calibration") as step:
                fit_scores(network, views, image_only, val, images, step)
        network.flips = FLIPS[: self._views]
        scalings = {
            name: value.cpu() for name, value in network.state_dict().items() if "platt" in name
        }
        for which in ("best", "last"):
            path = run / f"{which}.safetensors"
            folders.write(path, save(current_keys(load_file(path)) | scalings))

    def _load_start(self, network: RingVoteNet) -> dict[str, Any]:
        """Load the weights of ``start`` into the network -> their name and digest for the run."""
        start = self.options.start
        if start is None:
            return {}
        run = start_run(start)
        if not str(read_run(run)["method"]).startswith("ringvote"):
            raise InputError(f"{run} is no run of ringvote: --start needs one")
        load_weights(network, run)
        return {"start": {"name": run.name, "sha256": folders.sha256(run / "best.safetensors")}}

    def _load_weights(self, network: RingVoteNet, run: Path, which: str) -> None:
        load_weights(network, run, which)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval()

    @classmethod
    def load(
        cls,
        run: Path,
        which: str = "best",
        device: str = "auto",
        image_only: bool | None = None,
        views: int | None = None,
        gaps: bool = True,
    ) -> RingVote:
        """A run folder -> the method with its ``best`` or ``last`` weights.

        All forms have the same weights; ``image_only`` and ``views`` choose the form. None: as in
        the form that was trained. ``gaps=False`` ignores rounding gaps.

        Raises:
            InputError: the folder is damaged or belongs to another method.
        """
        about = read_run(run)
        try:
            name = about["method"]
            image_only = not name.endswith("-told") if image_only is None else image_only
            views = (MOST if CAREFUL in name else 1) if views is None else views
            options = current_options(about["options"])
            localizer = cls(device=device, image_only=image_only, views=views, **options)
            network = RingVoteNet(localizer.options.width, views)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer.gaps = gaps
        localizer._load_weights(network, run, which)
        return localizer

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px.

        Args:
            told: radius and ratio of each image, for the told forms.

        Raises:
            InputError: ``told`` is missing for a told form, or there are no weights yet.
        """
        network = self._require_network()
        if not self.told:
            return [predict_image_only.search(network, image, gaps=self.gaps) for image in images]
        if told is None:
            raise InputError(f"{self.name} must be told r and discolor_ratio: give both")
        return [
            predict_told.find(network, image, each, self.gaps)
            for image, each in zip(images, told, strict=True)
        ]

    def seek(self, image: np.ndarray, known: Known) -> Finding:
        """(H, W, 3) uint8 -> the likeliest region among those with a possible r and ratio, px.

        Raises:
            InputError: there are no weights yet.
        """
        return predict_image_only.search(self._require_network(), image, known, self.gaps)

    def _require_network(self) -> RingVoteNet:
        """The network; InputError if there is none yet."""
        if self.network is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        return self.network


def fit_scores(
    network: RingVoteNet,
    views: int,
    image_only: bool,
    source: Source,
    images: int,
    step: Callable[[int, int], None],
) -> None:
    """Fit the Platt scaling of one form; the network then has its number of views.

    Args:
        views, image_only: which form.
        images: number of images of the source.
        step: called with the number of finished images and of all.
    """
    network.eval()
    network.flips = FLIPS[:views]

    def inputs(image: np.ndarray, truth: Anomaly) -> Tensor:
        if image_only:
            return platt.inputs(predict_image_only.find_candidates(network, image)[2])
        known = Told(truth.r, truth.discolor_ratio)
        return platt.inputs(predict_told.find_candidates(network, image, known)[1])

    platt.fit_on_source(network.platt(image_only), inputs, source, images, step)
