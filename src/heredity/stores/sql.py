"""Event logs in a database: SQLite today, in SQL that PostgreSQL understands as well.

One row is one event and its primary key is (study, seq), so of two writers at the same seq exactly
one succeeds. This file knows rows of text and no meaning of any event.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, delete, func, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from heredity.crash import crash_point
from heredity.errors import Conflict, NotFound, StoreError, UsageError, did_you_mean
from heredity.evolution.events import Event
from heredity.stores import tables
from heredity.stores.base import Lease, Point
from heredity.stores.codec import check_finite, decode, encode
from heredity.stores.filesystem import filesystem_type
from heredity.stores.lockfile import Held, hold, holder
from heredity.stores.sqlite import Durable, explain, open_engine, refuse_network


class SqlStore:
    """A Store in an SQLite database. Threads of one process may share it, behind one lock.

    What has been appended survives the death of any process; with `durable="power"` also the loss
    of power, at the price of waiting for the disk at each append. `filesystem` tells the kind of
    file system of a path, `clock` the time by which leases end. Raises `StoreError` for a file that
    is not such a database, is of a newer version, or lies where SQLite is not safe.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        durable: Durable = "process",
        filesystem: Callable[[Path], str] = filesystem_type,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._read_only = read_only
        self._mutex = threading.Lock()
        refuse_network(path, filesystem)
        self._engine = open_engine(path, read_only=read_only, durable=durable)
        self._connection = self._connect()
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise

    def create(self, study: str, events: Sequence[Event]) -> int:
        """Begin a study with its first events; `Conflict` if the name is taken."""
        rows = _rows(study, events, 0)
        with self._writing() as connection:
            if connection.execute(tables.EXISTS, {"study_": study}).first():
                raise Conflict(f"there is already a study {study!r} in {self._path}")
            connection.execute(insert(tables.studies), {"name": study})
            self._insert(connection, study, rows)
            crash_point("append.before")
        crash_point("append.after")
        return len(rows)

    def append(self, study: str, events: Sequence[Event], expected: int) -> int:
        """Append a block; `Conflict` if the log's last seq is not `expected`."""
        rows = _rows(study, events, expected)
        with self._writing() as connection:
            last = self._last(connection, study)
            if last != expected:
                raise Conflict(f"study {study!r} stands at event {last}, not {expected}")
            self._insert(connection, study, rows)
            crash_point("append.before")
        crash_point("append.after")
        return expected + len(rows)

    def read(self, study: str, after: int = 0) -> Sequence[Event]:
        """The events with seq > `after`, in order."""
        with self._reading() as connection:
            rows = connection.execute(tables.READ, {"study_": study, "after": after})
            events = decode(rows, after + 1)
            if not events:
                self._require(connection, study)
            return events

    def studies(self) -> Sequence[str]:
        """The names of all studies, oldest first."""
        with self._reading() as connection:
            return self._names(connection)

    def remove(self, study: str) -> None:
        """Forget a study whole."""
        with self._writing() as connection:
            self._require(connection, study)
            connection.execute(delete(tables.studies).where(tables.studies.c.name == study))

    def snapshot(self, study: str) -> tuple[int, bytes] | None:
        """The cached fold as (seq, bytes), or None."""
        table = tables.snapshots
        query = select(table.c.seq, table.c.data).where(table.c.study == study)
        with self._reading() as connection:
            found = connection.execute(query).first()
            if found is None:
                self._require(connection, study)
            return None if found is None else (found.seq, found.data)

    def save_snapshot(self, study: str, seq: int, data: bytes) -> None:
        """Replace the cached fold."""
        with self._writing() as connection:
            self._require(connection, study)
            connection.execute(delete(tables.snapshots).where(tables.snapshots.c.study == study))
            connection.execute(insert(tables.snapshots), {"study": study, "seq": seq, "data": data})

    def record(self, study: str, points: Sequence[Point]) -> None:
        """Add points to learning curves; one of the same trial and step replaces the earlier."""
        for point in points:
            check_finite(point.metrics, f"point of trial {point.trial} at step {point.step}")
        latest = {(point.trial, point.step): dict(point.metrics) for point in points}
        old = [{"study_": study, "trial_": trial, "step_": step} for trial, step in latest]
        new = [
            {"study": study, "trial": trial, "step": step, "metrics": json.dumps(metrics)}
            for (trial, step), metrics in latest.items()
        ]
        with self._writing() as connection:
            self._require(connection, study)
            if new:
                connection.execute(tables.FORGET_POINT, old)
                connection.execute(insert(tables.points), new)

    def curve(self, study: str, trial: int) -> Sequence[Point]:
        """The recorded points of a trial, by step."""
        table = tables.points
        points = select(table.c.step, table.c.metrics).order_by(table.c.step)
        query = points.where(table.c.study == study, table.c.trial == trial)
        with self._reading() as connection:
            self._require(connection, study)
            rows = connection.execute(query).all()
        return [Point(trial, step, json.loads(metrics)) for step, metrics in rows]

    def heartbeat(self, study: str, driver: str, alive_s: float) -> None:
        """Note that a driver has been alive for `alive_s` seconds."""
        table = tables.heartbeats
        beat = update(table).where(table.c.study == study, table.c.driver == driver)
        with self._writing() as connection:
            self._require(connection, study)
            if connection.execute(beat, {"alive_s": alive_s}).rowcount == 0:
                values = {"study": study, "driver": driver, "alive_s": alive_s}
                connection.execute(insert(table), values)

    def alive_s(self, study: str) -> float:
        """Seconds that drivers have been alive, over all runs of the study."""
        table = tables.heartbeats
        total = select(func.sum(table.c.alive_s)).where(table.c.study == study)
        with self._reading() as connection:
            self._require(connection, study)
            return float(connection.execute(total).scalar() or 0.0)

    def lease(self, study: str, trial: int, attempt: int, worker: str, for_s: float) -> None:
        """Begin or renew the lease of a trial."""
        values = {"study": study, "trial": trial, "attempt": attempt, "worker": worker}
        with self._writing() as connection:
            until_s = self._clock() + for_s
            if connection.execute(tables.LEASE, values | {"until_s": until_s}).rowcount == 0:
                self._require(connection, study)

    def leases(self, study: str) -> Sequence[Lease]:
        """The leases that nobody has ended, by trial."""
        with self._reading() as connection:
            rows = (
                connection.execute(tables.LEASES, {"study_": study}).all() if self._leased else []
            )
            if not rows:
                self._require(connection, study)
            now_s = self._clock()
        return [Lease(*row[:3], left_s=row.until_s - now_s) for row in rows]

    def end_lease(self, study: str, trial: int) -> None:
        """Forget the lease of a trial, if there is one."""
        with self._writing() as connection:
            ended = connection.execute(tables.END_LEASE, {"study_": study, "trial_": trial})
            if ended.rowcount == 0:
                self._require(connection, study)

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Hold the study against other drivers on this machine, until the process ends."""
        with self._reading() as connection:
            self._require(connection, study)
        with ExitStack() as held:
            try:
                held.enter_context(hold(self._lock_path(study)))
            except Held as holder:
                raise UsageError(
                    f"study {study!r} is being run by {holder}. Wait for it to end, stop it, or "
                    f"only look at it: heredity status {study}"
                ) from None
            except OSError as error:
                raise StoreError(
                    f"study {study!r} cannot be locked: {error.strerror} ({error.filename}). Make "
                    f"the folder writable, or choose another `storage`"
                ) from error
            yield

    def holder(self, study: str) -> str | None:
        """Who drives the study now, on this machine; None if nobody does."""
        with self._reading() as connection:
            self._require(connection, study)
        return holder(self._lock_path(study))

    def close(self) -> None:
        """Let go of the database; the store cannot be used any more."""
        self._connection.close()
        self._engine.dispose()

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except DBAPIError as error:
            raise explain(self._path, error) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._mutex:
            try:
                with self._connection.begin():
                    yield self._connection
            except DBAPIError as error:
                raise explain(self._path, error) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction that is alone in writing from its first statement to its commit."""
        if self._read_only:
            raise UsageError(f"{self._path} was opened to read only")
        with self._reading() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def _insert(self, connection: Connection, study: str, rows: list[dict[str, object]]) -> None:
        if not rows:
            return
        try:
            connection.execute(tables.INSERT_EVENTS, rows)
        except IntegrityError as error:
            raise Conflict(f"another writer was first in study {study!r}") from error

    def _last(self, connection: Connection, study: str) -> int:
        last = connection.execute(tables.LAST, {"study_": study}).scalar()
        if last is None:
            self._require(connection, study)
        return last or 0

    def _require(self, connection: Connection, study: str) -> None:
        if connection.execute(tables.EXISTS, {"study_": study}).first() is None:
            names = self._names(connection)
            raise NotFound(
                f"there is no study {study!r} in {self._path}.{did_you_mean(study, names)}"
            )

    def _names(self, connection: Connection) -> list[str]:
        return list(
            connection.execute(
                select(tables.studies.c.name).order_by(tables.studies.c.id)
            ).scalars()
        )

    def _lock_path(self, study: str) -> Path:
        name = quote(study, safe=" ")
        if len(name) > 100:
            name = hashlib.sha256(study.encode()).hexdigest()
        return self._path.with_name(f"{self._path.name}.{name}.lock")

    def _check_schema(self) -> None:
        with self._reading() as connection:
            present = set(inspect(connection).get_table_names())
        self._leased = tables.leases.name in present or not self._read_only
        if not present.issuperset(tables.metadata.tables):
            self._create_missing(present)
        with self._reading() as connection:
            meta = {row.key: row.value for row in connection.execute(select(tables.meta))}
        if int(meta["schema"]) > tables.SCHEMA:
            raise StoreError(
                f"{self._path} has tables of version {meta['schema']}, made by heredity "
                f"{meta['heredity']}; this one reads versions up to {tables.SCHEMA}. "
                f"Upgrade it: pip install --upgrade heredity"
            )

    def _create_missing(self, present: set[str]) -> None:
        """Make the tables that are not there: all, or those newer than the database."""
        if self._read_only and tables.meta.name in present:
            return
        if self._read_only:
            raise NotFound(f"{self._path} holds no studies: nothing has ever been run there")
        with self._writing() as connection:
            tables.metadata.create_all(connection)
            if connection.execute(select(tables.meta)).first() is None:
                values = {"schema": str(tables.SCHEMA), "heredity": version("heredity")}
                rows = [{"key": key, "value": value} for key, value in values.items()]
                connection.execute(insert(tables.meta), rows)


def _rows(study: str, events: Sequence[Event], after: int) -> list[dict[str, object]]:
    rows = enumerate(map(encode, events), after + 1)
    return [
        {"study": study, "seq": seq, "type": name, "format": format_, "data": data}
        for seq, (name, format_, data) in rows
    ]
