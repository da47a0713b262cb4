"""Where event logs live: `open_store` turns a `storage` argument into a store.

This file knows which kinds of storage there are and nothing of how they work.
"""

from __future__ import annotations

from pathlib import Path

from heredity.errors import NotFound, UsageError
from heredity.stores.address import MEMORY, POSTGRES, folder_of, scheme_of, shown
from heredity.stores.base import Store

__all__ = ["DATABASE", "folder_of", "open_store", "shown"]

DATABASE = "heredity.db"
"""The file's name within the storage folder."""


def open_store(storage: str | Path, *, read_only: bool = False) -> Store:
    """The store that `storage` names.

    A folder holds the file `heredity.db`, both created as needed; "postgresql://user@host/name" is
    a database on a server; ":memory:" lives as long as the object. With `read_only`, nothing is
    created or changed and `NotFound` says where it looked.
    """
    if str(storage) == MEMORY:
        from heredity.stores.memory import MemoryStore

        return MemoryStore()
    scheme = scheme_of(storage)
    if scheme and scheme not in POSTGRES:
        raise UsageError(
            f"storage={shown(storage)!r}: there is no store for {scheme}. Give the path of a "
            f"folder, such as 'runs', or postgresql://user@host/database"
        )
    return _open_sql(storage, bool(scheme), read_only)


def _open_sql(storage: str | Path, server: bool, read_only: bool) -> Store:
    from heredity.stores.sql import SqlStore

    if server:
        from heredity.stores.postgres import Postgres

        return SqlStore(Postgres(str(storage)), read_only=read_only)
    from heredity.stores.sqlite import Sqlite

    path = Path(storage) / DATABASE
    if read_only and not path.exists():
        raise NotFound(
            f"there are no studies in {str(storage)!r}: {path} does not exist. Give the folder "
            f"that was the study's `storage` ('runs' by default), from the directory you ran it in"
        )
    return SqlStore(Sqlite(path), read_only=read_only)
