"""Numbers and facts as short text. It knows neither studies nor terminals."""

from __future__ import annotations

import math
from typing import Any


def number(value: float | None) -> str:
    """A score: four digits that matter, a dash for none."""
    return "–" if value is None else f"{value:#.4g}".rstrip(".")


def short(value: Any) -> str:
    """An hparam's value: three digits that matter."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """minutes:seconds, with hours if there are any.

    >>> duration(75), duration(7322)
    ('1:15', '2:02:02')
    """
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"


def size(size_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves at least one.

    >>> size(0), size(3_140_000), size(1_500)
    ('0 B', '3.1 MB', '1.5 kB')
    """
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    units = ("kB", "MB", "GB", "TB")
    power = min(len(units), int(math.log10(size_bytes) // 3))
    return f"{size_bytes / 1000**power:.1f} {units[power - 1]}"


def plural(count: int, word: str) -> str:
    """The count with its word.

    >>> plural(1, "trial"), plural(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"
