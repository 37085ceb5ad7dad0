"""SPEC ``anomalib:MODEL``: an anomaly detector of the library anomalib, run in its environment."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from localize.data.folder import Folder
from localize.external import anomalib_job, caller
from localize.external.function import to_finding
from localize.external.options import (
    ANOMALIB,
    SCORE_ALONE,
    TIME_LIMIT,
    AnomalibOptions,
    check_model,
)
from localize.external.peer import Failure, Peer
from localize.localizer import Finding, Learns, Localizer, MapMarks, Part, Source, Told
from localize.methods.backbones.weights import PACKAGED
from localize.run_files import RUN_FILE, check_file, read_run, write_run
from localize.training.devices import device_of
from synth import console, exporting
from synth.errors import InputError
from synth.paths import path_of

PYTHON = "ACUITY_ANOMALIB"  # environment variable: the interpreter, or its environment's folder
ENVIRONMENT = Path(".peers/anomalib")  # that make peers writes
JOB = anomalib_job.__file__
LOG = "training.log"
SCRATCH = "scratch"  # folder in the run folder: images and checkpoints during the training


class Detector(Localizer):
    """An anomaly detector of anomalib that learns from clean images; its map marks the region.

    Args:
        model: one of :data:`~localize.external.options.MODELS`.
        options: of :class:`~localize.external.options.AnomalibOptions`; ``time_limit`` applies to
            :meth:`locate`, not to the training.

    Raises:
        InputError: there is no such model, or no environment with anomalib.
    """

    learns: Learns = "clean"
    gives: frozenset[Part] = frozenset({"place", "score", "map"})
    map_marks: MapMarks = "region"
    batch_size = 1  # in a group of images one failure would lose all answers

    def __init__(self, model: str, **options: Any) -> None:
        check_model(model)
        self.model = model
        self.options = AnomalibOptions(**options)
        if model in SCORE_ALONE:
            self.gives, self.map_marks = frozenset({"score"}), "centre"
        device_of(self.options.device)
        weights = self.options.weights
        if weights and not path_of(weights).is_file():
            raise InputError(f"no file at {weights}: name the weights of the model's backbone")
        self.about: dict[str, Any] = {}
        self._python = python()
        self._peer: Peer | None = None

    @property
    def parameters(self) -> int | None:
        """Number of learned values; None before training."""
        return self.about.get("parameters")

    def _set_about(self, about: dict[str, Any]) -> None:
        """Keep the report of the job about the training, and make the note for tables from it."""
        self.about = about
        backbones = {
            "ImageNet": "ImageNet",
            "random": "random backbone",
            "file": "backbone from a file",
            "": "from scratch",
        }
        epochs, usual = about["epochs"], about["usual_epochs"]
        reduced = f", {epochs}/{usual} epochs" if epochs < usual else ""
        self.note = backbones[about["backbone"]] + reduced

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """Train on the clean images of ``train``, exported as MVTec AD; ``val`` is not used.

        The output of anomalib goes to training.log in the run folder.

        Raises:
            InputError: there is no clean image, or anomalib fails.
        """
        name = f"{ANOMALIB}{self.model}"
        if not isinstance(train, Folder):
            raise InputError(f"{name} learns from a dataset: make one with synth generate --twins")
        run.mkdir(parents=True, exist_ok=True)
        (run / RUN_FILE).unlink(missing_ok=True)  # of an earlier training in this folder
        packaged = PACKAGED[anomalib_job.LITE]
        description = self.options.description()
        file = description.pop("weights", None)
        settings = {
            "model": self.model,
            **description,
            "weights_file": path_of(file).name if file else "",
            "device": self.options.device,
            "weights": dataclasses.asdict(packaged),
        }
        peer = Peer(self._python, (JOB,), foreign=True, log=run / LOG)
        with _scratch(run) as scratch:
            exported = scratch / "mvtec"
            exporting.export(train.folder, exported, "mvtec")
            images = next(exported.glob("*/train/good"))
            message = {
                "settings": settings, "images": str(images), "run": str(run.resolve()),
                "scratch": str(scratch.resolve()),
                "weights_file": str(path_of(file).resolve()) if file else "",
            }  # fmt: skip
            step = console.progress(name) if self.options.progress else contextlib.nullcontext()
            try:
                with step as progress:
                    self._set_about(peer.request(message, None, progress))
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
        """A run folder -> the trained model, with its process running.

        Raises:
            InputError: the folder is damaged, or there is no environment with anomalib.
        """
        about = read_run(run)
        try:
            settings = about["settings"]
            names = AnomalibOptions.fields().keys() & settings.keys() - {"weights"}
            options = {name: settings[name] for name in names}
            options |= {"time_limit": time_limit, "progress": False}
            localizer = cls(settings["model"], **options)
            localizer._set_about(about["about"])
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
        """B x (H, W, 3) uint8 -> B findings, px: the peak of the map, the map, the image's score.

        A model without a map answers with a score alone.

        Raises:
            Failure: the model failed on an image, took too long or crashed.
        """
        if self._peer is None:
            raise InputError(f"{ANOMALIB}{self.model}: load its run folder first")
        findings = []
        for image in images:
            reply = self._peer.request(
                {"image": np.ascontiguousarray(image)}, self.options.time_limit
            )
            if "map" not in reply:
                findings.append(Finding(math.nan, math.nan, score=reply["score"]))
                continue
            message = caller.to_message(reply["map"], image.shape[:2])
            message["score"] = reply.get("score", message["score"])
            findings.append(to_finding(message, image.shape[:2]))
        return findings

    def close(self) -> None:
        """End the process; the next call of :meth:`locate` starts it again."""
        if self._peer is not None:
            self._peer.close()


@contextlib.contextmanager
def _scratch(run: Path) -> Iterator[Path]:
    """An empty folder in the run folder for temporary files of the training; removed at the end."""
    folder = run / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def python() -> str:
    """The Python interpreter of the environment with anomalib.

    Raises:
        InputError: there is none.
    """
    configured = os.environ.get(PYTHON)
    repository = Path(__file__).resolve().parents[2]
    places = (
        [Path(configured)] if configured else [repository / ENVIRONMENT, Path.cwd() / ENVIRONMENT]
    )
    for place in places:
        for path in (place, place / "bin/python", place / "Scripts/python.exe"):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    if configured:
        raise InputError(
            f"{PYTHON} is '{configured}': name a Python, or the folder of its environment"
        )
    raise InputError(
        "anomalib needs an environment of its own: run make peers, or set the environment "
        f"variable {PYTHON} to the Python of one that has anomalib"
    )
