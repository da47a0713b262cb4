"""What is peculiar to SQLite: opening a file, saying plainly what is wrong with one, locks.

Two processes may write: the log is in WAL mode, a writer waits its turn up to `BUSY_TIMEOUT_S`.
This file knows nothing of tables.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from heredity.errors import StoreError
from heredity.stores import lockfile
from heredity.stores.database import Session
from heredity.stores.filesystem import NETWORK, filesystem_type

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


@dataclass(frozen=True)
class Sqlite:
    """The SQLite database at `path`.

    What has been appended survives the death of any process; with `durable="power"` also the loss
    of power, at the price of waiting for the disk at each append. `filesystem` tells the kind of
    file system of a path, `clock` the time in seconds by which leases end.
    """

    path: Path
    durable: Durable = "process"
    filesystem: Callable[[Path], str] = filesystem_type
    clock: Callable[[], float] = time.time

    begin: ClassVar[str] = "BEGIN IMMEDIATE"
    now: ClassVar[str] = "now_s()"
    transaction: ClassVar[str] = "''"
    written_by: ClassVar[str] = "''"

    def __str__(self) -> str:
        return str(self.path)

    def open_engine(self, *, read_only: bool) -> Engine:
        """An engine with one connection, which any thread may use. `StoreError` where several
        machines may write, since SQLite's locks do not hold there."""
        self._refuse_network()
        if not read_only:
            _make_folder(self.path.parent)

        def connect() -> sqlite3.Connection:
            connection = _connect(self.path, read_only, self.durable)
            connection.create_function("now_s", 0, self.clock)
            return connection

        return create_engine("sqlite://", creator=connect, poolclass=StaticPool)

    def prepare(self, connection: Connection) -> None:
        """Nothing: who writes is alone."""

    def explain(self, error: DBAPIError) -> StoreError:
        """The error with the file's name and what to do about it."""
        name = getattr(error.orig, "sqlite_errorname", "")
        for prefix, explanation in _EXPLANATIONS.items():
            if name.startswith(prefix):
                return StoreError(
                    f"the database {self} failed: {explanation} ({name}: {error.orig})"
                )
        return StoreError(f"the database {self} failed: {error.orig}")

    @contextmanager
    def hold(self, study: str, session: Session) -> Iterator[None]:
        """Hold a study against other drivers on this machine, or raise `Held`."""
        with lockfile.hold(self._lock_path(study)):
            yield

    def holder(self, study: str, session: Session) -> str | None:
        """Who holds a study on this machine; None if nobody does."""
        return lockfile.holder(self._lock_path(study))

    def _lock_path(self, study: str) -> Path:
        name = quote(study, safe=" ")
        if len(name) > 100:
            name = hashlib.sha256(study.encode()).hexdigest()
        return self.path.with_name(f"{self.path.name}.{name}.lock")

    def _refuse_network(self) -> None:
        kind = self.filesystem(self.path)
        if kind.lower() in NETWORK:
            raise StoreError(
                f"{self} is on a network file system ({kind}), where SQLite can lose what it "
                f"wrote. Use a path on a local disk as `storage`, or a PostgreSQL database, or the "
                f"service"
            )


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
        _use_wal(connection)
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


def _use_wal(connection: sqlite3.Connection) -> None:
    """Try until it succeeds: of processes that open a new file at once, SQLite lets one do it and
    refuses the others without waiting."""
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """No implicit transactions: the store begins its own. A URI holds any path, quoted."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
