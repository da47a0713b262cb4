"""Paths that a program meets only on its users' machines."""

from __future__ import annotations

from pathlib import Path

WEIRD = "a b\t'c' \"d\"\n%s {e} $HOME;#é日本 [f]*?\\"
"""Spaces, quotes, a newline, signs that shells, formats and patterns give a meaning, Unicode."""


def weird_folder(parent: Path) -> Path:
    """A new folder below `parent` whose name is as odd as a file system allows."""
    folder = parent / WEIRD
    folder.mkdir()
    return folder
