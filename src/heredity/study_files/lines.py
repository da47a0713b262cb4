"""Where things stand in a TOML file: the line of every key.

`tomllib` tells no positions, but it tells where a statement ends: at the first line up to which the
text parses. So each statement is found by `tomllib` itself, and no grammar is written again here.
Knows nothing of studies.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
"""Keys, and places in arrays, from the top of the file to a value."""


class Lines:
    """The line, from 1, on which each key of `text` first stands.

    A value that goes over several lines is on the line of its key. Text that is no TOML is read as
    far as it is.

    >>> lines = Lines('name = "a"\\n[space]\\nlr.low = 1\\n')
    >>> lines.of(("space", "lr", "low")), lines.of(("space",)), lines.of(("budget",))
    (3, 2, 1)
    """

    def __init__(self, text: str) -> None:
        self._first: dict[Path, int] = {(): 1}
        self._tables: dict[Path, int] = {}
        self._header: Path = ()
        self.unfinished = 1
        for line, statement in self._statements(text):
            self._place(line, statement)

    def of(self, path: Path) -> int:
        """The line of a key; where there is no such key, that of the nearest one around it."""
        while path not in self._first:
            path = path[:-1]
        return self._first[path]

    def _statements(self, text: str) -> Iterator[tuple[int, str]]:
        """Each statement and its first line; `unfinished` stays at the one that does not parse."""
        begun: list[str] = []
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            begun.append(line)
            statement = "\n".join(begun)
            if parses(statement):
                yield self.unfinished, statement
                begun, self.unfinished = [], number + 1

    def _place(self, line: int, statement: str) -> None:
        found = tomllib.loads(statement)
        if not statement.lstrip().startswith("["):
            self._note(self._header, found, line)
            return
        self._header = ()
        node: Any = found
        while node:
            (name, node), *_ = node.items()
            self._header = (*self._header, name)
            self._first.setdefault(self._header, line)
            if isinstance(node, list):  # [[name]]: one table more
                self._tables[self._header] = self._tables.get(self._header, -1) + 1
                node = None
            if self._header in self._tables:
                self._header = (*self._header, self._tables[self._header])
                self._first.setdefault(self._header, line)

    def _note(self, path: Path, value: Any, line: int) -> None:
        self._first.setdefault(path, line)
        if isinstance(value, Mapping):
            for name, inner in value.items():
                self._note((*path, name), inner, line)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self._note((*path, index), inner, line)


def parses(text: str) -> bool:
    """Whether `text` is TOML."""
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):  # TOMLDecodeError, or a number of thousands of digits
        return False
    return True
