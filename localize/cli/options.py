"""The flags of `train` and `compare`: the options of all methods that learn, listed once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from synth import console

TRAINED = "Networks that are trained"
FITTED = "patchcore"
OUTSIDE = "file.py:function and anomalib:MODEL (which takes input, epochs and batch, too)"


def _flag(panel: str, help: str, *name: str) -> Any:
    return typer.Option(*name, help=help, rich_help_panel=panel)


def _flags(
    seed: Annotated[Optional[int], typer.Option(help="Of weights, order and draws [0].")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    input: Annotated[
        Optional[str], _flag(TRAINED, "WIDTHxHEIGHT that images are stretched to [800x800].")
    ] = None,
    epochs: Annotated[Optional[int], _flag(TRAINED, "Instead of the method's own.")] = None,
    epochs_scale: Annotated[
        Optional[float], _flag(TRAINED, "Train this share of the epochs.")
    ] = None,
    learning_rate: Annotated[Optional[float], _flag(TRAINED, "Of Adam.")] = None,
    batch: Annotated[Optional[int], _flag(TRAINED, "Images a step [10].")] = None,
    patience: Annotated[
        Optional[int], _flag(TRAINED, "Stop after so many epochs without a better validation.")
    ] = None,
    augment: Annotated[
        Optional[str], _flag(TRAINED, "Any of flip,turn,crop,noise,gain, joined by commas.")
    ] = None,
    raw_numeric: Annotated[
        bool,
        _flag(TRAINED, "Feed r and ratio unstandardised, as first done.", "--raw-numeric"),
    ] = False,
    width: Annotated[Optional[int], _flag(TRAINED, "Channels of ringvote [48].")] = None,
    start: Annotated[
        Optional[Path],
        _flag(TRAINED, "Run folder of ringvote, or its name, whose weights to go on from."),
    ] = None,
    lessons: Annotated[
        Optional[int], _flag(TRAINED, "Pictures that ringvote's odds are fitted to [200].")
    ] = None,
    devices: Annotated[Optional[int], _flag(TRAINED, "How many GPUs [all there are].")] = None,
    time_limit: Annotated[
        Optional[float], _flag(OUTSIDE, "Seconds that it gets for an image [60].")
    ] = None,
    convention: Annotated[Optional[str], _flag(FITTED, "anomalib or paper [anomalib].")] = None,
    backbone: Annotated[Optional[str], _flag(FITTED, "By name [tf_efficientnet_lite0].")] = None,
    weights: Annotated[Optional[Path], _flag(FITTED, "The backbone's, in a file of yours.")] = None,
    weights_sha256: Annotated[Optional[str], _flag(FITTED, "What that file must have.")] = None,
    download: Annotated[
        bool, _flag(FITTED, "Fetch the backbone's weights from the hub.", "--download")
    ] = False,
    random_weights: Annotated[
        bool, _flag(FITTED, "An untrained backbone; every table says so.", "--random-weights")
    ] = False,
    coreset_ratio: Annotated[
        Optional[float], _flag(FITTED, "Share of the patches in the bank [0.1].")
    ] = None,
    max_bank: Annotated[Optional[int], _flag(FITTED, "Rows of the bank at most [10000].")] = None,
    neighbours: Annotated[
        Optional[int], _flag(FITTED, "That a score looks at [9, for the paper 1].")
    ] = None,
    stream: Annotated[
        bool, _flag(FITTED, "Bounded memory for any number of images.", "--stream")
    ] = False,
    locate: Annotated[Optional[str], _flag(FITTED, "peak or centroid of the map [peak].")] = None,
) -> None:
    """Only the signature counts."""


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Put all flags in the place of a command's parameter ``options``, a dict of those given."""
    own = inspect.signature(command, eval_str=True)
    flags = inspect.signature(_flags, eval_str=True).parameters
    parameters = [p for name, p in own.parameters.items() if name != "options"]
    parameters += [p for name, p in flags.items() if name not in own.parameters]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        options = _given({name: given.pop(name) for name in flags if name in given})
        command(**given, options=options)

    # What typer reads: the signature for the order and defaults, the annotations for the flags.
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags -> options of the methods; flags not given are left out."""
    if flags["input"] is not None:
        flags["input"] = console.parse_size(flags["input"], "--input")
    for name in ("weights", "start"):
        if flags[name] is not None:
            flags[name] = str(flags[name])
    if flags["augment"] is not None:
        flags["augment"] = tuple(flags["augment"].split(","))
    return {
        name: value for name, value in flags.items() if value is not None and value is not False
    }
