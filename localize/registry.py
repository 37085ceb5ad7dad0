"""Functions that turn a SPEC into the entry of its method, and into a localizer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localize.external.options import ANOMALIB as ANOMALIB
from localize.external.options import SCORE_ALONE, AnomalibOptions, ExternalOptions
from localize.method_table import BASELINE as BASELINE
from localize.method_table import IMAGE_ONLY, MAP, SCORE_ONLY
from localize.method_table import METHODS as METHODS
from localize.method_table import Method as Method
from localize.names import file_stem, plain
from localize.onnx.options import OnnxOptions, is_onnx
from localize.options import LearnerOptions, Options, flag
from localize.run_files import SHIPPED, read_run
from synth import paths
from synth.errors import InputError

if TYPE_CHECKING:  # the registry is imported for the command line's help: it stays light
    from localize.localizer import Localizer


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
        name, "localize.external.function:Function", "nothing", IMAGE_ONLY,
        "a function in a Python file", ExternalOptions, {"path": path, "name": function},
        gives=MAP,
    )  # fmt: skip


def onnx_entry(path: str) -> Method:
    """The entry of an ONNX file; only the file itself says what it is told and what it gives."""
    return Method(
        path, "localize.onnx.model:OnnxModel", "nothing", IMAGE_ONLY, "an ONNX file",
        OnnxOptions, {"path": path}, gives=MAP,
    )  # fmt: skip


def anomalib_entry(name: str) -> Method:
    """The entry of a model of anomalib."""
    model = name.removeprefix(ANOMALIB)
    return Method(
        name, "localize.external.detector:Detector", "clean", IMAGE_ONLY, "a model of anomalib",
        AnomalibOptions, {"model": model},
        gives=SCORE_ONLY if model in SCORE_ALONE else MAP,
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
