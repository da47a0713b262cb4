"""Strategies and spaces as JSON and back: `module:name` and the fields.

A definition is stored and compared in this form. What can be described is a frozen dataclass whose
fields are JSON values, tuples, or other such dataclasses; or a mapping of names to them, such as a
space. This file knows none of the classes it describes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from heredity.errors import UsageError


def describe(value: Any) -> Any:
    """The value as JSON, with tuples as lists.

    >>> from heredity.evolution.budget import Steps
    >>> describe(Steps(100))
    {'type': 'heredity.evolution.budget:Steps', 'count': 100}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        described = {f.name: describe(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"type": _name(type(value)), **described}
    if isinstance(value, Mapping):
        items = [[name, describe(item)] for name, item in value.items()]
        return {"type": _name(type(value)), "items": items}
    raise UsageError(
        f"{value!r} cannot be part of a study's definition: its fields must be JSON values (finite "
        f"numbers, text, lists) or frozen dataclasses of them"
    )


def rebuild(data: Any) -> Any:
    """The value that described itself so, lists as tuples.

    `UsageError` if a class it names cannot be imported.

    >>> rebuild({"type": "heredity.evolution.budget:Steps", "count": 100})
    Steps(count=100)
    """
    if isinstance(data, list):
        return tuple(rebuild(item) for item in data)
    if not isinstance(data, Mapping):
        return data
    cls = _class(data["type"])
    if "items" in data and not is_dataclass(cls):
        return cls({name: rebuild(item) for name, item in data["items"]})
    return cls(**{name: rebuild(item) for name, item in data.items() if name != "type"})


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"this study's definition names {name}, which cannot be imported here ({error}); "
            f"run where the code that made the study is installed"
        ) from None
    if not (isinstance(found, type) and (is_dataclass(found) or issubclass(found, Mapping))):
        raise UsageError(f"{name}, which this study's definition names, describes no value")
    return found
