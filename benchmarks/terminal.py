"""Runs a command in a terminal of its own, so that it draws there what it would draw for a person.

What it draws is read as a terminal would read it, counted and thrown away, but for its end.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROWS, COLUMNS = 40, 120
_TAIL_BYTES = 4000


@dataclass(frozen=True)
class Drawn:
    """How many bytes reached the terminal, and the last of them as text."""

    size_bytes: int
    tail: str


def run_in_terminal(command: Sequence[str], env: Mapping[str, str]) -> Drawn:
    """Run to the end. Raises `CalledProcessError`, with what was drawn last, if it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    drawn = _read_to_end(ours)
    if code := process.wait():
        raise subprocess.CalledProcessError(code, command, drawn.tail)
    return drawn


def _read_to_end(terminal: int) -> Drawn:
    size, tail = 0, b""
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that nobody holds the other end any more
            data = b""
        if not data:
            os.close(terminal)
            return Drawn(size, tail.decode(errors="replace"))
        size += len(data)
        tail = (tail + data)[-_TAIL_BYTES:]
