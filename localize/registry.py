"""The registry of methods, and the functions that turn a SPEC into a localizer.

To add a method, write a class that implements :class:`localize.localizer.Localizer`, a dataclass
of its options (:mod:`localize.options`), and one entry in :data:`METHODS`. Flags, help texts,
listings and the common tests follow from the entry.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localize.external.options import ANOMALIB as ANOMALIB
from localize.external.options import SCORE_ALONE, AnomalibOptions, ExternalOptions
from localize.methods.autoencoder.options import AutoencoderOptions
from localize.methods.cnn_options import CnnOptions
from localize.methods.heatmap.options import HeatmapOptions
from localize.methods.patchcore.options import PatchCoreOptions
from localize.methods.ringvote.options import RingVoteOptions
from localize.methods.transfer.options import TransferCleanOptions, TransferOptions
from localize.names import file_stem, plain
from localize.onnx.options import OnnxOptions, is_onnx
from localize.options import DeviceOptions, LearnerOptions, Options, flag
from localize.run_files import SHIPPED, read_run
from synth import paths
from synth.errors import InputError

if TYPE_CHECKING:  # the registry is imported for the command line's help: it stays light
    from localize.localizer import Learns, Localizer, Part

BASELINE = "centre"  # scored in every comparison, as the reference for chance
_IMAGE_ONLY: frozenset[str] = frozenset()
_TOLD = frozenset({"r", "discolor_ratio"})
_PLACE: frozenset[Part] = frozenset({"place"})
_SCORE: frozenset[Part] = _PLACE | {"score"}
_MAP: frozenset[Part] = _SCORE | {"map"}
_SCORE_ONLY: frozenset[Part] = frozenset({"score"})


@dataclass(frozen=True)
class Method:
    """An entry of the registry: enough to list a method without importing it.

    Args:
        target: ``module:class``, imported when the method is used for the first time.
        learns, told, gives: as the class declares them, see :class:`localize.localizer.Localizer`.
        summary: one line for ``localize methods``.
        options: the dataclass of the options that users may give.
        arguments: further keyword arguments of the class, and of its ``load`` where weights are
            included.
        weights: name of the folder in :data:`localize.run_files.SHIPPED` with included weights.
        in_default_compare: whether ``localize compare`` includes it by default.
    """

    name: str
    target: str
    learns: Learns
    told: frozenset[str]
    summary: str
    options: type[Options] = Options
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    in_default_compare: bool = True
    gives: frozenset[Part] = _PLACE

    @property
    def option_names(self) -> frozenset[str]:
        """The names of the options that users may give."""
        return frozenset(self.options.fields())

    @property
    def takes_seeds(self) -> bool:
        """Whether it is trained on labelled images, with a seed that changes its distances."""
        return self.learns == "labelled" and "seed" in self.option_names and "place" in self.gives

    def select_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of ``options`` that the method has."""
        return {name: value for name, value in options.items() if name in self.option_names}

    def implementation(self) -> Any:
        """The class of the method."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


def _cnn(name: str, told: frozenset[str], summary: str, target: str = "cnn:Cnn") -> Method:
    return Method(
        name, f"localize.methods.{target}", "labelled", told, summary, CnnOptions,
        {"variant": name},
    )  # fmt: skip


def _ringvote(
    name: str, told: frozenset[str], summary: str, views: int = 1, in_default_compare: bool = True
) -> Method:
    return Method(
        name, "localize.methods.ringvote.method:RingVote", "labelled", told, summary,
        RingVoteOptions, {"image_only": not told, "views": views}, "ringvote", in_default_compare,
        _MAP if told else _SCORE,
    )  # fmt: skip


_ENTRIES = (
    Method(
        BASELINE, "localize.methods.centre:Centre", "nothing", _IMAGE_ONLY,
        "always answers the centre of the image; the baseline of every comparison",
    ),
    Method(
        "boundary", "localize.methods.boundary:Boundary", "nothing", _TOLD,
        "matched filter for a step of the given ratio along a circle or square of radius r",
        gives=_MAP,
    ),
    _cnn("cnn-fast", _IMAGE_ONLY, "CNN that regresses x and y; learning rate 0.0005, 10 epochs"),
    _cnn("cnn-slow", _IMAGE_ONLY, "the CNN of cnn-fast; learning rate 0.0001, 30 epochs"),
    _cnn(
        "cnn-fuse-features", _TOLD,
        "the CNN with r and ratio appended to its features; learning rate 0.0005, 20 epochs",
    ),
    _cnn(
        "cnn-fuse-last", _TOLD,
        "the CNN with r and ratio appended before its last layer; learning rate 0.001, 30 epochs",
    ),
    _cnn(
        "cnn-fuse-embedded", _TOLD,
        "cnn-fuse-last with a layer for r and ratio; learning rate 0.001, 30 epochs",
    ),
    Method(
        "patchcore", "localize.methods.patchcore.method:PatchCore", "clean", _IMAGE_ONLY,
        "anomaly detection by the distance of pretrained features to those of clean images",
        PatchCoreOptions, gives=_MAP,
    ),
    Method(
        "autoencoder", "localize.methods.autoencoder.method:AutoencoderLocalizer", "clean",
        _IMAGE_ONLY,
        "anomaly detection by the error with which a network reconstructs an image",
        AutoencoderOptions, in_default_compare=False, gives=_MAP,
    ),
    Method(
        "transfer", "localize.methods.transfer.method:Transfer", "labelled", _IMAGE_ONLY,
        "a score and no place: a classifier on pretrained features; without labels, as "
        "transfer-clean",
        TransferOptions, in_default_compare=False, gives=_SCORE_ONLY,
    ),
    Method(
        "transfer-clean", "localize.methods.transfer.method:Transfer", "clean", _IMAGE_ONLY,
        "a score and no place: distance of pretrained features to those of clean images",
        TransferCleanOptions, {"clean": True}, in_default_compare=False, gives=_SCORE_ONLY,
    ),
    _ringvote(
        "ringvote-told", _TOLD,
        "network for edge evidence, summed along outlines of radius r; trained weights included",
    ),
    _ringvote(
        "ringvote", _IMAGE_ONLY,
        "the network of ringvote-told, with a search over radius and ratio; weights included",
    ),
    _cnn(
        "unet-dsnt", _IMAGE_ONLY,
        "U-Net heat map whose mean is the answer; learning rate 0.001, 30 epochs",
        "unet:UnetDsnt",
    ),
    Method(
        "heatmap", "localize.methods.heatmap.method:Heatmap", "labelled", _IMAGE_ONLY,
        "U-Net at full resolution with a map of centres, radius, shape and ratio",
        HeatmapOptions, in_default_compare=False, gives=_MAP,
    ),
    Method(
        "prewhitened", "localize.methods.prewhitened:Prewhitened", "nothing", _TOLD,
        "matched filter on the residual of a local texture prediction",
        DeviceOptions, gives=_MAP,
    ),
    _ringvote(
        "ringvote-careful-told", _TOLD,
        "ringvote-told with evidence averaged over 4 mirrored views: slower, fewer false alarms",
        views=4, in_default_compare=False,
    ),
    _ringvote(
        "ringvote-careful", _IMAGE_ONLY,
        "ringvote averaged over 4 mirrored views and rescored by a matched filter: slower, "
        "finds more",
        views=4, in_default_compare=False,
    ),
)  # fmt: skip
METHODS = {entry.name: entry for entry in _ENTRIES}


def method(name: str) -> Method:
    """A registered name, ``file.py:function``, ``model.onnx`` or ``anomalib:MODEL`` -> its entry.

    Raises:
        InputError: there is none; the message names the most similar one.
    """
    if name in METHODS:
        return METHODS[name]
    name = expand_home(name)
    place, _, function = name.rpartition(":")
    if place.endswith(".py"):
        return function_entry(name, place, function)
    if name.endswith(".py"):
        raise InputError(f"{name}: which of its functions? name it as {name}:function")
    if is_onnx(name):
        return onnx_entry(name)
    if name.startswith(ANOMALIB):
        return anomalib_entry(name)
    near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(METHODS)}"
    raise InputError(f"method '{name}' is unknown; {hint} (localize methods lists them)")


def function_entry(name: str, path: str, function: str) -> Method:
    """The entry of a function in a Python file."""
    return Method(
        name, "localize.external.function:Function", "nothing", _IMAGE_ONLY,
        "a function in a Python file", ExternalOptions, {"path": path, "name": function},
        gives=_MAP,
    )  # fmt: skip


def onnx_entry(path: str) -> Method:
    """The entry of an ONNX file; only the file itself says what it is told and what it gives."""
    return Method(
        path, "localize.onnx.model:OnnxModel", "nothing", _IMAGE_ONLY, "an ONNX file",
        OnnxOptions, {"path": path}, gives=_MAP,
    )  # fmt: skip


def anomalib_entry(name: str) -> Method:
    """The entry of a model of anomalib."""
    model = name.removeprefix(ANOMALIB)
    return Method(
        name, "localize.external.detector:Detector", "clean", _IMAGE_ONLY, "a model of anomalib",
        AnomalibOptions, {"model": model},
        gives=frozenset({"score"}) if model in SCORE_ALONE else _MAP,
    )  # fmt: skip


def option_classes() -> list[type[Options]]:
    """The option classes of all methods that learn or run in their own process, each once."""
    classes = [entry.options for entry in METHODS.values() if entry.learns != "nothing"]
    return list(dict.fromkeys((*classes, AnomalibOptions, ExternalOptions)))


def create(name: str, **options: Any) -> Localizer:
    """A registered name and options -> a localizer, not yet fitted.

    Raises:
        TypeError: the method does not have one of the options.
        InputError: an option has a value that cannot be used.
    """
    entry = method(name)
    localizer: Localizer = entry.implementation()(**entry.arguments, **options)
    return localizer


def options_by_method(
    entries: Iterable[Method], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Methods, options for all of them -> method name -> the options that this method has.

    Raises:
        InputError: an option belongs to none of the methods.
    """
    by_method = {entry.name: entry.select_options(options) for entry in entries}
    known = set(LearnerOptions.fields()).union(*by_method.values())
    for name in options:
        if name not in known:
            raise InputError(f"--{flag(name)} is no option of {', '.join(by_method)}: leave it out")
    return by_method


def label(name: str, localizer: Localizer) -> str:
    """The name of a method in tables: followed by its note, if it has one."""
    return f"{name} ({localizer.note})" if localizer.note else name


def load(spec: str | Path, *, time_limit: float | None = None, **options: Any) -> Localizer:
    """A SPEC -> a localizer that is ready to locate.

    A SPEC is the name of a method that needs no training or has weights included, a run folder,
    ``file.py:function`` or ``model.onnx``.

    Args:
        time_limit: limit for one image in seconds, for localizers in their own process [60].
        options: for ``load`` of the class: ``which`` weights, ``device``.

    Raises:
        InputError: there is no such localizer, or the method must be trained first.
    """
    spec = expand_home(spec)
    folder = Path(spec)
    localizer: Localizer
    if is_folder(folder):
        entry = run_method(folder)
        limit = _time_limit_option(entry, time_limit)
        localizer = entry.implementation().load(folder, **options, **limit)
        return localizer
    if len(folder.parts) > 1 and ".py" not in folder.name and not is_onnx(spec):
        raise InputError(f"no run folder at {folder}: train one with localize train")
    entry = method(str(spec))
    if entry.weights:
        run = SHIPPED / entry.weights
        localizer = entry.implementation().load(run, **entry.arguments, **options)
        return localizer
    if entry.learns != "nothing":
        raise InputError(
            f"{entry.name} must be trained first: localize train {entry.name} DATASET --out RUN, "
            "then name the folder RUN"
        )
    return create(
        entry.name, **entry.select_options(options), **_time_limit_option(entry, time_limit)
    )


def _time_limit_option(entry: Method, time_limit: float | None) -> dict[str, float]:
    """The time limit as an option of a method; {} if the method has no such option."""
    if time_limit is None or "time_limit" not in entry.option_names:
        return {}
    return {"time_limit": time_limit}


def expand_home(spec: str | Path) -> str:
    """A SPEC -> the same with ``~`` at its start replaced by the home folder."""
    if not str(spec):
        raise InputError("a method's SPEC is empty: name a method, run folder or file.py:function")
    return str(paths.path_of(spec)) if str(spec).startswith("~") else str(spec)


def run_method(run: Path) -> Method:
    """The method that a run folder was trained with."""
    return method(read_run(run)["method"])


def folder_of(name: str) -> str:
    """The name of a method -> the name of its run folder, valid in every file system."""
    return file_stem(name.replace(":", "-"))


def name_of(spec: str | Path) -> str:
    """The name of a SPEC in tables: that of the method, run folder, function or ONNX file."""
    spec = expand_home(spec)
    if is_folder(Path(spec)) or is_onnx(spec):
        return plain(paths.name_of(spec))
    place, _, function = spec.rpartition(":")
    return plain(function if place.endswith(".py") else spec)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False for a name that is too long for a file."""
    try:
        return path.is_dir()
    except OSError:
        return False
