"""What is wrong with a study file, in words, and on which lines.

Turns what pydantic found into the words of study files. All problems are told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heredity.errors import UsageError, did_you_mean
from heredity.study_files.kinds import KINDS, LIMITS, NONE, fields_of
from heredity.study_files.lines import Lines, Path
from heredity.study_files.shape import UNKNOWN_KIND, top_level
from heredity.trainables.command import Command

Errors = Sequence[Any]
"""Pydantic's errors about one value: several where it may be one of several types."""


@dataclass(frozen=True)
class Problem:
    """Something wrong at a key, in words that name no line."""

    path: Path
    text: str


def refusal(file: str, problems: Iterable[Problem], lines: Lines) -> UsageError:
    """The error that tells all problems, in the order of their lines."""
    told = {(lines.of(problem.path), problem.text) for problem in problems}
    return UsageError("\n".join(f"{file}, line {line}: {text}" for line, text in sorted(told)))


def shape_problems(data: Mapping[str, Any], errors: Errors) -> Iterator[Problem]:
    """What pydantic's errors mean."""
    by_path: dict[Path, list[Any]] = {}
    for error in errors:
        by_path.setdefault(_keys(data, error), []).append(error)
    for path, group in by_path.items():
        if not _is_within(path, by_path, group[0]["input"]):
            yield Problem(path, _WORDS.get(group[0]["type"], _wrong_value)(data, path, group))


def _is_within(path: Path, others: Iterable[Path], value: Any) -> bool:
    """Whether an array is wrong only for what is wrong in it: that it is no text, say, is not."""
    inner = any(len(other) > len(path) and other[: len(path)] == path for other in others)
    return inner and isinstance(value, list)


def dotted(path: Path) -> str:
    """The keys as a person writes them.

    >>> dotted(("initial", 0, "lr"))
    'initial[0].lr'
    """
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def shown(value: Any) -> str:
    """A value much as TOML has it, at a length that fits a message."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _keys(data: Any, error: Mapping[str, Any]) -> Path:
    """The keys of an error's location, which names alternatives among them."""
    path: Path = ()
    for part in error["loc"]:
        in_array = isinstance(data, list) and isinstance(part, int)
        if in_array or (isinstance(data, Mapping) and part in data):
            path, data = (*path, part), data[part]
    if error["type"] == "missing":
        return (*path, error["loc"][-1])
    return (*path, "type") if error["type"] == UNKNOWN_KIND and _has_type(data) else path


def _has_type(value: Any) -> bool:
    return isinstance(value, Mapping) and "type" in value


# Words ------------------------------------------------------------------------------------------


def _missing(data: Any, path: Path, errors: Errors) -> str:
    return f"{_owner(path)} needs `{path[-1]}`"


def _unknown_key(data: Any, path: Path, errors: Errors) -> str:
    name = str(path[-1])
    hint = _misplaced(path) or did_you_mean(name, _known(data, path[:-1]))
    return f"{_owner(path)} takes no `{name}`.{hint}"


def _unknown_kind(data: Any, path: Path, errors: Errors) -> str:
    value, known = errors[0]["input"], errors[0]["ctx"]["known"].split()
    kinds = [name for name in known if name != NONE]
    if not isinstance(value, Mapping):
        wanted = _example(value, kinds) + (f' or "{NONE}"' if NONE in known else "")
        return f"{dotted(path)} is {wanted}, not {shown(value)}.{_misplaced(path)}"
    if "type" not in value:
        return f"{dotted(path)} needs a type: {', '.join(kinds)}"
    noun = "hparam" if path[0] == "space" and len(path) == 3 else str(path[-2])
    return f"unknown {noun} type {shown(value['type'])}.{did_you_mean(str(value['type']), kinds)}"


def _example(value: Any, kinds: Sequence[str]) -> str:
    """How a table is written: the one whose name was given in its place, or any."""
    kind = value if value in kinds else kinds[0]
    fields = [f"{n} = …" for n, field in fields_of(KINDS[kind]).items() if field.required]
    example = ", ".join([f'type = "{kind}"', *fields])
    return f"a table such as {{ {example} }}"


def _wrong_pattern(data: Any, path: Path, errors: Errors) -> str:
    value = shown(errors[0]["input"])
    if path[0] == "objective":
        return f'{dotted(path)} is "maximize METRIC" or "minimize METRIC", not {value}'
    return f'{dotted(path)} is "module:Class", not {value}'


def _wrong_value(data: Any, path: Path, errors: Errors) -> str:
    """The types that a value may have, joined by "or"."""
    value = errors[0]["input"]
    wanted = " or ".join(dict.fromkeys(_wanted(error["msg"]) for error in errors))
    expected = [error.get("ctx", {}).get("expected", "") for error in errors]
    choices = re.findall(r"'(.*?)'", " ".join(expected))
    hint = did_you_mean(value, choices) if isinstance(value, str) and choices else ""
    return f"{dotted(path)} should {wanted.replace(' or be ', ' or ')}, not {shown(value)}.{hint}"


def _wanted(message: str) -> str:
    """Pydantic's words for what a value should be, with TOML's for tables and arrays."""
    words = message.partition(" should ")[2].partition(" after validation")[0].replace("'", '"')
    return re.sub("dictionary", "table", re.sub("tuple|list", "array", words))


_WORDS = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    UNKNOWN_KIND: _unknown_kind,
    "string_pattern_mismatch": _wrong_pattern,
}
"""By pydantic's type of error."""


# Names ------------------------------------------------------------------------------------------


def _owner(path: Path) -> str:
    """Whose key it is."""
    return dotted(path[:-1]) or "a study file"


def _known(data: Any, path: Path) -> list[str]:
    """The keys of the table at a path."""
    if not path:
        return list(top_level())
    if path[0] in ("budget", "command"):
        return list(LIMITS if path[0] == "budget" else fields_of(Command))
    for part in path:
        data = data[part]
    return ["type", *fields_of(KINDS[data["type"]])]


def _misplaced(path: Path) -> str:
    """In TOML what follows a table's header belongs to it, which is easily forgotten."""
    if len(path) < 2 or path[-1] not in top_level():
        return ""
    return f" If `{path[-1]}` is meant for the study, put it above the first [table]."
