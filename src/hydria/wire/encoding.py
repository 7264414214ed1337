"""JSON of dataclasses, with the fields' names as keys."""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> bytes:
    """Of a dataclass, or of something that has some in it; TypeError when it has other objects."""
    return json.dumps(value, default=_fields, separators=(",", ":")).encode()


def _fields(value: Any) -> dict[str, Any]:
    """One object's own: ``dataclasses.asdict`` would copy all that is below it, piece by piece."""
    names = getattr(value, "__dataclass_fields__", None)
    if names is None:
        raise TypeError(f"{type(value).__name__} is no dataclass")
    return {name: getattr(value, name) for name in names}
