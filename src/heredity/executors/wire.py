"""Messages between the driver and its own worker processes: pickles, each after its length.

Both ends work on bare file descriptors. Nothing closes a worker's end before the process is gone,
so the driver meets the end of the stream exactly when the worker has died. A worker's first message
is `Ready` or `Refused`; then tasks go one way and reports come the other.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 1 << 16
_LENGTH = struct.Struct("<Q")
_STOP = struct.Struct("<qq")


@dataclass(frozen=True)
class Ready:
    """The worker holds the workload and waits for tasks."""


@dataclass(frozen=True)
class Refused:
    """The worker cannot take up the workload, and ends; `error` says why and what to do."""

    error: str


def send(fd: int, message: object) -> None:
    """Write one message whole. Raises `OSError` when nobody reads any more."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    rest = memoryview(_LENGTH.pack(len(payload)) + payload)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd: int) -> Iterator[Any]:
    """Messages as they come, until the other end is gone."""
    inbox = Inbox()
    while data := os.read(fd, CHUNK_BYTES):
        yield from inbox.feed(data)


class Inbox:
    """Puts messages together from pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that `data` completes, in order."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield pickle.loads(payload)


def send_stop(fd: int, trial: int, attempt: int) -> None:
    """Ask, on a pipe of its own, that one attempt end early. Atomic, for it is so short."""
    os.write(fd, _STOP.pack(trial, attempt))


def receive_stops(fd: int) -> Iterator[tuple[int, int]]:
    """The attempts to end early, as (trial, attempt), until the other end is gone."""
    while data := os.read(fd, _STOP.size):
        yield _STOP.unpack(data)
