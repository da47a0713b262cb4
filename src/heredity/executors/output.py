"""Where the output of trials goes: one file for each, at the level of the operating system.

What a program in any language writes to its standard output and error while a trial runs is in
`<logs>/<trial>.log`, also what it started writes, and the last words before a crash. This file
knows nothing of how trials run.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_OUTPUT = (1, 2)


def trial_log(logs: Path | None, trial: int) -> Path | None:
    """The file that takes a trial's output; each attempt adds to it."""
    return None if logs is None else logs / f"{trial}.log"


@contextlib.contextmanager
def redirected(path: Path | None) -> Iterator[None]:
    """Send this process's output, and that of what it starts, to the end of a file meanwhile."""
    if path is None:
        yield
        return
    before = [os.dup(fd) for fd in _OUTPUT]
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    _flush()
    for fd in _OUTPUT:
        os.dup2(file, fd)
    os.close(file)
    try:
        yield
    finally:
        _flush()
        for saved, fd in zip(before, _OUTPUT, strict=True):
            os.dup2(saved, fd)
            os.close(saved)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def tail(path: Path | None, size_bytes: int = 2000, start: int = 0) -> str:
    """The end of a file's text, from byte `start` on; empty if there is none."""
    if path is None:
        return ""
    with contextlib.suppress(OSError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - size_bytes))
        return file.read().decode(errors="replace").strip()
    return ""
