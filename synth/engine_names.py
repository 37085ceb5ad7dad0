"""Names of what runs the work of a command."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(EngineName)
