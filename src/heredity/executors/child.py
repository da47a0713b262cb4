"""One worker process as its driver sees it: started, spoken to, and ended with all it started.

Each worker leads a session of its own, so a Ctrl-C in the terminal does not reach it, and its
process group holds whatever it started (data loaders), so that all of it ends with it. Two
descriptors join it to the driver: a socket for tasks and reports, whose end of file is the
worker's death, and a pipe for stop requests, whose end of file is the driver's. This file knows
nothing of trials.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from heredity.executors import wire
from heredity.executors.output import tail

GRACE_S = 1.0
"""What a worker that is told to end (SIGTERM) has left before it is killed."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from heredity.executors.worker_main import main; main(sys.argv[2])"
)
"""With the driver's own search path, so that what the driver can import, its workers can."""


class Child:
    """A running worker process. Close it with `end`."""

    def __init__(
        self, *, payload: IO[bytes], variables: Mapping[str, str], log: Path | None, **settings: Any
    ) -> None:
        """Start the process; it sends its first message once it is ready for tasks.

        `payload` is a file that the worker reads whole, `variables` are added to its environment,
        `log` takes its output outside trials (None: the driver's own), and `settings` (JSON) reach
        `worker_main.main`.
        """
        self.link, theirs = socket.socketpair()
        stops, self._stops = os.pipe()
        self._inbox = wire.Inbox()
        self._log = log
        self._log_start = log.stat().st_size if log and log.exists() else 0
        descriptors = {"link": theirs.fileno(), "stops": stops, "payload": payload.fileno()}
        told = {**settings, **descriptors, "argv": sys.argv, "driver": os.getpid()}
        try:
            with log.open("ab") if log else contextlib.nullcontext() as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(told)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **variables},
                    pass_fds=tuple(descriptors.values()),
                    start_new_session=True,
                )
        except BaseException:
            self._disconnect()
            raise
        finally:
            theirs.close()
            os.close(stops)

    @property
    def pid(self) -> int:
        """The process, and the group it leads."""
        return self._process.pid

    def send(self, message: object) -> None:
        """Send a message. Raises `OSError` if the worker is gone."""
        wire.send(self.link.fileno(), message)

    def request_stop(self, trial: int, attempt: int) -> None:
        """Ask for the early end of one attempt; a worker that is gone needs no asking."""
        with contextlib.suppress(OSError):
            wire.send_stop(self._stops, trial, attempt)

    def receive(self) -> Iterator[Any]:
        """Messages that have arrived. Raises `EOFError` if the worker has died."""
        try:
            data = self.link.recv(wire.CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return iter(())
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        return self._inbox.feed(data)

    def bury(self) -> str:
        """Kill what is left of a worker and say how it died: "by SIGSEGV", "with exit code 3"."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # The leader is not yet waited for, so its number cannot be anybody else's.
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        self._disconnect()
        return _manner(code)

    def last_words(self) -> str:
        """The end of what it wrote outside trials, if that went to a file."""
        return tail(self._log, start=self._log_start)

    def _disconnect(self) -> None:
        self.link.close()
        os.close(self._stops)


def end(children: Iterable[Child], grace_s: float = GRACE_S) -> list[str]:
    """End workers now, and all they started: told first, killed after `grace_s`. How each died."""
    children = list(children)
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
    _await_death(children, time.monotonic() + grace_s)
    return [child.bury() for child in children]


def _await_death(children: Iterable[Child], deadline: float) -> None:
    """Return once all have died, or at the deadline."""
    with selectors.DefaultSelector() as alive:
        for child in children:
            alive.register(child.link, selectors.EVENT_READ, child)
        while alive.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in alive.select(left):
                try:
                    key.data.receive()
                except EOFError:
                    alive.unregister(key.fileobj)


def _manner(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}"
