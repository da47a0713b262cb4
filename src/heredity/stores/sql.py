"""Event logs in a database, SQLite or PostgreSQL, in SQL that both understand.

One row is one event and its primary key is (study, seq), so of two writers at the same seq exactly
one succeeds. This file knows rows of text and no meaning of any event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import version
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    delete,
    func,
    insert,
    inspect,
    literal_column,
    select,
)

from heredity.crash import crash_point
from heredity.errors import Conflict, NotFound, StoreError, UsageError, did_you_mean
from heredity.evolution.events import Event
from heredity.stores import tables
from heredity.stores.base import Lease, Point
from heredity.stores.codec import Row, check_finite, decode, encode
from heredity.stores.connection import SharedConnection
from heredity.stores.database import ConnectionLost, Database, Held

_ATTEMPTS = 5
"""How often a block is written anew after the connection broke off meanwhile."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _lasting(
    method: Callable[Concatenate[SqlStore, _P], _T],
) -> Callable[Concatenate[SqlStore, _P], _T]:
    """Once more if the connection was lost: for what may as well be done twice."""

    @wraps(method)
    def done(self: SqlStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(self, *args, **kwargs)
        except ConnectionLost:
            self._shared.reconnect()
            return method(self, *args, **kwargs)

    return done


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows to append to a study after a seq, or to begin it with."""

    study: str
    after: int
    rows: list[Row]
    begins: bool = False

    @property
    def last(self) -> int:
        return self.after + len(self.rows)


class SqlStore:
    """A Store in a database. Threads of one process may share it, behind one lock.

    A server that is lost is waited for, and what was being written then is neither lost nor
    written twice. Raises `StoreError` for what cannot be reached, is no such database or is of a
    newer version.
    """

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        self._database = database
        self._read_only = read_only
        self._last = tables.LAST.add_columns(literal_column(database.transaction, Text()))
        self._renew = tables.upsert(tables.leases, until_s=f"{database.now} + :for_s")
        now: ColumnElement[float] = literal_column(f"(SELECT {database.now})")
        self._leases = tables.LEASES.add_columns(tables.leases.c.until_s - now)
        self._shared = SharedConnection(database, read_only=read_only)
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise

    def create(self, study: str, events: Sequence[Event]) -> int:
        """Begin a study with its first events; `Conflict` if the name is taken."""
        return self._write(_Block(study, 0, [encode(event) for event in events], begins=True))

    def append(self, study: str, events: Sequence[Event], expected: int) -> int:
        """Append a block; `Conflict` if the log's last seq is not `expected`."""
        return self._write(_Block(study, expected, [encode(event) for event in events]))

    @_lasting
    def read(self, study: str, after: int = 0) -> Sequence[Event]:
        """The events with seq > `after`, in order."""
        with self._shared.reading() as connection:
            rows = connection.execute(tables.READ, {"study_": study, "after": after})
            events = decode(rows, after + 1)
            if not events:
                self._require(connection, study)
            return events

    @_lasting
    def studies(self) -> Sequence[str]:
        """The names of all studies, oldest first."""
        with self._shared.reading() as connection:
            return self._names(connection)

    def remove(self, study: str) -> None:
        """Forget a study whole."""
        self._require_study(study)
        with self._shared.writing() as connection:
            connection.execute(delete(tables.studies).where(tables.studies.c.name == study))

    @_lasting
    def snapshot(self, study: str) -> tuple[int, bytes] | None:
        """The cached fold as (seq, bytes), or None."""
        table = tables.snapshots
        query = select(table.c.seq, table.c.data).where(table.c.study == study)
        with self._shared.reading() as connection:
            found = connection.execute(query).first()
            if found is None:
                self._require(connection, study)
            return None if found is None else (found.seq, found.data)

    @_lasting
    def save_snapshot(self, study: str, seq: int, data: bytes) -> None:
        """Replace the cached fold."""
        with self._shared.writing() as connection:
            self._require(connection, study)
            values = {"study": study, "seq": seq, "data": data}
            connection.execute(tables.SAVE_SNAPSHOT, values)

    @_lasting
    def record(self, study: str, points: Sequence[Point]) -> None:
        """Add points to learning curves; one of the same trial and step replaces the earlier."""
        for point in points:
            check_finite(point.metrics, f"point of trial {point.trial} at step {point.step}")
        latest = {(point.trial, point.step): point for point in points}
        rows = [  # in order, so that two writers never wait for each other
            {"study": study, "trial": trial, "step": step, "metrics": json.dumps(dict(p.metrics))}
            for (trial, step), p in sorted(latest.items())
        ]
        with self._shared.writing() as connection:
            self._require(connection, study)
            if rows:
                connection.execute(tables.RECORD, rows)

    @_lasting
    def curve(self, study: str, trial: int) -> Sequence[Point]:
        """The recorded points of a trial, by step."""
        table = tables.points
        points = select(table.c.step, table.c.metrics).order_by(table.c.step)
        query = points.where(table.c.study == study, table.c.trial == trial)
        with self._shared.reading() as connection:
            self._require(connection, study)
            rows = connection.execute(query).all()
        return [Point(trial, step, json.loads(metrics)) for step, metrics in rows]

    @_lasting
    def heartbeat(self, study: str, driver: str, alive_s: float) -> None:
        """Note that a driver has been alive for `alive_s` seconds."""
        values = {"study": study, "driver": driver, "alive_s": alive_s}
        with self._shared.writing() as connection:
            self._require(connection, study)
            connection.execute(tables.HEARTBEAT, values)

    @_lasting
    def alive_s(self, study: str) -> float:
        """Seconds that drivers have been alive, over all runs of the study."""
        table = tables.heartbeats
        total = select(func.sum(table.c.alive_s)).where(table.c.study == study)
        with self._shared.reading() as connection:
            self._require(connection, study)
            return float(connection.execute(total).scalar() or 0.0)

    @_lasting
    def lease(self, study: str, trial: int, attempt: int, worker: str, for_s: float) -> None:
        """Begin or renew the lease of a trial."""
        values = {"study": study, "trial": trial, "attempt": attempt, "worker": worker}
        with self._shared.writing() as connection:
            self._require(connection, study)
            connection.execute(self._renew, values | {"for_s": for_s})

    @_lasting
    def leases(self, study: str) -> Sequence[Lease]:
        """The leases that nobody has ended, by trial."""
        with self._shared.reading() as connection:
            self._require(connection, study)
            if not self._leased:
                return []
            return [Lease(*row) for row in connection.execute(self._leases, {"study_": study})]

    @_lasting
    def end_lease(self, study: str, trial: int) -> None:
        """Forget the lease of a trial, if there is one."""
        with self._shared.writing() as connection:
            ended = connection.execute(tables.END_LEASE, {"study_": study, "trial_": trial})
            if ended.rowcount == 0:
                self._require(connection, study)

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Hold the study against other drivers, until the process ends."""
        self._require_study(study)
        with ExitStack() as held:
            try:
                held.enter_context(self._database.hold(study, self._shared.reading))
            except Held as holder:
                raise UsageError(
                    f"study {study!r} is being run by {holder}. Wait for it to end, stop it, or "
                    f"only look at it: heredity status {study}"
                ) from None
            except OSError as error:
                raise _not_lockable(study, error) from error
            yield

    @_lasting
    def holder(self, study: str) -> str | None:
        """Who drives the study now; None if nobody does."""
        self._require_study(study)
        try:
            return self._database.holder(study, self._shared.reading)
        except OSError as error:
            raise _not_lockable(study, error) from error

    def close(self) -> None:
        """Let go of the database; the store cannot be used any more."""
        self._shared.close()

    # Writing a block ------------------------------------------------------------------------------

    def _write(self, block: _Block) -> int:
        """Write a block, once: where the connection broke off, write it again, and if it is there
        after all, well."""
        unknown: set[str] = set()
        for _ in range(_ATTEMPTS):
            transaction = ""
            try:
                with self._shared.writing() as connection:
                    transaction = self._may_follow(connection, block)
                    self._insert(connection, block)
                    crash_point("append.before")
                crash_point("append.after")
                return block.last
            except Conflict:
                if not self._is_written(block, unknown):
                    raise
                return block.last
            except ConnectionLost:
                unknown.add(transaction)
                self._shared.reconnect()
        raise StoreError(
            f"the connection to {self._database} broke off {_ATTEMPTS} times while a block of "
            f"{len(block.rows)} events was written. See the server's log, then run the same again"
        )

    def _may_follow(self, connection: Connection, block: _Block) -> str:
        """See that the log ends where the block begins. The name of this transaction."""
        last, transaction = connection.execute(self._last, {"study_": block.study}).one()
        if block.begins:
            self._begin(connection, block.study)
            return str(transaction)
        if last is None:
            self._require(connection, block.study)
        if (last or 0) != block.after:
            raise Conflict(f"study {block.study!r} stands at event {last}, not {block.after}")
        return str(transaction)

    def _begin(self, connection: Connection, study: str) -> None:
        if connection.execute(tables.BEGIN_STUDY, {"name": study}).rowcount == 0:
            raise Conflict(f"there is already a study {study!r} in {self._database}")

    def _insert(self, connection: Connection, block: _Block) -> None:
        rows = [
            {"study": block.study, "seq": seq, "type": name, "format": format_, "data": data}
            for seq, (name, format_, data) in enumerate(block.rows, block.after + 1)
        ]
        if rows and connection.execute(tables.INSERT_EVENTS, rows).rowcount < len(rows):
            raise Conflict(f"another writer was first in study {block.study!r}")

    @_lasting
    def _is_written(self, block: _Block, transactions: set[str]) -> bool:
        """Whether one of `transactions` wrote the block: the same rows by another writer do not
        count."""
        if not transactions:
            return False
        columns = literal_column(self._database.written_by), *tables.READ.selected_columns
        seq = tables.events.c.seq
        query = tables.READ.with_only_columns(*columns).where(seq <= block.last)
        with self._shared.reading() as connection:
            found = connection.execute(query, {"study_": block.study, "after": block.after}).all()
        written = [tuple(row[1:]) for row in found if row[0] in transactions]
        return written == block.rows

    # What is there --------------------------------------------------------------------------------

    @_lasting
    def _require_study(self, study: str) -> None:
        with self._shared.reading() as connection:
            self._require(connection, study)

    def _require(self, connection: Connection, study: str) -> None:
        if connection.execute(tables.EXISTS, {"study_": study}).first() is None:
            names = self._names(connection)
            raise NotFound(
                f"there is no study {study!r} in {self._database}.{did_you_mean(study, names)}"
            )

    def _names(self, connection: Connection) -> list[str]:
        return list(
            connection.execute(
                select(tables.studies.c.name).order_by(tables.studies.c.id)
            ).scalars()
        )

    def _check_schema(self) -> None:
        with self._shared.reading() as connection:
            present = set(inspect(connection).get_table_names())
        self._leased = tables.leases.name in present or not self._read_only
        if not present.issuperset(tables.metadata.tables):
            self._create_missing(present)
        with self._shared.reading() as connection:
            meta = {row.key: row.value for row in connection.execute(select(tables.meta))}
        if int(meta["schema"]) > tables.SCHEMA:
            raise StoreError(
                f"{self._database} has tables of version {meta['schema']}, made by heredity "
                f"{meta['heredity']}; this one reads versions up to {tables.SCHEMA}. "
                f"Upgrade it: pip install --upgrade heredity"
            )

    def _create_missing(self, present: set[str]) -> None:
        """Make the tables that are not there: all, or those newer than the database."""
        if self._read_only and tables.meta.name in present:
            return
        if self._read_only:
            raise NotFound(f"{self._database} holds no studies: nothing has ever been run there")
        with self._shared.writing() as connection:
            self._database.prepare(connection)
            tables.metadata.create_all(connection)
            if connection.execute(select(tables.meta)).first() is None:
                values = {"schema": str(tables.SCHEMA), "heredity": version("heredity")}
                rows = [{"key": key, "value": value} for key, value in values.items()]
                connection.execute(insert(tables.meta), rows)


def _not_lockable(study: str, error: OSError) -> StoreError:
    return StoreError(
        f"study {study!r} cannot be locked: {error.strerror} ({error.filename}). Make the folder "
        f"writable, or choose another `storage`"
    )
