"""Reference pages of the console commands, generated from the typer apps."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer.main

EXAMPLE = re.compile(r"Example: `(.*?)`(.*)")
CONTEXT = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
HIDDEN = ("help", "version")  # options that every command or program has


def page(app: Any, program: str) -> str:
    """A typer app -> Markdown: a section with usage, options and examples for each command."""
    root = typer.main.get_command(app)
    commands = root.commands  # type: ignore[attr-defined]
    return "\n".join(line for name in commands for line in _command(commands[name], program, name))


def _command(command: Any, program: str, name: str) -> Iterator[str]:
    title = f"{program} {name}"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [
        p
        for p in command.params
        if p.param_type_name == "option" and not p.hidden and p.name not in HIDDEN
    ]
    yield f"## {title}"
    yield ""
    text, examples = _help(command.help or "")
    yield from (text, "")
    needed = [f"{p.opts[0]} {_value(p)}".strip() for p in options if p.required]
    usage = " ".join([title, *map(_argument, arguments), *needed, "[OPTIONS]" if options else ""])
    yield from ("```text", usage.strip(), "```", "")
    for example, note in examples:
        if note:
            yield from (f"{note}:", "")
        yield from ("```console", f"$ {example}", "```", "")
    if arguments:
        rows = [(f"`{_argument(p)}`", _meaning(p)) for p in arguments]
        yield from _table("argument", rows)
    for panel in dict.fromkeys(p.rich_help_panel for p in options):
        if panel:
            yield from (f"**{panel}**", "")
        yield from _table("option", [_option(p) for p in options if p.rich_help_panel == panel])


def _help(text: str) -> tuple[str, list[tuple[str, str]]]:
    """A command's help -> its text and its examples, each with the note that follows it."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    examples = [m for p in paragraphs if (m := EXAMPLE.fullmatch(" ".join(p.split())))]
    rest = [p for p in paragraphs if not p.startswith("Example:")]
    found = [(m[1], m[2].strip(" ().").capitalize()) for m in examples]
    return "\n\n".join(rest), found


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).strip("{}").rstrip(".…").upper()
    name += "..." if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _value(parameter: Any) -> str:
    """What follows an option's name: `<int>`, or nothing for a switch."""
    if parameter.is_bool_flag:
        return ""
    kind = str(parameter.metavar or parameter.display_type(CONTEXT)).strip("<>")
    kind = re.sub(r"list\[(\w+)\]", r"\1", kind).lower()
    return f"<{kind}>"


def _option(parameter: Any) -> tuple[str, str]:
    names = [f"{parameter.opts[0]} {_value(parameter)}".strip(), *parameter.secondary_opts]
    return " ".join(f"`{name}`".replace("|", r"\|") for name in names), _meaning(parameter)


def _meaning(parameter: Any) -> str:
    """An option's help with its default, as text of a Markdown table."""
    parts = [re.sub(r"([|*_<])", r"\\\1", parameter.help or "")]
    default = parameter.default
    if parameter.param_type_name == "option" and parameter.required:
        parts.append("Required.")
    elif default is not None and default is not False and default != []:
        parts.append(f"Default: `{default}`.")
    if parameter.envvar:
        parts.append(f"Environment variable: `{parameter.envvar}`.")
    return " ".join(part if part[-1:] in ".…?" else f"{part}." for part in parts if part)


def _table(what: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield from (":::{div} options", f"| {what} | meaning |", "|---|---|")
    yield from (f"| {name} | {meaning} |" for name, meaning in rows)
    yield from (":::", "")
