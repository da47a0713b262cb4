"""Text of users, made fit to be written: a log, a lease or an answer holds Unicode, and not whole
novels.

Text that Python read from bytes, such as a file's name, may hold lone surrogates, which no UTF-8
has; they become `\\udce9` in plain letters. This file knows no event: it goes by the names of
fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

ERROR_CHARACTERS, TRACEBACK_CHARACTERS = 2_000, 20_000
"""Of an error the beginning says what happened; of a traceback the end."""

T = TypeVar("T")


def text(value: str) -> str:
    """The same text without lone surrogates.

    >>> text("caf\\udce9")
    'caf\\\\udce9'
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="backslashreplace").decode()
    return value


def error(value: str) -> str:
    """An error's text, of which the beginning is kept."""
    value = text(value)
    return value if len(value) <= ERROR_CHARACTERS else f"{value[: ERROR_CHARACTERS - 2]} …"


def traceback(value: str) -> str:
    """A traceback's text, of which the end is kept."""
    value = text(value)
    most = TRACEBACK_CHARACTERS
    return value if len(value) <= most else f"…\n{value[2 - most :]}"


def record(event: T) -> T:
    """The same event with all its text made fit; itself if it is so already."""
    return _fit(event)  # type: ignore[no-any-return]


_KEPT = {"error": error, "traceback": traceback}


def _fit(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        return _KEPT.get(name, text)(value)
    if isinstance(value, Mapping):
        fit = {_fit(key): _fit(item) for key, item in value.items()}
        return value if fit == value else fit
    if isinstance(value, list | tuple):
        items = type(value)(map(_fit, value))
        return value if items == value else items
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: new
            for field in fields(value)
            if (new := _fit(old := getattr(value, field.name), field.name)) is not old
        }
        return replace(value, **changed) if changed else value
    return value
