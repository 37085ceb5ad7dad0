"""The registry of methods: by name, by run folder, by SPEC."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localize.localizer import Learns, Localizer, read_run
from localize.names import file_stem, plain
from synth import paths
from synth.errors import InputError

BASELINE = "centre"  # the centre guess, scored beside every method
WEIGHTS = Path(__file__).parent / "weights"  # run folders that come along


@dataclass(frozen=True)
class Method:
    """An entry of the registry: enough to list a method without importing it.

    Args:
        target: ``module:class``, imported when the method is first used.
        options: what the class is called with; the user's options come on top.
        takes: names of the options that a user may give.
        weights: of a method whose trained weights come along, their folder in :data:`WEIGHTS`.
        compared: whether a comparison takes it unless others are named.
    """

    name: str
    target: str
    learns: Learns
    told: frozenset[str]
    summary: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    takes: frozenset[str] = frozenset()
    weights: str = ""
    compared: bool = True

    def own(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the options that it takes."""
        return {name: value for name, value in options.items() if name in self.takes}

    def implementation(self) -> Any:
        """The class itself."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


_NONE: frozenset[str] = frozenset()
_BOTH = frozenset({"r", "discolor_ratio"})
_SHARED = frozenset({"seed", "device", "progress"})  # of all methods that learn
_VOTED = _SHARED | {
    "epochs",
    "epochs_scale",
    "learning_rate",
    "batch",
    "width",
    "start",
    "lessons",
}
_TRAINED = _SHARED | {
    "input", "epochs", "epochs_scale", "learning_rate", "batch", "patience", "augment",
    "raw_numeric", "devices",
}  # fmt: skip
_FITTED = _SHARED | {
    "convention", "backbone", "weights", "weights_sha256", "download", "random_weights",
    "coreset_ratio", "max_bank", "neighbours", "stream", "locate",
}  # fmt: skip
_OUTSIDE = frozenset({"time_limit"})  # of all that runs in a process of its own
_DETECTOR = _SHARED | _OUTSIDE | {"input", "epochs", "epochs_scale", "batch"}
ANOMALIB = "anomalib:"


def _variant(
    name: str, told: frozenset[str], summary: str, target: str = "localize.methods.cnn:Cnn"
) -> Method:
    options = MappingProxyType({"variant": name})
    return Method(name, target, "labelled", told, summary, options, _TRAINED)


def _careful(name: str, told: frozenset[str]) -> Method:
    usual = name.replace("-careful", "")
    rescored = "" if told else ", rescored by prewhitened's filter"
    return Method(
        name, "localize.methods.ringvote.method:RingVote", "labelled", told,
        f"{usual} with evidence averaged over four mirror images{rescored}: slower, finds more",
        MappingProxyType({"blind": not told, "looks": 4}), _VOTED, "ringvote", compared=False,
    )  # fmt: skip


METHODS = {
    method.name: method
    for method in (
        Method(
            "centre",
            "localize.methods.centre:Centre",
            "nothing",
            _NONE,
            "always the image's centre: chance",
        ),
        Method(
            "boundary",
            "localize.methods.boundary:Boundary",
            "nothing",
            _BOTH,
            "matched filter: is inside = ratio x outside along a boundary of radius r?",
        ),
        _variant("cnn-fast", _NONE, "five convolutions, two layers; Adam 5e-4, 10 epochs"),
        _variant("cnn-slow", _NONE, "the same; Adam 1e-4, 30 epochs"),
        _variant(
            "cnn-fuse-features", _BOTH, "r and ratio beside the features; Adam 5e-4, 20 epochs"
        ),
        _variant("cnn-fuse-last", _BOTH, "r and ratio before the last layer; Adam 1e-3, 30 epochs"),
        _variant(
            "cnn-fuse-embedded",
            _BOTH,
            "r and ratio through a layer of their own, then as fuse-last; Adam 1e-3, 30 epochs",
        ),
        Method(
            "patchcore",
            "localize.methods.patchcore.method:PatchCore",
            "clean",
            _NONE,
            "distance of a pretrained network's patches to those of clean images",
            takes=_FITTED,
        ),
        Method(
            "ringvote-told",
            "localize.methods.ringvote.method:RingVote",
            "labelled",
            _BOTH,
            "a small network's evidence of an edge, summed along rings; comes trained",
            takes=_VOTED,
            weights="ringvote",
        ),
        Method(
            "ringvote",
            "localize.methods.ringvote.method:RingVote",
            "labelled",
            _NONE,
            "the same, told nothing: it searches for place, radius and ratio; comes trained",
            MappingProxyType({"blind": True}),
            _VOTED,
            weights="ringvote",
        ),
        _variant(
            "unet-dsnt",
            _NONE,
            "a U-Net's heat map, whose mean is the centre; Adam 1e-3, 30 epochs",
            "localize.methods.unet:UnetDsnt",
        ),
        Method(
            "prewhitened",
            "localize.methods.prewhitened:Prewhitened",
            "nothing",
            _BOTH,
            "matched filter in what the texture around does not predict, without training",
            takes=frozenset({"device"}),
        ),
        _careful("ringvote-careful-told", _BOTH),
        _careful("ringvote-careful", _NONE),
    )
}


def method(name: str) -> Method:
    """A registered name, ``file.py:function`` or ``anomalib:MODEL`` -> its entry.

    Raises:
        InputError: there is none; the line names the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    name = expand(name)
    place, _, function = name.rpartition(":")
    if place.endswith(".py"):
        return Method(
            name, "localize.external.function:Function", "nothing", _NONE, "a function of yours",
            MappingProxyType({"path": place, "name": function}), _OUTSIDE,
        )  # fmt: skip
    if name.endswith(".py"):
        raise InputError(f"{name}: which of its functions? name it as {name}:function")
    if name.startswith(ANOMALIB):
        return Method(
            name, "localize.external.detector:Detector", "clean", _NONE, "a model of anomalib",
            MappingProxyType({"model": name.removeprefix(ANOMALIB)}), _DETECTOR,
        )  # fmt: skip
    near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.4)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(METHODS)}"
    raise InputError(f"method '{name}' is unknown; {hint} (localize methods lists them)")


def create(name: str, **options: Any) -> Localizer:
    """A registered name and options -> a localizer, not yet fitted.

    Options that a method does not know are refused.
    """
    entry = method(name)
    localizer: Localizer = entry.implementation()(**{**entry.options, **options})
    return localizer


def choose(entries: Iterable[Method], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Methods and one set of options for all -> by name, the options that each one takes.

    Raises:
        InputError: an option is for none of them.
    """
    chosen = {entry.name: entry.own(options) for entry in entries}
    taken = _SHARED.union(*chosen.values())
    for name in options:
        if name not in taken:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} is no option of {', '.join(chosen)}: leave it out")
    return chosen


def shown(name: str, localizer: Localizer) -> str:
    """The name under which a method stands in every table, with what must be known of it."""
    note = getattr(localizer, "note", "")
    return f"{name} ({note})" if note else name


def load(spec: str | Path, *, time_limit: float | None = None, **options: Any) -> Localizer:
    """A SPEC -> a localizer that is ready to locate.

    A SPEC is the name of a method that needs no training or comes trained, a run folder, or
    ``file.py:function``. What is loaded from a folder gets the options (which weights, on which
    device).

    Args:
        time_limit: seconds for an image, of what runs in a process of its own [60].

    Raises:
        InputError: it is neither, or the method must be trained first.
    """
    spec = expand(spec)
    folder = Path(spec)
    if is_folder(folder):
        entry = run_method(folder)
        localizer: Localizer = entry.implementation().load(
            folder, **options, **_limited(entry, time_limit)
        )
        return localizer
    if len(folder.parts) > 1 and ".py" not in folder.name:
        raise InputError(f"no run folder at {folder}: train one with localize train")
    entry = method(str(spec))
    if entry.weights:
        trained: Localizer = entry.implementation().load(
            WEIGHTS / entry.weights, **{"blind": False, **entry.options, **options}
        )
        return trained
    if entry.learns != "nothing":
        raise InputError(
            f"{entry.name} must be trained first: localize train {entry.name} DATASET --out RUN, "
            "then name the folder RUN"
        )
    return create(entry.name, **entry.own(options), **_limited(entry, time_limit))


def _limited(entry: Method, time_limit: float | None) -> dict[str, float]:
    """The time limit as an option of a method, if it has one."""
    if time_limit is None or "time_limit" not in entry.takes:
        return {}
    return {"time_limit": time_limit}


def expand(spec: str | Path) -> str:
    """A SPEC -> the same with ``~`` at its start replaced by the home folder."""
    if not str(spec):
        raise InputError("a method's SPEC is empty: name a method, run folder or file.py:function")
    return str(paths.path_of(spec)) if str(spec).startswith("~") else str(spec)


def run_method(run: Path) -> Method:
    """The method that a run folder was trained with."""
    return method(read_run(run)["method"])


def folder_of(name: str) -> str:
    """A method's name -> that of its run folder, which no file system objects to."""
    return file_stem(name.replace(":", "-"))


def name_of(spec: str | Path) -> str:
    """The name under which a SPEC stands in tables: method's, run folder's or function's."""
    spec = expand(spec)
    if is_folder(Path(spec)):
        return plain(paths.name_of(spec))
    place, _, function = spec.rpartition(":")
    return plain(function if place.endswith(".py") else spec)


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; also of a name that no file can have."""
    try:
        return path.is_dir()
    except OSError:  # too long
        return False
