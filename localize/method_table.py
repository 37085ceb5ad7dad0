"""The table of the methods that Acuity knows by name.

To add a method, write a class that implements :class:`localize.localizer.Localizer`, a dataclass
of its options (:mod:`localize.options`), and one entry in :data:`METHODS`. Flags, help texts,
listings and the common tests follow from the entry.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localize.methods.autoencoder.options import AutoencoderOptions
from localize.methods.cnn_options import CnnOptions
from localize.methods.heatmap.options import HeatmapOptions
from localize.methods.patchcore.options import PatchCoreOptions
from localize.methods.ringvote.options import RingVoteOptions
from localize.methods.transfer.options import TransferCleanOptions, TransferOptions
from localize.options import DeviceOptions, Options

if TYPE_CHECKING:  # the table is imported for the command line's help: it stays light
    from localize.localizer import Learns, Part

BASELINE = "centre"  # scored in every comparison, as the reference for chance
IMAGE_ONLY: frozenset[str] = frozenset()
_TOLD = frozenset({"r", "discolor_ratio"})
_PLACE: frozenset[Part] = frozenset({"place"})
_SCORE: frozenset[Part] = _PLACE | {"score"}
MAP: frozenset[Part] = _SCORE | {"map"}
SCORE_ONLY: frozenset[Part] = frozenset({"score"})


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
        MAP if told else _SCORE,
    )  # fmt: skip


_ENTRIES = (
    Method(
        BASELINE, "localize.methods.centre:Centre", "nothing", IMAGE_ONLY,
        "always answers the centre of the image; the baseline of every comparison",
    ),
    Method(
        "boundary", "localize.methods.boundary:Boundary", "nothing", _TOLD,
        "matched filter for a step of the given ratio along a circle or square of radius r",
        gives=MAP,
    ),
    _cnn("cnn-fast", IMAGE_ONLY, "CNN that regresses x and y; learning rate 0.0005, 10 epochs"),
    _cnn("cnn-slow", IMAGE_ONLY, "the CNN of cnn-fast; learning rate 0.0001, 30 epochs"),
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
        "patchcore", "localize.methods.patchcore.method:PatchCore", "clean", IMAGE_ONLY,
        "anomaly detection by the distance of pretrained features to those of clean images",
        PatchCoreOptions, gives=MAP,
    ),
    Method(
        "autoencoder", "localize.methods.autoencoder.method:AutoencoderLocalizer", "clean",
        IMAGE_ONLY,
        "anomaly detection by the error with which a network reconstructs an image",
        AutoencoderOptions, in_default_compare=False, gives=MAP,
    ),
    Method(
        "transfer", "localize.methods.transfer.method:Transfer", "labelled", IMAGE_ONLY,
        "a score and no place: a classifier on pretrained features; without labels, as "
        "transfer-clean",
        TransferOptions, in_default_compare=False, gives=SCORE_ONLY,
    ),
    Method(
        "transfer-clean", "localize.methods.transfer.method:Transfer", "clean", IMAGE_ONLY,
        "a score and no place: distance of pretrained features to those of clean images",
        TransferCleanOptions, {"clean": True}, in_default_compare=False, gives=SCORE_ONLY,
    ),
    _ringvote(
        "ringvote-told", _TOLD,
        "network for edge evidence, summed along outlines of radius r; trained weights included",
    ),
    _ringvote(
        "ringvote", IMAGE_ONLY,
        "the network of ringvote-told, with a search over radius and ratio; weights included",
    ),
    _cnn(
        "unet-dsnt", IMAGE_ONLY,
        "U-Net heat map whose mean is the answer; learning rate 0.001, 30 epochs",
        "unet:UnetDsnt",
    ),
    Method(
        "heatmap", "localize.methods.heatmap.method:Heatmap", "labelled", IMAGE_ONLY,
        "U-Net at full resolution with a map of centres, radius, shape and ratio",
        HeatmapOptions, in_default_compare=False, gives=MAP,
    ),
    Method(
        "prewhitened", "localize.methods.prewhitened:Prewhitened", "nothing", _TOLD,
        "matched filter on the residual of a local texture prediction",
        DeviceOptions, gives=MAP,
    ),
    _ringvote(
        "ringvote-careful-told", _TOLD,
        "ringvote-told with evidence averaged over 4 mirrored views: slower, fewer false alarms",
        views=4, in_default_compare=False,
    ),
    _ringvote(
        "ringvote-careful", IMAGE_ONLY,
        "ringvote averaged over 4 mirrored views and rescored by a matched filter: slower, "
        "finds more",
        views=4, in_default_compare=False,
    ),
)  # fmt: skip
METHODS = {entry.name: entry for entry in _ENTRIES}
