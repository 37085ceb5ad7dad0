"""The options of localizers that run in their own process, without torch."""

from __future__ import annotations

import difflib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from localize.options import Options, TrainingOptions, metadata_of, option
from synth.errors import InputError

TIME_LIMIT = 60.0  # seconds for an image
ANOMALIB = "anomalib:"  # begins the SPEC of a model of that library
# The models of anomalib 2.7.0 that learn from clean images alone and download nothing.
MODELS = (
    "anomaly_dino", "cflow", "dfm", "dinomaly", "draem", "fastflow", "fre", "ganomaly", "padim",
    "patchcore", "patchflow", "reverse_distillation", "stfpm", "supersimplenet",
)  # fmt: skip
SCORE_ALONE = ("ganomaly",)  # models without a map, and so without a place


@dataclass(frozen=True, kw_only=True)
class ExternalOptions(Options):
    """Options of every localizer that runs in its own process."""

    family: ClassVar[str] = "file.py:function"

    time_limit: float = field(
        default=TIME_LIMIT, metadata=option("Time limit for one image, in seconds.", recorded=False)
    )

    def __post_init__(self) -> None:
        if not 0 < self.time_limit <= threading.TIMEOUT_MAX:
            raise InputError(f"time-limit is {self.time_limit:g}: give seconds above 0")


@dataclass(frozen=True, kw_only=True)
class AnomalibOptions(ExternalOptions, TrainingOptions):
    """Options of ``anomalib:MODEL``."""

    family: ClassVar[str] = "anomalib"

    epochs: int | None = field(
        default=None, metadata=metadata_of(TrainingOptions, "epochs", "the model's default")
    )
    input: tuple[int, int] = field(
        default=(256, 256),
        metadata=option("Size WIDTHxHEIGHT in px to which images are stretched."),
    )
    batch: int = field(default=16, metadata=metadata_of(TrainingOptions, "batch"))
    weights: str | Path | None = field(
        default=None,
        metadata=option(
            "File with the weights of the backbone.",
            default_text="EfficientNet-Lite0 from a Python package, or random weights",
        ),
    )

    def __post_init__(self) -> None:
        ExternalOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        if min(self.input) < 1:
            raise InputError("input: give a width and a height from 1 px up")


def check_model(model: str) -> None:
    """Check that a model of anomalib is one of :data:`MODELS`.

    Raises:
        InputError: it is not; the message names the most similar one.
    """
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(MODELS)}"
        raise InputError(
            f"{ANOMALIB}{model} learns from labels, needs a download or does not exist; {hint}"
        )
