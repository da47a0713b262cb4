"""A worker's name, claimed by one process: what it holds and saves is its own.

The claim is a lock beside the study's files, and ends with the process. It knows no trial.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

from heredity.errors import UsageError
from heredity.stores.database import Held
from heredity.stores.lockfile import hold


class Claim:
    """Holds a lock for as long as the object is there."""

    def __init__(self, lock: AbstractContextManager[None]) -> None:
        lock.__enter__()
        weakref.finalize(self, _release, lock, os.getpid())


_claims: weakref.WeakValueDictionary[tuple[int, Path], Claim] = weakref.WeakValueDictionary()
"""By process and file: within one process, who asks again has the same claim."""

_mutex = threading.Lock()


def claim(folder: Path, worker: str) -> Claim:
    """Claim the worker's name in this folder. `UsageError` if another process has it."""
    path = folder.absolute() / f"asked.{sha256(worker.encode()).hexdigest()[:16]}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _mutex:
        mine = _claims.get((os.getpid(), path))
        try:
            mine = _claims[os.getpid(), path] = mine or Claim(hold(path))
        except Held as held:
            raise UsageError(
                f"another process asks for trials as worker {worker!r} ({held}): give this one a "
                f'name of its own, study.ask(worker="another name"), or end the other'
            ) from None
        return mine


def _release(lock: AbstractContextManager[None], pid: int) -> None:
    if os.getpid() == pid:  # and not in a fork of it, which did not claim it
        lock.__exit__(None, None, None)
