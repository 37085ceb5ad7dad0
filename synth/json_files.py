"""Reading of JSON files that may be damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synth.errors import InputError


class Damaged(InputError):
    """A text is not a JSON object; the message says why."""


def parse_object(text: str | bytes) -> dict[str, Any]:
    """JSON text, or UTF-8 bytes, with or without a byte order mark -> its object.

    Raises:
        Damaged: the text is not JSON, or its value is not an object. The message has no file name.

    >>> parse_object('{"r": 20}')
    {'r': 20}
    >>> parse_object("null")
    Traceback (most recent call last):
    ...
    synth.json_files.Damaged: holds null, not an object in braces
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text.removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise Damaged("is not text in UTF-8") from None
    except RecursionError:
        raise Damaged("is nested too deeply") from None
    except ValueError as error:  # a syntax error, or a number of thousands of digits
        raise Damaged(f"is not JSON ({str(error).split(';')[0]})") from None
    if not isinstance(value, dict):
        what = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}
        raise Damaged(f"holds {what.get(type(value), 'a number')}, not an object in braces")
    return value


def read_object(path: Path, advice: str = "write it again") -> dict[str, Any]:
    """A JSON file -> its object.

    Args:
        advice: what the user should do about a damaged file; ends the message.

    Raises:
        InputError: the file is missing, unreadable or damaged.
    """
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {advice}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): {advice}") from None
    except Damaged as error:
        raise InputError(f"{path} {error}: {advice}") from None
