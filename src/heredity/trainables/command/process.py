"""A program that runs in a process group of its own, and what ends with it.

However a trial ends, so does all that it started: the group is killed. The group's leader is a
guard, a shell that waits for the end of a pipe that only this process holds open. So the group also
ends when this process dies, in whatever way, on any Unix; and no other group can get its number
meanwhile. This file knows nothing of trials.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heredity.errors import TrainingError

Stream = Literal["out", "err"]
Hear = Callable[[Stream, bytes], None]

_POLL_S = 0.1
"""How soon a request to stop is seen, and the end of a program that left children behind."""

_CHUNK_BYTES = 1 << 16

_GUARD = """
trap '' HUP INT QUIT ALRM TERM USR1 USR2
read -r _
kill -s TERM 0
sleep 1
kill -s KILL 0
"""
"""Told first, as whoever starts workers on other machines may need it to end them, then killed."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, or minus its signal; and whether it was told to."""

    code: int
    told: bool

    @property
    def manner(self) -> str:
        """In words: "with exit code 3", "by SIGKILL"."""
        if self.code >= 0:
            return f"with exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-self.code).name}"
        return f"by signal {-self.code}"


def run_program(
    words: Sequence[str],
    *,
    cwd: Path,
    variables: Mapping[str, str],
    hear: Hear,
    stop_requested: Callable[[], bool] = lambda: False,
    grace_s: float = 30.0,
    elsewhere: str = "",
) -> Ended:
    """Run a program to its end, and end whatever it leaves behind.

    Args:
        words: the program and its arguments.
        cwd: the folder it runs in.
        variables: added to the environment.
        hear: called with what it writes to its standard output and error, as it comes.
        stop_requested: once true, the group gets SIGTERM and, `grace_s` later, SIGKILL.
        elsewhere: said of a program that cannot be started: why it was to run in that folder.

    Raises `TrainingError` if the program cannot be started.
    """
    with _guarded_group() as group:
        with _started(words, cwd, variables, group, elsewhere) as process:
            run = _Run(process, group, hear)
            run.follow(stop_requested, grace_s)
            _signal(group, signal.SIGKILL)  # before the rest is heard: there may be no end to it
            process.kill()  # should it have left the group
            code = process.wait()
            run.drain()
        return Ended(code, run.told)


@contextmanager
def _guarded_group() -> Iterator[int]:
    """The number of a new process group. All in it are killed in the end."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    with guard:
        try:
            yield guard.pid
        finally:
            _signal(guard.pid, signal.SIGKILL)


@contextmanager
def _started(
    words: Sequence[str], cwd: Path, variables: Mapping[str, str], group: int, elsewhere: str
) -> Iterator[subprocess.Popen[bytes]]:
    if not cwd.is_dir():
        raise TrainingError(
            f"there is no folder {str(cwd)!r} to run the command in: correct cwd{elsewhere}"
        )
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={"PYTHONUNBUFFERED": "1", **os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=group,
        )
    except OSError as error:
        raise TrainingError(_why_not(words[0], cwd, error) + elsewhere) from None
    with process:
        try:
            yield process
        finally:
            process.kill()


def _why_not(program: str, cwd: Path, error: OSError) -> str:
    remedy = {
        FileNotFoundError: "give a program on the PATH, or a path that holds in that folder; "
        "{python} is the Python that runs heredity",
        PermissionError: "make it executable with chmod +x, or name the program that runs it first",
    }.get(type(error), "does it begin with a line such as #!/bin/sh?")
    return f"{program!r} cannot be started in {str(cwd)!r}: {error.strerror}: {remedy}"


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody, or only zombies
        os.killpg(group, number)


class _Run:
    """Follows one program: hears what it says, tells it to stop."""

    def __init__(self, process: subprocess.Popen[bytes], group: int, hear: Hear) -> None:
        self.told = False
        self._process = process
        self._group = group
        self._hear = hear
        self._open: dict[int, Stream] = {}
        for name, file in (("out", process.stdout), ("err", process.stderr)):
            assert file is not None
            os.set_blocking(file.fileno(), False)
            self._open[file.fileno()] = "out" if name == "out" else "err"

    def follow(self, stop_requested: Callable[[], bool], grace_s: float) -> None:
        """Return once the program has ended or, told to stop, has had its time.

        A shell that is told may be gone before the program that it has started has saved, so what
        was told has ended when nobody holds its output open any more.
        """
        deadline = float("inf")
        with selectors.DefaultSelector() as selector:
            for file in self._open:
                selector.register(file, selectors.EVENT_READ)
            while time.monotonic() < deadline and not self._over():
                self._wait(selector)
                if not self.told and stop_requested():
                    self.told, deadline = True, time.monotonic() + grace_s
                    _signal(self._group, signal.SIGTERM)

    def drain(self) -> None:
        """Hear what was written and not yet read, and nothing that is written from now on: whoever
        left the group may never end."""
        waiting = {file: _size_bytes(file) for file in self._open}
        for file, left_bytes in waiting.items():
            while left_bytes > 0 and (heard_bytes := self._read(file, left_bytes)):
                left_bytes -= heard_bytes

    def _over(self) -> bool:
        return self._process.poll() is not None and not (self.told and self._open)

    def _wait(self, selector: selectors.BaseSelector) -> None:
        if not self._open:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
            return
        for key, _ in selector.select(_POLL_S):
            if not self._read(key.fd) and key.fd not in self._open:
                selector.unregister(key.fd)

    def _read(self, file: int, most_bytes: int = _CHUNK_BYTES) -> int:
        """Hear what can be read now; how much that was."""
        try:
            data = os.read(file, min(most_bytes, _CHUNK_BYTES))
        except BlockingIOError:
            return 0
        if data:
            self._hear(self._open[file], data)
        else:
            del self._open[file]
        return len(data)


def _size_bytes(pipe: int) -> int:
    """How much a pipe holds."""
    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]
