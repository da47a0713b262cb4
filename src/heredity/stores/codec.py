"""Events as rows of text and back: (type name, format number, JSON).

What is written reads back equal on any machine: JSON values only, no NaN, no numpy scalars. This
file knows the events and no database.
"""

from __future__ import annotations

import gc
import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from heredity.errors import StoreError
from heredity.evolution.budget import Limit
from heredity.evolution.events import FORMAT, BudgetChanged, Event, StudyCreated

Row = tuple[str, int, str]
"""Type name, format number and JSON text of one event."""

_EVENTS: dict[str, type] = {event.__name__: event for event in get_args(Event)}
_LIMITS: dict[str, type] = {limit.__name__: limit for limit in get_args(Limit)}
_EXACT = frozenset({str, int, bool, type(None)})


def encode(event: Event) -> Row:
    """The event as a row. `StoreError` names the field that holds what JSON cannot give back."""
    name = type(event).__name__
    if _EVENTS.get(name) is not type(event):
        raise StoreError(f"{event!r} is not an event; heredity.evolution.events lists them")
    _refuse_foreign(event, name)
    adapter = _adapter(_EVENTS[name])
    try:
        if isinstance(event, StudyCreated | BudgetChanged):
            data = adapter.dump_python(event, mode="json", warnings="error")
            text = json.dumps(data | {"budget": [_tagged(limit) for limit in event.budget]})
        else:
            text = adapter.dump_json(event, warnings="error").decode()
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise StoreError(f"a field of {name} has a value of another type: {error}") from None
    return name, FORMAT, text


def decode(rows: Iterable[Sequence[Any]], first: int) -> list[Event]:
    """The events of rows (type, format, JSON), numbered from `first` for the sake of messages.

    `StoreError` if a newer heredity wrote one of them, or if one has been damaged.
    """
    with _collector_paused():
        return [_decode_row(seq, *row) for seq, row in enumerate(rows, first)]


def check_finite(values: Mapping[str, float], where: str) -> None:
    """`StoreError` naming the value of `values` that is not a finite JSON number."""
    _refuse_foreign(values, where)


def _decode_row(seq: int, name: str, format_: int, text: str) -> Event:
    event = _EVENTS.get(name)
    if event is None or format_ > FORMAT:
        raise StoreError(
            f"event {seq} is a {name} in format {format_}, written by a newer heredity; this one "
            f"reads formats up to {FORMAT}. Upgrade it: pip install --upgrade heredity"
        )
    try:
        if event in (StudyCreated, BudgetChanged):
            return _decode_budgeted(event, text)
        return _adapter(event).validate_json(text)  # type: ignore[no-any-return]
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"event {seq}, a {name}, cannot be read: the log has been damaged or edited. "
            f"Restore it from a copy. Details: {error}"
        ) from None


def _decode_budgeted(event: type, text: str) -> Event:
    """Limits are tagged by name, since `Steps` and `Trials` have the same fields."""
    data = json.loads(text)
    limits = [dict(limit) for limit in data["budget"]]
    data["budget"] = tuple(_LIMITS[limit.pop("limit")](**limit) for limit in limits)
    return _adapter(event).validate_python(data)  # type: ignore[no-any-return]


def _tagged(limit: Limit) -> dict[str, Any]:
    return {"limit": type(limit).__name__, **asdict(limit)}


@cache
def _adapter(event: type) -> TypeAdapter[Any]:
    return TypeAdapter(event)


@cache
def _field_names(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def _refuse_foreign(value: object, where: str) -> None:
    """Go through `value` and refuse what would not read back as it is.

    Types are compared exactly: a subclass of float, such as `numpy.float64`, comes back as a float.
    """
    kind = type(value)
    if kind in _EXACT:
        return
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise StoreError(f"{where} is {value!r}: values that are not finite are never stored")
    elif is_dataclass(kind):
        for name in _field_names(kind):
            _refuse_foreign_field(getattr(value, name), f"{where}.{name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if type(key) is not str:
                raise StoreError(f"{where} has the key {key!r}; keys of a mapping are strings")
            _refuse_foreign(item, f"{where}[{key!r}]")
    elif kind is list:
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _refuse_foreign(item, f"{where}[{index}]")
    else:
        raise StoreError(
            f"{where} is {value!r} of type {kind.__module__}.{kind.__qualname__}: an event holds "
            f"JSON values only (str, int, float, bool, None, lists and mappings of them)"
        )


def _refuse_foreign_field(value: object, where: str) -> None:
    """A record's own field may be a tuple, for its declared type brings the tuple back."""
    if type(value) is tuple:
        for index, item in enumerate(value):
            _refuse_foreign(item, f"{where}[{index}]")
    else:
        _refuse_foreign(value, where)


_pauses = threading.Lock()


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Decode without the cycle collector, which would visit a growing heap of acyclic records again
    and again and so double the time to open a long log."""
    with _pauses:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()
