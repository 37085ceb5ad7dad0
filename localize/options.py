"""Options of methods: one frozen dataclass each, from which flags, help texts and checks derive.

This module and those with the dataclasses import neither torch nor numpy, so that the help of the
command line is shown without delay.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar

from synth.errors import InputError


def option(
    help: str, *, default_text: str = "", recorded: bool = True, always: bool = False
) -> dict[str, Any]:
    """The metadata of an option's dataclass field.

    Args:
        help: one plain sentence; without it there is no flag.
        default_text: shown in the help instead of the default, for instance of None.
        recorded: whether the run folder's ``model.json`` holds it.
        always: whether the command line passes the default on, too.
    """
    return {"help": help, "default_text": default_text, "recorded": recorded, "always": always}


def inherit_metadata(base: type[Options], name: str, default_text: str = "") -> dict[str, Any]:
    """The metadata of a base class' field, for the same field with another default."""
    return {**base.fields()[name].metadata, "default_text": default_text}


def flag(name: str) -> str:
    """The name of an option as users type it, without the dashes.

    >>> flag("epochs_scale")
    'epochs-scale'
    """
    return name.replace("_", "-")


def default_text(option_field: dataclasses.Field[Any]) -> str:
    """The default of an option for help texts; "" if there is none to show."""
    default = option_field.default
    if option_field.metadata["default_text"]:
        return str(option_field.metadata["default_text"])
    if default is None or default is False or default in ((), ""):
        return ""
    if isinstance(default, tuple):
        return "x".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a method that has none; base class of the others.

    ``family`` names the methods with these options in help texts.
    """

    family: ClassVar[str] = ""

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The options by name."""
        return {each.name: each for each in dataclasses.fields(cls)}

    def to_record(self) -> dict[str, Any]:
        """The options that ``model.json`` holds: those that the result depends on."""
        return {
            name: getattr(self, name)
            for name, each in self.fields().items()
            if each.metadata["recorded"]
        }

    def check_counts(self, *names: str) -> None:
        """Refuse options below 1; None is accepted.

        Raises:
            InputError: one is.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise InputError(f"{flag(name)} is {value}: give a whole number from 1 up")

    def check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        """Refuse an option that is not one of the choices.

        Raises:
            InputError: it is not.
        """
        if getattr(self, name) not in choices:
            raise InputError(f"{flag(name)} is '{getattr(self, name)}': use {' or '.join(choices)}")

    def check_number(self, name: str, most: float = float("inf")) -> None:
        """Refuse an option that is not above 0 and at most ``most`` and finite; None is accepted.

        Raises:
            InputError: it is not.
        """
        value = getattr(self, name)
        if value is None or (0 < value <= most and value != float("inf")):
            return
        limit = "" if most == float("inf") else f" and at most {most:g}"
        raise InputError(f"{flag(name)} is {value}: give a number above 0{limit}")


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Options of a method that computes on a chosen device."""

    device: str = field(
        default="auto",
        metadata=option(
            "Device to compute on: auto, cpu, cuda or mps.", recorded=False, always=True
        ),
    )


@dataclass(frozen=True, kw_only=True)
class LearnerOptions(DeviceOptions):
    """Options of every method that learns. ``progress``: show progress bars on a terminal."""

    seed: int = field(
        default=0,
        metadata=option("Seed of the initial weights, the image order and all random draws."),
    )
    progress: bool = field(default=True, metadata=option("", recorded=False))


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(LearnerOptions):
    """Options of every network that is trained in epochs."""

    epochs: int | None = field(default=None, metadata=option("Number of training epochs."))
    epochs_scale: float = field(
        default=1.0, metadata=option("Factor for the number of epochs: 0.1 trains a tenth.")
    )
    batch: int = field(default=10, metadata=option("Number of images per training step."))

    def __post_init__(self) -> None:
        self.check_counts("epochs", "batch")
        self.check_number("epochs_scale", 100)
