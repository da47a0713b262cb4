"""Numbers in the text that a program prints: what a pattern's group takes, and what JSON holds.

A program that diverges prints nan or inf, one that converges 3.2e-05, and few people's patterns
allow for either. Silently, `loss ([0-9.]+)` would read 3.2, or the loss before the last. So the
group of a pattern always takes any number in whole, whatever else it says. But no number is taken
out of what is more than that, such as 1,234.5 or 12:30, if the group itself would take all of it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from heredity.errors import TrainingError, UsageError

NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:nan|inf(?:inity)?)\b)"

_ALONE = r"(?!\w|[^\w\s]\d)"
"""Ahead is nothing that makes one word with a number: 12:30, 1,234, 0x1f, 3abc."""

_WHOLE = r"(?!(?<=\d)\.?\d|(?<=\.)\d|(?<=[\d.])[eE][-+]?\d)"
"""Ahead does not go on the number that ends here."""

_GROUPED = re.compile(r"(?<![\d.])\d+(?:(?:[,_']\d{3})+(?!\d)(?:\.\d+)?|(?:,\d+)+(?![\d.]))")
"""What may be a number with its digits in groups, or with a decimal comma."""


class Pattern:
    """A regular expression whose first group is a number."""

    def __init__(self, name: str, source: object) -> None:
        """`UsageError` if it is none, or has no group."""
        if not isinstance(source, str):
            raise UsageError(f"the pattern of `{name}` is a regular expression, not {source!r}")
        self.name, self.source = name, source
        try:
            groups = _compiled(source).groups
        except (re.error, FutureWarning) as error:
            raise UsageError(f"the pattern of `{name}`, {source!r}, is wrong: {error}") from None
        if not groups:
            raise UsageError(
                f"the pattern of `{name}`, {source!r}, has no group: put parentheses around the "
                "number, as in 'loss ([0-9.]+)'"
            )
        self._pattern = re.compile(with_any_number(source))

    def last(self, line: str) -> float | None:
        """The number of its last match in a line; None without one."""
        found = None
        for match in self._pattern.finditer(line):
            found = match
        return None if found is None or found[1] is None else self._number(found)

    def _number(self, match: re.Match[str]) -> float:
        if any(_cuts(match, grouped) for grouped in _GROUPED.finditer(match.string)):
            raise self._error(
                match,
                "where that is part of more. If it is one number, have the program write it "
                "without commas; if it is several, put what is between them into the pattern",
            )
        try:
            return float(match[1])
        except ValueError:
            raise self._error(match, "which is no number") from None

    def _error(self, match: re.Match[str], why: str) -> TrainingError:
        return TrainingError(
            f"the pattern of `{self.name}`, {self.source!r}, took {match[1][:200]!r} from the line "
            f"{match.string.strip()[:200]!r}, {why}"
        )


def _compiled(source: str) -> re.Pattern[str]:
    """The regular expression, unless a later Python may read it in another way, as [0--]."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        return re.compile(source)


def _cuts(match: re.Match[str], grouped: re.Match[str]) -> bool:
    """Whether the group took a part of this, and the pattern does not speak of what is beside."""
    begin, end = match.span(1)
    before = grouped.start() < begin < grouped.end() and match.start() == begin
    after = grouped.start() < end < grouped.end() and match.end() == end
    return before or after


def with_any_number(source: str) -> str:
    """The regular expression with its first group taking any number too.

    >>> re.search(with_any_number(r"loss ([0-9.]+)"), "loss 1e-05")[1]
    '1e-05'
    """
    begin, end = _first_group(source)
    own = f"(?:{source[begin:end]}){_WHOLE}"
    return f"{source[:begin]}(?:{NUMBER}{_ALONE}|{own}|{NUMBER}){source[end:]}"


def _first_group(source: str) -> tuple[int, int]:
    """Where the content of the first capturing group begins and ends."""
    depth, begin, outside = 0, None, 0
    for position, sign in _parentheses(source):
        depth += 1 if sign == "(" else -1
        if sign == ")" and begin is not None and depth == outside:
            return begin, position
        if sign == "(" and begin is None:
            begin, outside = _content(source, position), depth - 1
    raise UsageError(f"no group was found in {source!r}")


def _content(source: str, position: int) -> int | None:
    """Where the content of the group that opens here begins; None if it captures nothing."""
    opening = re.compile(r"\((?:\?P<\w+>|(?!\?))").match(source, position)
    return None if opening is None else opening.end()


def _parentheses(source: str) -> Iterator[tuple[int, str]]:
    """The parentheses of a regular expression that are not escaped nor in a set of characters."""
    for token in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", source, flags=re.DOTALL):
        if token[0] in ("(", ")"):
            yield token.start(), token[0]


# JSON --------------------------------------------------------------------------------------


def json_object(text: str) -> Mapping[str, Any] | None:
    """The JSON object that the text is; None if it is anything else."""
    import json  # a study can be made without it

    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a JSON object. JSON has no NaN: null and "nan" stand for it.

    >>> numbers({"loss": 2, "best": None, "name": "a", "done": True})
    {'loss': 2.0, 'best': nan}
    """
    values = ((name, _as_number(value)) for name, value in found.items())
    return {name: value for name, value in values if value is not None}


def _as_number(value: Any) -> float | None:
    if value is None:
        return math.nan
    if isinstance(value, bool | list | dict):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None
