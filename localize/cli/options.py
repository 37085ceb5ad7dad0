"""The flags of `train` and `compare`, derived from the option dataclasses of all methods."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, get_args, get_origin, get_type_hints

import typer

from localize import registry
from localize.options import LearnerOptions, Options, default_text, flag
from synth import console

Fields = dict[type[Options], dataclasses.Field[Any]]


def option_fields() -> dict[str, Fields]:
    """Name of each option -> the option classes that have it, with their fields.

    Options that many methods have come first. Options without a help text have no flag and are left
    out.
    """
    by_name: dict[str, Fields] = {}
    for options in registry.option_classes():
        for name, field in options.fields().items():
            if field.metadata["help"]:
                by_name.setdefault(name, {})[options] = field
    return dict(sorted(by_name.items(), key=lambda item: -len(item[1])))


def help_text(fields: Fields) -> str:
    """The help of a flag, with the default of the first methods and the others that differ."""
    (_, first), *others = fields.items()
    first_default = default_text(first)
    defaults = [first_default] if first_default else []
    for options, field in others:
        if default_text(field) != first_default:
            defaults.append(f"{options.family} {default_text(field)}")
    text = str(first.metadata["help"])
    return f"{text.removesuffix('.')} [{'; '.join(defaults)}]." if defaults else text


def panel(fields: Fields) -> str | None:
    """The heading of a flag in the help: the methods that have it; None if all learners do."""
    if all(options in fields for options in _learners()):
        return None
    return ", ".join(options.family for options in fields)


def _learners() -> list[type[Options]]:
    """The option classes of the methods that learn."""
    return [each for each in registry.option_classes() if issubclass(each, LearnerOptions)]


def add_option_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``options`` of a command, a dict, by one flag for each option."""
    signature = inspect.signature(command, eval_str=True)
    flags = {name: _parameter(name, fields) for name, fields in option_fields().items()}
    parameters = [p for name, p in signature.parameters.items() if name != "options"]
    parameters += flags.values()

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in flags if name in arguments}
        options = {
            name: _parse_value(name, value)
            for name, value in values.items()
            if value is not None and value is not False
        }
        command(**arguments, options=options)

    # typer reads order and defaults from the signature, and the flags from the annotations.
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _parameter(name: str, fields: Fields) -> inspect.Parameter:
    """A flag as a keyword parameter that typer understands."""
    kind = _value_type(name)
    annotation: Any = Annotated[
        kind if kind is bool else Optional[kind],
        typer.Option(
            f"--{flag(name)}",
            help=help_text(fields),
            rich_help_panel=panel(fields),
            show_default=False,
        ),
    ]
    field = next(iter(fields.values()))
    default = field.default if field.metadata["always"] else (False if kind is bool else None)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _value_type(name: str) -> Any:
    """The type of an option's value on the command line; a tuple is one text there."""
    kinds = _field_types(name)
    if Path in kinds:
        return Path
    kind = next(kind for kind in kinds if kind is not type(None))
    return str if get_origin(kind) in (tuple, Literal) else kind


def _field_types(name: str) -> tuple[Any, ...]:
    """The types that the field of an option may hold."""
    hint = get_type_hints(next(iter(option_fields()[name])))[name]
    return get_args(hint) if get_origin(hint) is types.UnionType else (hint,)


def _parse_value(name: str, value: Any) -> Any:
    """A value from the command line -> a value for the option dataclass."""
    kinds = _field_types(name)
    if tuple[int, int] in kinds:
        return console.parse_size(value, f"--{flag(name)}")
    if tuple[str, ...] in kinds:
        return tuple(value.split(","))
    return str(value) if Path in kinds else value
