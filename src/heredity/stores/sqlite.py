"""What is peculiar to SQLite: opening a file, and saying plainly what is wrong with one.

Two processes may write: the log is in WAL mode, a writer waits its turn up to `BUSY_TIMEOUT_S`.
This file knows nothing of tables.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from heredity.errors import StoreError
from heredity.stores.filesystem import NETWORK

BUSY_TIMEOUT_S = 10.0

Durable = Literal["process", "power"]
"""What the log survives: the death of any process, or the loss of power as well (slower)."""

_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}

_EXPLANATIONS = {
    "SQLITE_FULL": (
        "the disk is full. Nothing in the log is lost: free some space, then run the same again"
    ),
    "SQLITE_READONLY": (
        "it is read-only. Give this user permission to write to the file and its folder, or choose "
        "another `storage`"
    ),
    "SQLITE_CANTOPEN": (
        "it cannot be opened. See that its folder exists and that this user may write there, or "
        "choose another `storage`"
    ),
    "SQLITE_BUSY": (
        f"another program has kept it locked for {BUSY_TIMEOUT_S:.0f} s. Close what has it open (a "
        f"database browser, a backup) and run the same command again"
    ),
    "SQLITE_NOTADB": (
        "it is not an SQLite database. Move the file away, or choose another `storage`"
    ),
    "SQLITE_CORRUPT": (
        "it is damaged. Keep a copy, then restore it from a backup, or save what can be read with "
        "sqlite3's `.recover` command"
    ),
    "SQLITE_IOERR": (
        "the system could not read or write it. See that the disk is healthy, not full and within "
        "the user's quota; what the log held before is still there"
    ),
}


def open_engine(path: Path, *, read_only: bool, durable: Durable) -> Engine:
    """An engine with one connection to the database at `path`, which any thread may use."""
    if not read_only:
        _make_folder(path.parent)
    return create_engine(
        "sqlite://", creator=lambda: _connect(path, read_only, durable), poolclass=StaticPool
    )


def refuse_network(path: Path, filesystem: Callable[[Path], str]) -> None:
    """`StoreError` where several machines may write, since SQLite's locks do not hold there."""
    kind = filesystem(path)
    if kind.lower() in NETWORK:
        raise StoreError(
            f"{path} is on a network file system ({kind}), where SQLite can lose what it wrote. "
            f"Use a path on a local disk as `storage`, or a PostgreSQL database, or the service"
        )


def explain(path: Path, error: DBAPIError) -> StoreError:
    """The error with the file's name and what to do about it."""
    name = getattr(error.orig, "sqlite_errorname", "")
    for prefix, explanation in _EXPLANATIONS.items():
        if name.startswith(prefix):
            return StoreError(f"the database {path} failed: {explanation} ({name}: {error.orig})")
    return StoreError(f"the database {path} failed: {error.orig}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder {folder} cannot be made: {error.strerror} ({error.filename}). Choose "
            f"another `storage`, or make this one writable"
        ) from error


def _connect(path: Path, read_only: bool, durable: Durable) -> sqlite3.Connection:
    if not read_only:
        connection = _open(path, "rwc")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durable]}")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
    try:
        # Not mode=ro, which would leave files behind: only a writer tidies up when it closes.
        connection = _open(path, "rw")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT 1 FROM sqlite_schema")
    except sqlite3.OperationalError:
        if Path(f"{path}-wal").exists():
            raise
        connection = _open(path, "ro&immutable=1")  # a read-only folder: nobody can be writing
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """No implicit transactions: the store begins its own. A URI holds any path, quoted."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
