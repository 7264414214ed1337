"""How much of the host an amphora may use: the deployment's default, or what a flavor names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hydria.model.errors import DriverError
from hydria.settings import NetnsSettings

_SIZE = re.compile(r"(\d{1,7})/(\d{1,4}(?:\.\d{1,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Size:
    """Limits; 0 for none."""

    memory_mb: int
    processors: float


def of(options: NetnsSettings, flavor: str) -> Size:
    """The size of that name, "" for the default; DriverError when ``compute_flavors`` has none."""
    if not flavor:
        return Size(options.memory_limit_mb, options.cpu_limit)
    text = options.compute_flavors.get(flavor)
    if text is None:
        known = ", ".join(sorted(options.compute_flavors)) or "none"
        raise DriverError(f"compute_flavor '{flavor}' is not one of [netns] compute_flavors: {known}.")
    found = _SIZE.fullmatch(text)
    if found is None:
        raise DriverError(
            f"[netns] compute_flavors, {flavor}: '{text}' should be megabytes/processors, like 64/0.5."
        )
    return Size(int(found[1]), float(found[2]))


def refusal(options: NetnsSettings, flavor: str) -> str:
    """Why there is no size of that name, as a sentence; "" when there is."""
    try:
        of(options, flavor)
    except DriverError as error:
        return error.message
    return ""
