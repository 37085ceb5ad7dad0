"""SPEC ``anomalib:MODEL``: an anomaly detector of the library anomalib, in its environment."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from localize.data.folder import Folder
from localize.external import anomalib_job, caller
from localize.external.function import finding
from localize.external.peer import TIME_LIMIT, Failure, Peer, check_limit
from localize.localizer import RUN_FILE, Finding, Learns, Source, Told, read_run
from localize.methods.patchcore.weights import PACKAGED
from localize.registry import ANOMALIB
from localize.run_files import check_file, write_run
from localize.training.devices import device_of
from synth import console, exporting
from synth.errors import InputError

PYTHON = "ACUITY_ANOMALIB"  # names the interpreter, or its environment's folder
ENVIRONMENT = Path(".peers/anomalib")  # that make peers writes
# Of anomalib 2.7.0: those that give maps, train on clean pictures alone and download nothing.
MODELS = (
    "anomaly_dino", "cflow", "dfm", "draem", "fastflow", "fre", "padim", "patchcore", "patchflow",
    "reverse_distillation", "stfpm", "supersimplenet",
)  # fmt: skip
JOB = anomalib_job.__file__
LOG = "training.log"
SCRATCH = "scratch"  # folder in the run: pictures and checkpoints while it trains


@dataclasses.dataclass(frozen=True)
class Options:
    """What a user may choose; ``input`` is (width, height) px, to which images are stretched."""

    model: str
    input: tuple[int, int] = (256, 256)
    epochs: int | None = None
    epochs_scale: float = 1.0
    batch: int = 16
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            near = difflib.get_close_matches(self.model, MODELS, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(MODELS)}"
            raise InputError(
                f"{ANOMALIB}{self.model} is no model that gives maps and needs no download; {hint}"
            )
        if (
            min(1 if self.epochs is None else self.epochs, self.batch, *self.input) < 1
            or not self.epochs_scale > 0
        ):
            raise InputError("epochs, batch, input and epochs-scale: give numbers above 0")


class Detector:
    """A model that learns from clean pictures, and marks what looks unlike them.

    Args:
        time_limit: seconds that it gets for an image, once it is trained.

    Raises:
        InputError: there is no such model, or no environment with anomalib.
    """

    told: frozenset[str] = frozenset()
    learns: Learns = "clean"
    map_marks = "region"
    at_once = 1  # a group of images would fail as one

    def __init__(
        self, *, progress: bool = True, time_limit: float = TIME_LIMIT, **options: Any
    ) -> None:
        self.options = Options(**options)
        device_of(self.options.device)
        check_limit(time_limit)
        self.time_limit = time_limit
        self.about: dict[str, Any] = {}
        self._progress = progress
        self._python = python()
        self._peer: Peer | None = None

    @property
    def parameters(self) -> int | None:
        """Number of values that it keeps; None before training."""
        return self.about.get("parameters")

    @property
    def note(self) -> str:
        """What every table must say of it."""
        if not self.about:
            return ""
        backbones = {"ImageNet": "ImageNet", "random": "random backbone", "": "from scratch"}
        epochs, usual = self.about["epochs"], self.about["usual_epochs"]
        short = f", {epochs}/{usual} epochs" if epochs < usual else ""
        return backbones[self.about["backbone"]] + short

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train on the clean pictures of ``train``, exported as MVTec AD; ``val`` is not used.

        Raises:
            InputError: there is none, or anomalib fails. What it prints goes to training.log.
        """
        name = f"{ANOMALIB}{self.options.model}"
        if not isinstance(train, Folder):
            raise InputError(f"{name} learns from a dataset: make one with synth generate --twins")
        run.mkdir(parents=True, exist_ok=True)
        (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
        packaged = PACKAGED[anomalib_job.LITE]
        settings = dataclasses.asdict(self.options) | {"weights": dataclasses.asdict(packaged)}
        peer = Peer(self._python, (JOB,), foreign=True, log=run / LOG)
        with _scratch(run) as scratch:
            exported = scratch / "mvtec"
            exporting.export(train.folder, exported, "mvtec")
            pictures = next(exported.glob("*/train/good"))
            message = {
                "settings": settings, "pictures": str(pictures), "run": str(run.resolve()),
                "scratch": str(scratch.resolve()),
            }  # fmt: skip
            step = console.progress(name) if self._progress else contextlib.nullcontext()
            try:
                with step as tell:
                    self.about = peer.ask(message, None, tell)
            except Failure as error:
                raise InputError(f"{name} could not be trained: {error}") from None
            finally:
                peer.close()
        about = {
            "method": name,
            "settings": settings,
            "about": self.about,
            "trained": f"{self.about['train_images']} clean images, {self.about['epochs']} epochs "
            f"({self.note})",
        }
        write_run(run, about, (anomalib_job.WEIGHTS,))

    @classmethod
    def load(
        cls, run: Path, which: str = "best", device: str = "auto", time_limit: float = TIME_LIMIT
    ) -> Detector:
        """A run folder -> the model as it was trained, its process running.

        Raises:
            InputError: the folder is damaged, or there is no environment with anomalib.
        """
        about = read_run(run)
        try:
            known = {field.name for field in dataclasses.fields(Options)}
            options = {name: value for name, value in about["settings"].items() if name in known}
            localizer = cls(**options, time_limit=time_limit, progress=False)
            localizer.about = about["about"]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{run}/{RUN_FILE} is damaged ({error}): train again") from None
        check_file(run, anomalib_job.WEIGHTS)
        localizer._peer = Peer(
            localizer._python, (JOB, run.resolve()), foreign=True, log=Path(os.devnull)
        )
        try:
            localizer._peer.start()
        except InputError as error:
            raise InputError(f"{run} cannot be used: {error}") from None
        return localizer

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 -> B findings, px: the map's peak, the map, the image's score.

        Raises:
            Failure: it failed on one of them, took too long or crashed.
        """
        if self._peer is None:
            raise InputError(f"{ANOMALIB}{self.options.model}: load its run folder first")
        findings = []
        for image in images:
            reply = self._peer.ask({"image": np.ascontiguousarray(image)}, self.time_limit)
            found = caller.told(reply["map"], image.shape[:2])
            found["score"] = reply.get("score", found["score"])
            findings.append(finding(found, image.shape[:2]))
        return findings

    def close(self) -> None:
        """End its process; it starts again when it is asked."""
        if self._peer is not None:
            self._peer.close()


@contextlib.contextmanager
def _scratch(run: Path) -> Iterator[Path]:
    """A folder in the run for what only training needs; it starts empty and is removed."""
    folder = run / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python() -> str:
    """The interpreter of the environment with anomalib.

    Raises:
        InputError: there is none.
    """
    given = os.environ.get(PYTHON)
    here = Path(__file__).resolve().parents[2]
    places = [Path(given)] if given else [here / ENVIRONMENT, Path.cwd() / ENVIRONMENT]
    for place in places:
        for path in (place, place / "bin/python", place / "Scripts/python.exe"):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    if given:
        raise InputError(f"{PYTHON} is '{given}': name a Python, or the folder of its environment")
    raise InputError(
        "anomalib needs an environment of its own: run make peers, or let the environment "
        f"variable {PYTHON} name the Python of one that has anomalib"
    )
