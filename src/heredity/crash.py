"""Crash points: named places where a test makes the process kill itself.

`HEREDITY_CRASH_AT=<point>:<n>` sends SIGKILL to the process that passes the point for the n-th
time, counted from 1 in each process. Without the variable a crash point costs one comparison. This
file knows nothing of what happens around a point.
"""

from __future__ import annotations

import os
import signal

_armed = os.environ.get("HEREDITY_CRASH_AT", "")
_point, _, _visit = _armed.partition(":")
_left = int(_visit or 1)

POINTS = (
    "append.before",
    "append.after",
    "launch.before",
    "launch.after",
    "rename.before",
    "rename.after",
    "release.before",
    "release.after",
    "unlink.before",
    "unlink.after",
)
"""Every point there is: around the append of a block, the launch of a trial, the rename that
publishes a checkpoint, the append that releases checkpoints, and the removal of their files."""


def crash_point(name: str) -> None:
    """Die here if the environment says so. `name` is one of `POINTS`."""
    global _left
    if name != _point:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
