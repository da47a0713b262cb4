"""The tables of a database of studies, and the statements that are worth building once.

Written in SQLAlchemy Core, so that SQLite and PostgreSQL are given the same tables. This file knows
nothing of connections.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
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
    Column("step", Integer, primary_key=True, autoincrement=False),
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
INSERT_EVENTS = insert(events)
EXISTS = select(studies.c.id).where(studies.c.name == _study)
LAST = select(func.max(events.c.seq)).where(events.c.study == _study)
READ = (
    select(events.c.type, events.c.format, events.c.data)
    .where(events.c.study == _study, events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
)
LEASES = (
    select(leases.c.trial, leases.c.attempt, leases.c.worker, leases.c.until_s)
    .where(leases.c.study == _study)
    .order_by(leases.c.trial)
)
END_LEASE = delete(leases).where(leases.c.study == _study, leases.c.trial == bindparam("trial_"))
LEASE = text(
    """
    INSERT INTO leases (study, trial, attempt, worker, until_s)
    SELECT name, :trial, :attempt, :worker, :until_s FROM studies WHERE name = :study
    ON CONFLICT (study, trial) DO UPDATE
    SET attempt = excluded.attempt, worker = excluded.worker, until_s = excluded.until_s
    """
)
"""No row, where there is no such study."""
FORGET_POINT = delete(points).where(
    points.c.study == _study,
    points.c.trial == bindparam("trial_"),
    points.c.step == bindparam("step_"),
)
