"""Refuses to resume a run whose request differs from that of the unfinished run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.errors import InputError

MESSAGE = "{folder} was started with another {names}: resume with the same, or pass --overwrite"


def check_same_request(
    earlier: Any, request: Mapping[str, Any], folder: Path | str, message: str = MESSAGE
) -> None:
    """Refuse to resume a run that was started with another request.

    Args:
        earlier: the request that the unfinished run recorded; anything but a dict is no request.
        request: the present one, in types that JSON can hold.
        folder: of the run, for the message.
        message: of the error; {folder} and {names} of what differs are filled in.

    Raises:
        InputError: an entry differs.
    """
    request = json.loads(json.dumps(request))
    earlier = earlier if isinstance(earlier, dict) else {}
    names = [name for name in {**request, **earlier} if earlier.get(name) != request.get(name)]
    if names:
        words = ", ".join(names).replace("_", " ")
        raise InputError(message.format(folder=folder, names=words))
