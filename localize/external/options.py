"""The options of localizers in processes of their own, without torch."""

from __future__ import annotations

import difflib
import threading
from dataclasses import dataclass, field
from typing import ClassVar

from localize.options import Options, TrainingOptions, inherit_metadata, option
from synth.errors import InputError

TIME_LIMIT = 60.0  # seconds for an image
ANOMALIB = "anomalib:"  # begins the SPEC of a model of that library
# Of anomalib 2.7.0: those that give maps, train on clean images alone and download nothing.
MODELS = (
    "anomaly_dino", "cflow", "dfm", "draem", "fastflow", "fre", "padim", "patchcore", "patchflow",
    "reverse_distillation", "stfpm", "supersimplenet",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExternalOptions(Options):
    """Options of everything that runs in a process of its own."""

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
        default=None, metadata=inherit_metadata(TrainingOptions, "epochs", "the model's default")
    )
    input: tuple[int, int] = field(
        default=(256, 256),
        metadata=option("Size WIDTHxHEIGHT in px to which images are stretched."),
    )
    batch: int = field(default=16, metadata=inherit_metadata(TrainingOptions, "batch"))

    def __post_init__(self) -> None:
        ExternalOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        if min(self.input) < 1:
            raise InputError("input: give a width and a height from 1 px up")


def check_model(model: str) -> None:
    """Refuse a model of anomalib that is not among :data:`MODELS`.

    Raises:
        InputError: it is not; the line names the nearest.
    """
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(MODELS)}"
        raise InputError(
            f"{ANOMALIB}{model} is no model that gives maps and needs no download; {hint}"
        )
