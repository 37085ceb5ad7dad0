"""`ringvote`: every pixel gives evidence of a step of some ratio and votes for a region's centre.

A small network (see :mod:`network`) judges what each pixel and its neighbours show, for any
ratio at once; the evidence is summed along circles and squares. `ringvote-told` is given the
radius and the ratio; `ringvote` is the same network and searches for both. It learns
from pictures without end (:mod:`localize.endless`) or from a dataset; trained weights come along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from localize import runs
from localize.devices import device_of
from localize.endless import VAL, Endless, described
from localize.localizer import Finding, Learns, Source, Told, read_run
from localize.methods.ringvote import locating, odds, searching, training
from localize.methods.ringvote.lessons import Lessons
from localize.methods.ringvote.network import Trunk
from localize.runs import load_weights
from synth import console, folders
from synth.anomaly import Anomaly
from synth.errors import InputError

EPOCH = 200  # steps, or those of one pass over a smaller source
EPOCHS = 20
LESSONS = 200


class RingVote:
    """The localizer; see the module.

    Args:
        blind: it is told nothing, and searches.
        epochs: of :data:`EPOCH` steps, times ``epochs_scale``.
        batch: pictures a step.
        width: channels of the network.
        lessons: validation pictures that the odds are fitted to, times ``epochs_scale``.
    """

    learns: Learns = "labelled"
    scores = "log odds"  # that there is an anomaly, where half of the pictures have one

    def __init__(
        self,
        *,
        blind: bool = False,
        epochs: int = EPOCHS,
        epochs_scale: float = 1.0,
        batch: int = 4,
        learning_rate: float = 2e-3,
        seed: int = 0,
        width: int = 48,
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
                "epochs, batch, width and lessons: whole numbers from 1 up; epochs-scale and "
                "learning rate: above 0"
            )
        self.told = frozenset(() if blind else ("r", "discolor_ratio"))
        self.name = "ringvote" if blind else "ringvote-told"
        self.options: dict[str, Any] = {
            "epochs": epochs, "epochs_scale": epochs_scale, "batch": batch,
            "learning_rate": learning_rate, "seed": seed, "width": width,
            "lessons": lessons,
        }  # fmt: skip
        self.device = device_of(device)
        self.progress = console.progress if progress else console.silent
        self.network: Trunk | None = None

    @property
    def parameters(self) -> int:
        """Number of weights; 0 before fitting."""
        return sum(p.numel() for p in self.network.parameters()) if self.network else 0

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train, going on where an interrupted run stopped; the best epoch is kept."""
        for name, source in (("training", train), ("validation", val)):
            if not len(source):
                raise InputError(f"the {name} split has no image with an anomaly to learn from")
        batch, epochs = self.options["batch"], self.options["epochs"]
        every = min(EPOCH, -(-len(train) // batch))
        steps = max(1, round(epochs * self.options["epochs_scale"])) * every
        plan = training.Plan(steps, batch, self.options["learning_rate"], every)
        train = train.paced(steps * batch) if isinstance(train, Endless) else train
        torch.manual_seed(self.options["seed"])
        network = Trunk(self.options["width"])
        lessons = Lessons(val, 0, min(VAL, len(val)), batch, 1)
        about = {"method": self.name, "options": self.options, "source": described(train)}
        with self.progress("training") as step:
            training.train(network, train, lessons, run, plan, about, self.device, step)
        pictures = max(1, round(self.options["lessons"] * self.options["epochs_scale"]))
        with self.progress("odds") as step:
            self._fit_odds(network, val, pictures, step)
        fitted = {
            name: value.cpu() for name, value in network.state_dict().items() if "odds" in name
        }
        for which in ("best", "last"):
            path = run / f"{which}.safetensors"
            folders.write(path, save(load_file(path) | fitted))
        runs.finish(run, about, "val_loss")
        self._use(network, run, "best")

    @staticmethod
    def _fit_odds(
        network: Trunk, source: Source, pictures: int, step: Callable[[int, int], None]
    ) -> None:
        """Both forms', for either form's weights serve both."""
        network.eval()

        def told(image: np.ndarray, truth: Anomaly) -> Tensor:
            known = Told(truth.r, truth.discolor_ratio)
            return locating.facts_of(locating.told_peaks(network, image, known)[1])

        def blind(image: np.ndarray, truth: Anomaly) -> Tensor:
            return locating.facts_of(searching.blind_candidates(network, image)[1])

        odds.learn(network.told_odds, told, source, pictures, step)
        odds.learn(network.blind_odds, blind, source, pictures, step)

    def _use(self, network: Trunk, run: Path, which: str) -> None:
        load_weights(network, run, which)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval()

    @classmethod
    def load(
        cls, run: Path, which: str = "best", device: str = "auto", blind: bool | None = None
    ) -> RingVote:
        """A run folder -> the method with its ``best`` or ``last`` weights.

        Either form's weights serve both: ``blind`` says which it shall be, else the run does.

        Raises:
            InputError: the folder is damaged or of another method.
        """
        about = read_run(run)
        try:
            blind = about["method"] == "ringvote" if blind is None else blind
            localizer = cls(device=device, blind=blind, **about["options"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{run}/model.json is damaged ({error}): train again") from None
        localizer._use(Trunk(localizer.options["width"]), run, which)
        return localizer

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 and what is told of each -> B findings, px.

        Raises:
            InputError: nothing is told, or there are no weights yet.
        """
        if self.network is None:
            raise InputError(f"{self.name} must be trained or loaded first: call fit")
        if not self.told:
            return [searching.search(self.network, image) for image in images]
        if told is None:
            raise InputError(f"{self.name} must be told r and discolor_ratio: give both")
        return [
            locating.find(self.network, image, each)
            for image, each in zip(images, told, strict=True)
        ]
