"""Where keys stand, for every way that TOML has to write them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.study_files.lines import Lines, Path, parses

TEXT = """\
a = 1  # comment [x]

"quoted key" = 2
multi = '''
b = 1
[fake]
'''
[space]
lr.low = 1
lr.high = [
  1,
  { inner = 2 },
]
inline = { move = { type = "Keep" } }

[space.width]
type = "Integer"
[[initial]]
lr = 1
[[initial]]
lr = 2
[initial.deep]
x = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("a",), 1),
        (("quoted key",), 3),
        (("multi",), 4),
        (("b",), 1),
        (("space",), 8),
        (("space", "lr"), 9),
        (("space", "lr", "low"), 9),
        (("space", "lr", "high"), 10),
        (("space", "lr", "high", 1, "inner"), 10),
        (("space", "inline", "move", "type"), 14),
        (("space", "inline", "move", "missing"), 14),
        (("space", "width"), 16),
        (("space", "width", "type"), 17),
        (("initial",), 18),
        (("initial", 0), 18),
        (("initial", 0, "lr"), 19),
        (("initial", 1), 20),
        (("initial", 1, "lr"), 21),
        (("initial", 1, "deep"), 22),
        (("initial", 1, "deep", "x"), 23),
        (("nothing", "there"), 1),
    ],
)
def test_every_key_is_on_its_line(path: Path, line: int) -> None:
    assert Lines(TEXT).of(path) == line
    assert Lines(TEXT.replace("\n", "\r\n")).of(path) == line


def test_the_statement_that_does_not_end_is_known() -> None:
    assert Lines("a = 1\n\n# c\nb = [\n1,\n2\n").unfinished == 4


_NAMES = st.text("abcxyz", min_size=1, max_size=4)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 9) | st.text('ab\n"[]#=', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


def _paths(path: Path, value: Any) -> Iterator[Path]:
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths((*path, key), item)


def _toml(value: Any) -> str:
    """Arrays over several lines, and strings with line breaks in them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(f" # ]\n {_toml(item)}" for item in value) + "\n]"
    if isinstance(value, str):
        return '"""\n' + value.replace('"', '\\"') + '"""'
    return str(value)


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=4), max_size=4))
def test_any_key_of_any_file_is_on_its_line(data: dict[str, dict[str, Any]]) -> None:
    """Written table by table, noting the line of each."""
    text, expected = "", {}
    for table, values in data.items():
        expected[(table,)] = text.count("\n") + 1
        text += f"[{table}]\n"
        for key, value in values.items():
            expected |= dict.fromkeys(_paths((table, key), value), text.count("\n") + 1)
            text += f"{key} = {_toml(value)}\n"
    assert tomllib.loads(text) == data
    lines = Lines(text)
    assert {path: lines.of(path) for path in expected} == expected


def test_parses() -> None:
    assert parses("")
    assert parses("a = 1\n[b]")
    assert not parses("a =")
    assert not parses("a = " + "[" * 10_000)
    assert not parses("a = " + "1" * 10_000)
