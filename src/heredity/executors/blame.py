"""What stands in the way of sending an object to another process: which global, how large, why.

Only reached once sending has failed. It opens up what would go by value (functions, classes, their
globals and attributes) and follows the worst part down to a name that the user wrote.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

from heredity.executors import shipping

Part = tuple[str, Any]

_REMEDY = "Make it in prepare(), which each worker calls once, or in a module that is imported"
_MINOR_BYTES = 1 << 16
_WRAPPERS = (
    type,
    types.FunctionType,
    types.MethodType,
    functools.partial,
    staticmethod,
    classmethod,
)
"""What weighs only for what it refers to."""


def too_large(thing: object, limit_bytes: int) -> str:
    """The message for an object above the limit: its largest part, that part's size, the remedy."""
    parts = list(_heavy(thing, {id(thing)})) or [(_title(thing), thing)]
    size_bytes, (name, part) = max(((_size(part[1]), part) for part in parts), key=lambda p: p[0])
    return (
        f"{_title(thing)} carries more than {_megabytes(limit_bytes)} to each worker: "
        f"{name} ({type(part).__name__}, {_megabytes(size_bytes)}). {_REMEDY}"
    )


def unpicklable(thing: object, error: Exception) -> str:
    """The message for an object that cannot be sent: the part that cannot, why, the remedy."""
    whole = (_title(thing), thing)
    name, part = _culprit(whole, {id(thing)}) or whole
    return (
        f"{_title(thing)} cannot be sent to the workers because of {name} "
        f"({type(part).__name__}): {_reason(part) or error}. {_REMEDY}"
    )


def _heavy(thing: object, seen: set[int]) -> Iterator[Part]:
    """Parts that weigh something by themselves, wherever below `thing` they are referred to."""
    for name, part in _parts(thing):
        if id(part) in seen or _size(part) < _MINOR_BYTES:
            continue
        seen.add(id(part))
        if isinstance(part, _WRAPPERS):
            yield from _heavy(part, seen)
        else:
            yield name, part


def _culprit(part: Part, seen: set[int]) -> Part | None:
    """The innermost part that cannot be pickled; None if that is only due to parts in `seen`."""
    refused = [inner for inner in _parts(part[1]) if _reason(inner[1]) is not None]
    if not refused:
        return part
    for inner in refused:
        if id(inner[1]) not in seen:
            seen.add(id(inner[1]))
            if (found := _culprit(inner, seen)) is not None:
                return found
    return None


def _size(thing: object) -> int:
    sink = _Counter()
    with contextlib.suppress(Exception):
        shipping.dump(thing, sink)
    return sink.size_bytes


def _reason(thing: object) -> str | None:
    """Why `thing` cannot be pickled; None if it can."""
    try:
        shipping.dump(thing, _Counter())
    except Exception as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None


class _Counter:
    """A file that only counts."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.size_bytes += count
        return count


def _parts(thing: object) -> Iterator[Part]:
    """What goes along with `thing` by value, each part with a name fit for a message."""
    match thing:
        case functools.partial():
            yield "the function of the partial", thing.func
            yield from ((f"argument {n} of the partial", arg) for n, arg in enumerate(thing.args))
            yield from ((f"the argument `{key}`", arg) for key, arg in thing.keywords.items())
        case types.MethodType():
            yield f"the object of the method `{thing.__name__}`", thing.__self__
        case types.FunctionType():
            yield from _parts_of_function(thing)
        case staticmethod() | classmethod():
            yield f"`{thing.__name__}`", thing.__func__
        case type():
            yield from _attributes(thing, vars(thing))
            yield from ((f"the base class `{base.__name__}`", base) for base in thing.__bases__)
        case _:
            yield from _attributes(type(thing), getattr(thing, "__dict__", {}))


def _attributes(owner: type, attributes: Any) -> Iterator[Part]:
    for name, value in list(attributes.items()):
        if not isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
            yield f"the attribute `{owner.__name__}.{name}`", value


def _parts_of_function(function: types.FunctionType) -> Iterator[Part]:
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield f"the global `{name}`", function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"the captured variable `{name}`", cell.cell_contents
        except ValueError:  # not yet bound
            continue
    for value in function.__defaults__ or ():
        yield f"a default argument of `{function.__name__}`", value


def _names(code: types.CodeType) -> set[str]:
    """Global names that the code, or code within it, reads or writes."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname.endswith("_GLOBAL")}
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return names.union(*(_names(part) for part in inner))


def _title(thing: object) -> str:
    return f"`{getattr(thing, '__qualname__', None) or type(thing).__qualname__}`"


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / (1 << 20):.3g} MB"
