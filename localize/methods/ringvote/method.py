"""`ringvote`: a network gives evidence of an edge per pixel, which votes for a region's centre.

`ringvote-told` is told the radius and the ratio; `ringvote` is the same network and searches for
both. The `careful` forms average the evidence of the image and its mirror images. It learns from
endless images (:mod:`localize.data.endless`) or from a dataset; trained weights are included.
The steps are listed in :mod:`localize.methods.ringvote`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from localize.data.endless import VAL, Endless, described
from localize.localizer import Finding, Known, Learns, Source, Told, read_run
from localize.methods.ringvote import platt, predict_image_only, predict_told
from localize.methods.ringvote.network import RingVoteNet, current_keys
from localize.methods.ringvote.train import loop
from localize.methods.ringvote.train.targets import Batches
from localize.methods.ringvote.tta import FLIPS, MOST
from localize.registry import WEIGHTS
from localize.training import runs
from localize.training.devices import device_of
from localize.training.runs import load_weights
from synth import console, folders
from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.paths import path_of

EPOCH = 200  # steps, or those of one pass over a smaller source
EPOCHS = 20
LESSONS = 200
OLD_OPTIONS = frozenset({"second"})  # in the model.json of older run folders
CAREFUL = "-careful"  # in the name of what looks MOST times


class RingVote:
    """The localizer; see the module.

    Args:
        blind: it is told nothing, and searches.
        looks: how often it looks at a picture: as it is, and mirrored.
        epochs: of :data:`EPOCH` steps, times ``epochs_scale``.
        batch: pictures a step.
        width: channels of the network.
        start: whose weights training goes on from: ``ringvote``, those that come along, or a run
            folder; None: from scratch.
        lessons: validation pictures that the odds are fitted to, times ``epochs_scale``.
    """

    learns: Learns = "labelled"
    at_once = 1  # more would take as long together, and be lost together
    scores = "log odds"  # that there is an anomaly, where half of the pictures have one

    def __init__(
        self,
        *,
        blind: bool = False,
        looks: int = 1,
        epochs: int = EPOCHS,
        epochs_scale: float = 1.0,
        batch: int = 4,
        learning_rate: float = 2e-3,
        seed: int = 0,
        width: int = 48,
        start: str | Path | None = None,
        lessons: int = LESSONS,
        device: str = "auto",
        progress: bool = True,
    ) -> None:
        if (
            min(epochs, batch, width, lessons) < 1
            or not 0 < epochs_scale <= 100
            or not learning_rate > 0
        ):
            raise InputError(
                "epochs, batch, width and lessons: whole numbers from 1 up; "
                "epochs-scale and learning rate: above 0"
            )
        self.told = frozenset(() if blind else ("r", "discolor_ratio"))
        self.name = "ringvote" + CAREFUL * (looks > 1) + "-told" * (not blind)
        self.options: dict[str, Any] = {
            "epochs": epochs, "epochs_scale": epochs_scale, "batch": batch,
            "learning_rate": learning_rate, "seed": seed, "width": width,
            "lessons": lessons,
        }  # fmt: skip
        self._looks, self._start = looks, start
        self.device = device_of(device)
        self.progress = console.progress if progress else console.silent
        self.network: RingVoteNet | None = None

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, or resume an interrupted run; the weights of the best epoch are kept.

        Raises:
            InputError: a split is empty, or the run folder is of another training.
        """
        for name, source in (("training", train), ("validation", val)):
            if not len(source):
                raise InputError(f"the {name} split has no image with an anomaly to learn from")
        batch, epochs = self.options["batch"], self.options["epochs"]
        every = min(EPOCH, -(-len(train) // batch))
        steps = max(1, round(epochs * self.options["epochs_scale"])) * every
        plan = loop.Plan(steps, batch, self.options["learning_rate"], every)
        train = train.paced(steps * batch) if isinstance(train, Endless) else train
        torch.manual_seed(self.options["seed"])
        network = RingVoteNet(self.options["width"])
        begun = self._begun(network)
        val_batches = Batches(val, 0, min(VAL, len(val)), batch, 1)
        about = {"method": self.name, "options": self.options, "source": described(train)} | begun
        with self.progress("training") as step:
            loop.train(network, train, val_batches, run, plan, about, self.device, step)
        try:
            self._fit_scores(network, val, run)
        except InputError as error:
            raise runs.resumable(run, error) from None
        runs.finish(run, about, "val_loss")
        self._use(network, run, "best")

    def _fit_scores(self, network: RingVoteNet, val: Source, run: Path) -> None:
        """Fit the Platt scaling of all four forms and write it into both files of weights."""
        pictures = max(1, round(self.options["lessons"] * self.options["epochs_scale"]))
        for looks in (1, MOST):
            network.flips = FLIPS[:looks]
            with self.progress("odds") as step:
                self._fit_odds(network, val, pictures, step)
        network.flips = FLIPS[: self._looks]
        fitted = {
            name: value.cpu() for name, value in network.state_dict().items() if "platt" in name
        }
        for which in ("best", "last"):
            path = run / f"{which}.safetensors"
            folders.write(path, save(current_keys(load_file(path)) | fitted))

    def _begun(self, network: RingVoteNet) -> dict[str, Any]:
        """Load the weights of ``start`` into a new network -> their entry in model.json."""
        if self._start is None:
            return {}
        run = WEIGHTS / "ringvote" if str(self._start) == "ringvote" else path_of(self._start)
        if not str(read_run(run)["method"]).startswith("ringvote"):
            raise InputError(f"{run} is no run of ringvote: --start goes on from one")
        load_weights(network, run)
        return {"start": {"name": run.name, "sha256": folders.sha256(run / "best.safetensors")}}

    @staticmethod
    def _fit_odds(
        network: RingVoteNet, source: Source, pictures: int, step: Callable[[int, int], None]
    ) -> None:
        """Fit the told and the image-only form for the network's present number of views."""
        network.eval()

        def told(image: np.ndarray, truth: Anomaly) -> Tensor:
            known = Told(truth.r, truth.discolor_ratio)
            return platt.inputs(predict_told.find_candidates(network, image, known)[1])

        def image_only(image: np.ndarray, truth: Anomaly) -> Tensor:
            return platt.inputs(predict_image_only.find_candidates(network, image)[2])

        platt.fit_on_source(network.platt(image_only=False), told, source, pictures, step)
        platt.fit_on_source(network.platt(image_only=True), image_only, source, pictures, step)

    def _use(self, network: RingVoteNet, run: Path, which: str) -> None:
        load_weights(network, run, which)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval()

    @classmethod
    def load(
        cls,
        run: Path,
        which: str = "best",
        device: str = "auto",
        blind: bool | None = None,
        looks: int | None = None,
    ) -> RingVote:
        """A run folder -> the method with its ``best`` or ``last`` weights.

        Any form's weights serve all: ``blind`` and ``looks`` say which it shall be, else the run.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run(run)
        try:
            name = about["method"]
            blind = not name.endswith("-told") if blind is None else blind
            looks = (MOST if CAREFUL in name else 1) if looks is None else looks
            options = {k: v for k, v in about["options"].items() if k not in OLD_OPTIONS}
            localizer = cls(device=device, blind=blind, looks=looks, **options)
            network = RingVoteNet(localizer.options["width"], looks)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer._use(network, run, which)
        return localizer

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8, and radius and ratio of each for a told form -> B findings, px.

        Raises:
            InputError: a told form is not given ``told``, or there are no weights yet.
        """
        network = self._trained()
        if not self.told:
            return [predict_image_only.search(network, image) for image in images]
        if told is None:
            raise InputError(f"{self.name} must be told r and discolor_ratio: give both")
        return [
            predict_told.find(network, image, each)
            for image, each in zip(images, told, strict=True)
        ]

    def seek(self, image: np.ndarray, known: Known) -> Finding:
        """(H, W, 3) uint8 -> the likeliest region, px, of the possible radii and ratios.

        Raises:
            InputError: there are no weights yet.
        """
        return predict_image_only.search(self._trained(), image, known)

    def _trained(self) -> RingVoteNet:
        if self.network is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        return self.network
