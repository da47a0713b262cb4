"""Where event logs live: `open_store` turns a `storage` argument into a store.

This file knows which kinds of storage there are and nothing of how they work.
"""

from __future__ import annotations

from pathlib import Path

from heredity.errors import NotFound, UsageError
from heredity.stores.base import Store

DATABASE = "heredity.db"
"""The file's name within the storage folder."""


def open_store(storage: str | Path, *, read_only: bool = False) -> Store:
    """The store that `storage` names.

    A folder holds the file `heredity.db`, both created as needed; ":memory:" lives as long as the
    object. With `read_only`, nothing is created or changed and `NotFound` says where it looked.
    """
    if str(storage) == ":memory:":
        from heredity.stores.memory import MemoryStore

        return MemoryStore()
    if "://" in str(storage):
        raise UsageError(
            f"storage={str(storage)!r}: this version keeps studies in local folders only; "
            f"databases on a server are not there yet. Give the path of a folder, such as 'runs'"
        )
    path = Path(storage) / DATABASE
    if read_only and not path.exists():
        raise NotFound(
            f"there are no studies in {str(storage)!r}: {path} does not exist. Give the folder "
            f"that was the study's `storage` ('runs' by default), from the directory you ran it in"
        )
    from heredity.stores.sql import SqlStore

    return SqlStore(path, read_only=read_only)
