"""What is peculiar to PostgreSQL: reaching a server, saying plainly what is wrong, locks.

Tables are in a schema of their own, so that they meet no others in a shared database. This file
knows nothing of tables, and shows no password.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from heredity.errors import MissingExtra, StoreError, UsageError
from heredity.stores.database import Held, Session
from heredity.stores.lockfile import me

SCHEMA = "heredity"

# What it says of a connection that is lost, the store says better: unless somebody listens.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

_OLDEST = 13
"""The oldest version with `pg_current_xact_id`."""

_DEFAULTS = {
    # A server that has vanished without a word is given up after a minute, not two hours.
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Of a connection, unless the address says otherwise."""

_SETTINGS = {
    "search_path": SCHEMA,
    "default_transaction_isolation": "read committed",
    # A machine that has vanished must not keep a study's lock, nor a half-written block.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "60s",
}

_EXPLANATIONS = {
    "53100": "the server's disk is full. Nothing in the log is lost: free some space there",
    "53300": "it has no connection to spare. Close some, or raise the server's max_connections",
    "42501": (
        "this user may not do that. The first run makes the schema `heredity`: let a user with "
        "CREATE on the database run it, or GRANT this one CREATE on the database"
    ),
    "25006": "it is read-only, as a standby is. Give the address of the primary as `storage`",
    "55P03": "another program has kept it locked for a minute. See pg_stat_activity, then go on",
    "57014": "the server cancelled a statement; its time limit for this user may be too short",
}
"""By SQLSTATE."""

_HOLDER = text(
    """
    SELECT activity.application_name
    FROM pg_locks AS locks JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (CAST(locks.classid AS bigint) << 32 | CAST(locks.objid AS bigint)) = :key
    """
)
_LABEL = "heredity: "


class Postgres:
    """The database at an address such as `postgresql://user@host/name`, as libpq understands it.

    What has been appended is on the server's disk. Raises `UsageError` for what is no address, and
    `MissingExtra` without psycopg.
    """

    begin: ClassVar[str] = "BEGIN"
    now: ClassVar[str] = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
    transaction: ClassVar[str] = "CAST(CAST(pg_current_xact_id() AS xid) AS text)"
    written_by: ClassVar[str] = "CAST(xmin AS text)"

    def __init__(self, url: str) -> None:
        self._options = _parse(url)
        self._held: set[str] = set()

    def __str__(self) -> str:
        user, host, port, name = map(self._options.get, ("user", "host", "port", "dbname"))
        place = f"{host or 'localhost'}:{port}" if port else f"{host or 'localhost'}"
        return f"postgresql://{f'{user}@' if user else ''}{place}/{name or user or ''}"

    def open_engine(self, *, read_only: bool) -> Engine:
        """An engine that connects when it is asked to, and after a loss again."""
        # A server's address is not in the engine, where an error could show it.
        return create_engine(
            "postgresql+psycopg://", creator=lambda: self._connect(read_only), poolclass=NullPool
        )

    def prepare(self, connection: Connection) -> None:
        """Be alone in making tables, and make the schema they go to."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("")})
        schemas = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
        if connection.execute(schemas, {"name": SCHEMA}).first() is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")

    def explain(self, error: DBAPIError) -> StoreError:
        """The error with the database's name and what to do about it."""
        said = " ".join(str(error.orig).split())
        explanation = _EXPLANATIONS.get(getattr(error.orig, "sqlstate", None) or "")
        if explanation:
            return StoreError(f"the database {self} failed: {explanation} ({said})")
        return StoreError(f"the database {self} failed: {said}")

    @contextmanager
    def hold(self, study: str, session: Session) -> Iterator[None]:
        """Hold a study against other drivers of the database, or raise `Held`.

        The lock is the server's, ends with the connection and is taken again after a loss.
        """
        with session() as connection:
            if study in self._held or not _try_lock(connection, study):
                raise Held(_holder(connection, study) or "another driver")
            self._held.add(study)
        try:
            yield
        finally:
            self._held.discard(study)
            with suppress(StoreError), session() as connection:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _key(study)})

    def holder(self, study: str, session: Session) -> str | None:
        """Who holds a study; None if nobody does."""
        with session() as connection:
            return _holder(connection, study)

    def _connect(self, read_only: bool) -> Any:
        import psycopg

        # Autocommit: a transaction begins when the store says so, and reading needs none.
        connection = psycopg.connect(**self._options, autocommit=True)
        try:
            self._require_version(connection.info.server_version)
            settings = self._settings(read_only)
            each = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            connection.execute(f"SELECT {each}", [*chain(*settings.items())])
            for study in self._held:
                connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(study),))
            # A server may be set to acknowledge what it has not written yet.
            connection.execute(
                "SELECT set_config('synchronous_commit', 'local', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _settings(self, read_only: bool) -> dict[str, str]:
        settings = _SETTINGS | {"application_name": (_LABEL + me())[:63]}
        return settings | ({"default_transaction_read_only": "on"} if read_only else {})

    def _require_version(self, number: int) -> None:
        if number < _OLDEST * 10_000:
            raise StoreError(
                f"{self} is PostgreSQL {number // 10_000}; studies need {_OLDEST} or newer"
            )


def _parse(url: str) -> dict[str, Any]:
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("postgres", "storage='postgresql://…'", "psycopg") from None
    try:
        given = psycopg.conninfo.conninfo_to_dict(url.replace("postgresql+psycopg:", "postgresql:"))
    except psycopg.Error:
        # What libpq says of an address may quote the password.
        raise UsageError(
            "storage='postgresql://…' cannot be understood. It is written as "
            "postgresql://user:password@host:port/database; in user and password, signs such as "
            "@ : / % # are written as %40 %3A %2F %25 %23. A password may also stand in ~/.pgpass"
        ) from None
    return _DEFAULTS | given


def _key(study: str) -> int:
    """The number of a study's lock: 63 bits, so that its halves are never negative."""
    digest = hashlib.sha256(f"{SCHEMA}\n{study}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def _try_lock(connection: Connection, study: str) -> bool:
    query = text("SELECT pg_try_advisory_lock(:key)")
    return bool(connection.execute(query, {"key": _key(study)}).scalar())


def _holder(connection: Connection, study: str) -> str | None:
    name = connection.execute(_HOLDER, {"key": _key(study)}).scalar()
    return None if name is None else str(name).removeprefix(_LABEL) or "another program"
