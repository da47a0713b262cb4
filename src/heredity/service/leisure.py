"""Checkpoints that are deleted beside the study's work: nobody waits for a disk.

What is deleted is wanted by nobody any more, which is in the log before. A process that dies first
leaves it behind, and the next one that opens the study sweeps it away. This file knows no log.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from heredity.checkpoints.base import CheckpointStore, Stored
from heredity.errors import CheckpointError
from heredity.evolution.trial import Checkpoint

log = logging.getLogger(__name__)


class Leisurely:
    """A CheckpointStore whose `delete` returns at once. Close it to see all deleted."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._unwanted: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._delete, name="deleting", daemon=True)
        self._thread.start()

    def save(self, trial: int, attempt: int, write: Callable[[Path], None]) -> Checkpoint:
        """As the store does it."""
        return self._store.save(trial, attempt, write)

    def open(self, checkpoint: Checkpoint) -> AbstractContextManager[Path]:
        """As the store does it."""
        return self._store.open(checkpoint)

    def delete(self, uris: Iterable[str]) -> None:
        """Remove them before long."""
        if unwanted := list(uris):
            self._unwanted.put(unwanted)

    def list(self) -> Iterable[Stored]:
        """What there is, also what is about to go."""
        return self._store.list()

    def free_bytes(self) -> int | None:
        """As the store has it now."""
        return self._store.free_bytes()

    def close(self) -> None:
        """Remove what is still to be removed."""
        self._unwanted.put(None)
        self._thread.join()

    def _delete(self) -> None:
        while (unwanted := self._unwanted.get()) is not None:
            try:
                self._store.delete(unwanted)
            except CheckpointError as error:
                log.warning("%s", error)  # it is garbage now, and will be swept away
