"""Tidying up: a study's files that nothing names, or the study whole.

It works without the study's code and holds the study's lock meanwhile. It decides nothing that an
algorithm would.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heredity.checkpoints.local import LocalCheckpoints
from heredity.log import Log
from heredity.stores import folder_of, open_store
from heredity.stores.base import Store
from heredity.upkeep import sweep


def collect(name: str, storage: str | Path = "runs") -> int:
    """Delete the checkpoints that no event names, as crashes leave behind. Returns bytes freed.

    Raises `NotFound` if there is no such study, and `UsageError` while it runs.
    """
    with _held(name, storage) as store:
        checkpoints = LocalCheckpoints(folder_of(name, storage) / "checkpoints")
        freed_bytes = sweep(Log(store, name), checkpoints)
        checkpoints.remove_spares()
        return freed_bytes


def remove(name: str, storage: str | Path = "runs") -> None:
    """Remove a study whole: its log first, then its folder with checkpoints and output.

    Raises `NotFound` if there is no such study, and `UsageError` while it runs.
    """
    with _held(name, storage) as store:
        store.remove(name)
        shutil.rmtree(folder_of(name, storage), ignore_errors=True)


@contextmanager
def _held(name: str, storage: str | Path) -> Iterator[Store]:
    """The store, with the study's lock held; nothing is made where there is nothing."""
    open_store(storage, read_only=True).close()
    store = open_store(storage)
    try:
        with store.lock(name):
            yield store
    finally:
        store.close()
