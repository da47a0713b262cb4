"""The tables of a database of studies, and the statements that are worth building once.

Written in SQLAlchemy Core, so that SQLite and PostgreSQL are given the same tables. This file knows
nothing of connections.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    bindparam,
    delete,
    func,
    select,
    text,
)

SCHEMA = 1
"""The tables' version. A database of a newer one is refused, an older one is brought up to date."""

metadata = MetaData()


def _study_column() -> Column[str]:
    owner = ForeignKey("studies.name", ondelete="CASCADE")
    return Column("study", Text, owner, primary_key=True)


meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text))
studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    sqlite_autoincrement=True,
)
events = Table(
    "events",
    metadata,
    _study_column(),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("format", Integer, nullable=False),
    Column("data", Text, nullable=False),
    Column("at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    sqlite_with_rowid=False,
)
snapshots = Table(
    "snapshots",
    metadata,
    _study_column(),
    Column("seq", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
points = Table(
    "points",
    metadata,
    _study_column(),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("metrics", Text, nullable=False),
    sqlite_with_rowid=False,
)
heartbeats = Table(
    "heartbeats",
    metadata,
    _study_column(),
    Column("driver", Text, primary_key=True),
    Column("alive_s", Float, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    _study_column(),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("until_s", Float(53), nullable=False),
    sqlite_with_rowid=False,
)

_study = bindparam("study_", type_=Text())
EXISTS = select(studies.c.id).where(studies.c.name == _study)
LAST = select(func.max(events.c.seq)).where(events.c.study == _study)
READ = (
    select(events.c.type, events.c.format, events.c.data)
    .where(events.c.study == _study, events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
)
LEASES = (
    select(leases.c.trial, leases.c.attempt, leases.c.worker)
    .where(leases.c.study == _study)
    .order_by(leases.c.trial)
)
END_LEASE = delete(leases).where(leases.c.study == _study, leases.c.trial == bindparam("trial_"))


def upsert(table: Table, **expressions: str) -> TextClause:
    """Insert a row, or replace the one that has its key; alike in both databases.

    Every column is a parameter of its name, but for those given as SQL.
    """
    names = [column.name for column in table.columns if column.server_default is None]
    key = {column.name for column in table.primary_key}
    values = ", ".join(expressions.get(name, f":{name}") for name in names)
    replaced = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {replaced}"
    )


def _insert_unless_there(table: Table, *names: str) -> TextClause:
    """Insert a row unless its key is taken, which the count of rows tells: no error, for that would
    end PostgreSQL's transaction and fill the server's log."""
    values = ", ".join(f":{name}" for name in names)
    return text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"
    ).execution_options(preserve_rowcount=True)


BEGIN_STUDY = _insert_unless_there(studies, "name")
INSERT_EVENTS = _insert_unless_there(events, "study", "seq", "type", "format", "data")
SAVE_SNAPSHOT = upsert(snapshots)
RECORD = upsert(points)
HEARTBEAT = upsert(heartbeats)
