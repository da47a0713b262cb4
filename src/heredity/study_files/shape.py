"""The shape of a study file, as types that pydantic checks and from which editors' schema is made.

The types are made from the classes' own signatures and docstrings. Only shape is checked here
(names, and types of values); what makes sense is for the classes to say.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin

from pydantic import ConfigDict, Discriminator, Strict, Tag, TypeAdapter
from pydantic import Field as Described
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from heredity.space.parameters import Value
from heredity.study import Study
from heredity.study_files.kinds import (
    ALGORITHMS,
    EXECUTORS,
    KINDS,
    LIMITS,
    NONE,
    PARAMETERS,
    Field,
    fields_of,
)
from heredity.trainables.command import Command

UNKNOWN_KIND = "unknown_kind"
"""The error of a value that is none of the tables allowed; its context has their names."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_OBJECTIVE = Annotated[str, Described(pattern=r"^(maximize|minimize) +\S+$")]
_REFERENCE = Annotated[str, Described(pattern=r"^[\w.]+:[\w.]+$")]
_RANGES: dict[str, Any] = {
    "population": Annotated[int, Described(ge=1)],
    "interval": Annotated[int, Described(ge=1)],
    "seed": Annotated[int, Described(ge=0)],
    "finalists": Annotated[int, Described(ge=0)],
    "final_evaluations": Annotated[int, Described(ge=0)],
    "trial_timeout_s": Annotated[float, Described(gt=0)],
    "disk_limit_bytes": Annotated[int, Described(gt=0)],
}
_TEXTS = {
    "objective": 'Which way a metric is better: "maximize accuracy". Of several the first decides.',
    "budget": "When the study ends. It may be raised at any run.",
    "algorithm": "What decides who goes on from whom; PBT by default.",
    "storage": "A folder for the log and the checkpoints, relative to the file; or an address.",
    "trainable": "module:Class, from beside the file or installed; in place of a command.",
    "executor": "Where trials run; by default what suits the machine.",
}
"""What editors show, where the docstring of `Study` speaks Python."""


@functools.cache
def adapter() -> TypeAdapter[dict[str, Any]]:
    """Checks a whole study file."""
    return TypeAdapter(_table("Study file", _top(), "A study for `heredity run`."))


def schema() -> dict[str, Any]:
    """The JSON Schema of study files, for editors."""
    return {"$schema": DIALECT, **adapter().json_schema()}


@functools.cache
def top_level() -> tuple[str, ...]:
    """The keys of a study file."""
    return tuple(_top())


def _top() -> dict[str, Any]:
    """The arguments of `Study`, some in other words than in Python, and where it runs."""
    words: dict[str, Any] = _words()
    found = {
        name: _entry(
            replace(field, text=_TEXTS.get(name, field.text)),
            words[name] if name in words else _type(field),
        )
        for name, field in fields_of(Study).items()
        if name != "trainable"
    }
    return found | {
        "trainable": _optional(_REFERENCE, _TEXTS["trainable"]),
        "command": NotRequired[_table("Command", _keys(Command), _summary(Command))],
        "executor": _optional(_any_of(EXECUTORS), _TEXTS["executor"]),
    }


def _words() -> dict[str, Any]:
    """What a file says in other words than Python does, and what has a range."""
    limits = {name: _limit(cls) for name, cls in LIMITS.items()}
    return _RANGES | {
        "space": dict[str, _any_of(PARAMETERS)],  # type: ignore[misc]
        "objective": _OBJECTIVE | list[_OBJECTIVE],
        "budget": _table("budget", limits, "The first of these to be reached ends the study."),
        "algorithm": _any_of(ALGORITHMS),
        "storage": str,
        "initial": list[dict[str, Value]],
    }


def _limit(cls: type) -> Any:
    (field,) = fields_of(cls).values()
    return _optional(_type(field), _summary(cls))


def _optional(kind: Any, text: str) -> Any:
    return NotRequired[Annotated[kind, Described(description=text)]]


def _entry(field: Field, kind: Any) -> Any:
    """A key of a table: its type, whether it must be there, and what editors show."""
    shown = isinstance(field.default, bool | int | float | str)
    extra = {"default": field.default} if shown else None
    described = Annotated[kind, Described(description=field.text or None, json_schema_extra=extra)]
    return described if field.required else NotRequired[described]


# Types ------------------------------------------------------------------------------------------


def _type(field: Field, owner: type | None = None) -> Any:
    """The type of a key. TOML has no null: the key is left out, or is "none"."""
    return _alternatives(field.annotation, field.nullable, owner)


def _alternatives(annotation: Any, nullable: bool = False, owner: type | None = None) -> Any:
    """What an annotation allows; an algorithm that takes another does not take its like."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    parts = tuple(part for part in parts if part is not NoneType)
    named = [cls for part in parts for cls in KINDS.values() if _is_a(cls, part)]
    if named:
        return _any_of([cls for cls in named if cls is not owner], nullable)
    literal = (Literal["none"],) if nullable else ()
    return Union[(*map(_plain, parts), *literal)]


def _is_a(cls: type, annotation: Any) -> bool:
    """Whether objects of the class are what a strategy's annotation, such as `Move[Any]`, asks."""
    base = get_origin(annotation) or annotation
    return (
        isinstance(base, type) and base.__module__.startswith("heredity") and issubclass(cls, base)
    )


def _plain(annotation: Any) -> Any:
    """The type of a value that is no table with a `type`. Arrays are TOML's only sequences."""
    origin, of = get_origin(annotation), get_args(annotation)
    if annotation is Path:
        return str
    if origin is tuple:
        return Annotated[annotation, Strict(False)]
    if origin in (Iterable, Sequence):
        return list[_alternatives(*of)]  # type: ignore[misc]
    return annotation


def _any_of(classes: Sequence[type], nullable: bool = False) -> Any:
    """A table whose `type` names one of the classes; or "none"."""
    tagged = [Annotated[_kind(cls), Tag(cls.__name__)] for cls in classes]
    if nullable:
        tagged.append(Annotated[Literal["none"], Tag(NONE)])
    if len(tagged) == 1:
        return tagged[0]
    known = [cls.__name__ for cls in classes] + [NONE] * nullable
    chooser = Discriminator(_tag, UNKNOWN_KIND, UNKNOWN_KIND, {"known": " ".join(known)})
    return Annotated[Union[tuple(tagged)], chooser]  # noqa: UP007


def _tag(value: Any) -> Any:
    """What decides which alternative a value is."""
    return value.get("type") if isinstance(value, Mapping) else value if value == NONE else None


@functools.cache
def _kind(cls: type) -> Any:
    keys = {"type": Literal[cls.__name__], **_keys(cls)}
    return _table(cls.__name__, keys, _summary(cls))


def _keys(cls: type) -> dict[str, Any]:
    return {name: _entry(field, _type(field, cls)) for name, field in fields_of(cls).items()}


def _table(name: str, keys: Mapping[str, Any], text: str) -> Any:
    table: Any = TypedDict(name, dict(keys))  # type: ignore[misc]
    table.__pydantic_config__ = _STRICT  # type: ignore[attr-defined]
    table.__doc__ = text
    return table


def _summary(cls: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())
