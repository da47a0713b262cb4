"""The system's lock on a file: held by one process, ended by its death, without a clock.

Who holds it has it alone; who only looks shares it for a moment, and taking it waits that moment
out. This file knows nothing of databases.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heredity.errors import StoreError
from heredity.stores.database import Held


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file made for it and removed afterwards, or raise `Held`."""
    descriptor = _take(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, me().encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Who holds the lock of `path`, or None. It neither takes the lock nor makes the file."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with _closing(descriptor):
        return None if _lock(descriptor, fcntl.LOCK_SH) else _name(descriptor)


def me() -> str:
    """This process, for others to read."""
    return f"pid {os.getpid()} on {socket.gethostname()}"


def _take(path: Path) -> int:
    """Lock the file that stands at `path`: one that its holder has just removed does not count."""
    while True:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        if _lock(descriptor, fcntl.LOCK_EX):
            if _stands_at(path, descriptor):
                return descriptor
        elif not _lock(descriptor, fcntl.LOCK_SH):
            with _closing(descriptor):
                raise Held(_name(descriptor))
        # Removed meanwhile, or shared by those who only look: once more.
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open the file itself: what a link leads to is none of ours to read or to overwrite."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise StoreError(f"{path} is a link, and no lock that heredity made: remove it") from None


def _lock(descriptor: int, kind: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    return False


def _name(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _stands_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
