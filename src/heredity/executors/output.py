"""Where the output of trials goes: one file for each, at the level of the operating system.

What a program in any language writes to its standard output and error while a trial runs is in
`<logs>/<trial>.log`, also what it started writes, and the last words before a crash. This file
knows nothing of how trials run.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_OUTPUT = (1, 2)


def trial_log(logs: Path | None, trial: int) -> Path | None:
    """The file that takes a trial's output; each attempt adds to it."""
    return None if logs is None else logs / f"{trial}.log"


class TrialOutput:
    """Sends this process's output to the log of the trial that runs.

    Making a file takes longer than many a short trial's bookkeeping, and most trials print nothing.
    So a log that is still empty when its trial ends is not left behind: it is renamed to be that
    of the next.
    """

    def __init__(self, logs: Path | None) -> None:
        self._logs = logs
        self._outside = [os.dup(fd) for fd in _OUTPUT]
        self._file = -1
        self._path = ""

    @contextlib.contextmanager
    def of(self, trial: int) -> Iterator[None]:
        """Output goes to the end of the trial's log meanwhile."""
        path = trial_log(self._logs, trial)
        if path is None:
            yield
            return
        self._move_to(str(path))
        _redirect([self._file, self._file])
        try:
            yield
        finally:
            _redirect(self._outside)

    def _move_to(self, path: str) -> None:
        if path == self._path:
            return
        if self._file >= 0 and os.fstat(self._file).st_size == 0 and not os.path.exists(path):
            with contextlib.suppress(FileNotFoundError):  # somebody tidied up
                os.rename(self._path, path)
                self._path = path
                return
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._path = path


def _redirect(files: Sequence[int]) -> None:
    _flush()
    for file, fd in zip(files, _OUTPUT, strict=True):
        os.dup2(file, fd)


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
