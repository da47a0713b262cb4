"""The store in SQLite is a Store, for all that happens to files and processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from heredity.errors import NotFound, StoreError, UsageError
from heredity.evolution.events import (
    CheckpointPinned,
    CheckpointUnpinned,
    StudyEnded,
    StudyPaused,
    StudyResumed,
)
from heredity.stores.base import Lease
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Durable, Sqlite
from heredity.testing.clock import FakeClock
from heredity.testing.store_suite import CREATED, StoreSuite

WEIRD = "runs 'a' \"b\"\n ünï %20 ?mode=ro #1 {x}"


class TestSqlStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with closing(SqlStore(Sqlite(tmp_path / WEIRD / "heredity.db"))) as store:
            yield store


class TestPowerProofSqlStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with closing(SqlStore(Sqlite(tmp_path / "heredity.db", durable="power"))) as store:
            yield store


# Processes --------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from heredity.errors import Conflict
from heredity.evolution.events import CheckpointPinned, CheckpointUnpinned
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Sqlite
store, name, blocks = SqlStore(Sqlite(Path(sys.argv[1]))), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
seq = len(store.read("s"))
for block in range(blocks):
    while True:
        try:
            seq = store.append("s", [CheckpointPinned(name), CheckpointUnpinned(block)], seq)
            break
        except Conflict:
            seq += len(store.read("s", seq))
    print(seq, flush=True)
"""


def start_writer(path: Path, name: int, blocks: int, **env: str) -> subprocess.Popen[str]:
    """A process that appends blocks of two events: its name, then the number of the block."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(name), str(blocks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | env,
    )


def blocks_of(path: Path) -> list[tuple[int, int]]:
    """What writers appended, as (name, number of the block); fails on a block cut in two."""
    with closing(SqlStore(Sqlite(path))) as store:
        events = store.read("s", 1)
    assert [type(event) for event in events] == [CheckpointPinned, CheckpointUnpinned] * (
        len(events) // 2
    )
    trials = [event.trial for event in events]  # type: ignore[union-attr]
    return list(zip(trials[::2], trials[1::2], strict=True))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with one study, "s", of one event."""
    path = tmp_path / "heredity.db"
    with closing(SqlStore(Sqlite(path))) as store:
        store.create("s", [CREATED])
    return path


def test_two_processes_lose_nothing(database: Path) -> None:
    writers = [start_writer(database, name, 100) for name in (0, 1)]
    seqs = [int(line) for text in talk(writers) for line in text.split()]
    assert sorted(seqs) == list(range(3, 402, 2))
    found = blocks_of(database)
    for name in (0, 1):
        assert [block for who, block in found if who == name] == list(range(100))


def talk(writers: list[subprocess.Popen[str]]) -> list[str]:
    """Let writers begin together once all are ready; what they printed after."""
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return [writer.communicate()[0] for writer in writers]


@pytest.mark.parametrize(("point", "kept"), [("append.before", 2), ("append.after", 3)])
def test_a_kill_around_the_commit_leaves_whole_blocks(
    database: Path, point: str, kept: int
) -> None:
    writer = start_writer(database, 7, 10, HEREDITY_CRASH_AT=f"{point}:3")
    assert talk([writer]) == ["3\n5\n"]
    assert writer.returncode == -signal.SIGKILL
    assert blocks_of(database) == [(7, block) for block in range(kept)]


@pytest.mark.parametrize("point", ["append.before", "append.after"])
def test_a_kill_while_a_study_begins_leaves_it_whole_or_absent(tmp_path: Path, point: str) -> None:
    code = """
import sys
from pathlib import Path
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Sqlite
from heredity.testing.store_suite import CREATED
SqlStore(Sqlite(Path(sys.argv[1]))).create("s", [CREATED])
"""
    path = tmp_path / "heredity.db"
    env = os.environ | {"HEREDITY_CRASH_AT": f"{point}:1"}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=env)
    assert done.returncode == -signal.SIGKILL
    with closing(SqlStore(Sqlite(path))) as store:
        expected = [] if point == "append.before" else ["s"]
        assert list(store.studies()) == expected


@pytest.mark.parametrize("acknowledged", [1, 17, 60])
def test_a_kill_at_any_time_loses_nothing_acknowledged(database: Path, acknowledged: int) -> None:
    writer = start_writer(database, 7, 100_000)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    lines = [writer.stdout.readline() for _ in range(acknowledged + 1)]
    writer.kill()
    writer.communicate()
    found = blocks_of(database)
    assert lines[-1] == f"{1 + 2 * acknowledged}\n"
    assert len(found) >= acknowledged
    assert found == [(7, block) for block in range(len(found))]


def test_processes_may_make_the_same_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "heredity.db"
    code = """
import sys
from pathlib import Path
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Sqlite
print("ready", flush=True)
sys.stdin.readline()
print(list(SqlStore(Sqlite(Path(sys.argv[1]))).studies()))
"""
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert talk(openers) == ["[]\n"] * 3


def test_a_file_that_is_just_being_made_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heredity.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as maker:
        maker.execute("CREATE TABLE another (x)")
        maker.execute("BEGIN IMMEDIATE")  # SQLite refuses a change of mode at once, without waiting
        monkeypatch.setattr(time, "sleep", lambda _: maker.execute("ROLLBACK"))
        with closing(SqlStore(Sqlite(path))) as store:
            assert list(store.studies()) == []


def test_the_lock_names_its_holder_and_ends_with_it(database: Path) -> None:
    code = """
import sys
from pathlib import Path
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Sqlite
with SqlStore(Sqlite(Path(sys.argv[1]))).lock("s"):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(database)]
    with (
        closing(SqlStore(Sqlite(database))) as store,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
    ):
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UsageError, match=f"pid {holder.pid} on"), store.lock("s"):
            pass
        assert f"pid {holder.pid} on" in (store.holder("s") or "")
        holder.kill()
        holder.wait()
        assert store.holder("s") is None
        with store.lock("s"):
            pass
    assert os.listdir(database.parent) == ["heredity.db"]


def test_leases_end_by_one_clock_for_all_processes(database: Path) -> None:
    clock = FakeClock()
    with (
        closing(SqlStore(Sqlite(database, clock=clock))) as one,
        closing(SqlStore(Sqlite(database, clock=clock))) as other,
    ):
        one.lease("s", 0, 0, "w", 10.0)
        clock.advance(7.0)
        assert list(other.leases("s")) == [Lease(0, 0, "w", 3.0)]
        clock.advance(4.0)
        assert list(other.leases("s")) == [Lease(0, 0, "w", -1.0)]


def test_a_database_from_before_there_were_leases_still_opens(database: Path) -> None:
    edit(database, "DROP TABLE leases")
    with closing(SqlStore(Sqlite(database), read_only=True)) as store:
        assert list(store.leases("s")) == []
        with pytest.raises(NotFound):
            store.leases("missing")
    with closing(SqlStore(Sqlite(database))) as store:
        assert list(store.read("s")) == [CREATED]
        store.lease("s", 0, 0, "w", 10.0)
        assert len(store.leases("s")) == 1


@pytest.mark.parametrize("study", ["a/b", "..", "ü" * 80, "x" * 300, "new\nline"])
def test_any_name_can_be_locked(database: Path, study: str) -> None:
    with closing(SqlStore(Sqlite(database))) as store:
        store.create(study, [CREATED])
        with store.lock(study):
            assert len(list(database.parent.glob("heredity.db.*.lock"))) == 1


def test_a_lock_that_cannot_be_made_is_named(database: Path) -> None:
    with closing(SqlStore(Sqlite(database))) as store:
        (database.parent / "heredity.db.s.lock").mkdir()
        with pytest.raises(StoreError, match=r"'s' cannot be locked.*heredity\.db\.s\.lock"):
            store.lock("s").__enter__()


def test_an_error_of_the_lock_holder_is_its_own(database: Path) -> None:
    with (
        closing(SqlStore(Sqlite(database))) as store,
        pytest.raises(BlockingIOError),
        store.lock("s"),
    ):
        raise BlockingIOError("in the run")


# A failing medium -------------------------------------------------------------------------------


def fill(store: SqlStore) -> int:
    """Append until the store fails; the last seq that was acknowledged."""
    seq = len(store.read("s"))
    while True:
        try:
            seq = store.append("s", [StudyPaused("x" * 2000), StudyResumed()], seq)
        except StoreError:
            return seq


def limit_pages(store: SqlStore, pages: int) -> None:
    """Let SQLite find the disk full beyond so many pages."""
    store._shared._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    store._shared._connection.commit()


def test_a_full_disk_loses_nothing(database: Path) -> None:
    with closing(SqlStore(Sqlite(database))) as store:
        limit_pages(store, 30)
        seq = fill(store)
        assert seq > 1
        with pytest.raises(StoreError, match=r"(?s)heredity\.db.*disk is full.*free some space"):
            store.append("s", [StudyPaused("x" * 2000), StudyResumed()], seq)
        assert len(store.read("s")) == seq
        limit_pages(store, 1000)
        assert store.append("s", [StudyEnded("there is space again")], seq) == seq + 1


def test_a_write_that_the_system_refuses_loses_nothing(database: Path) -> None:
    """A limit on the size of files: what a quota or a small disk does, without being root."""
    code = """
import resource, sys
from pathlib import Path
from heredity.errors import StoreError
from heredity.evolution.events import StudyPaused
from heredity.stores.sql import SqlStore
from heredity.stores.sqlite import Sqlite
store = SqlStore(Sqlite(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
seq = 1
try:
    while True:
        seq = store.append("s", [StudyPaused("x" * 2000)], seq)
except StoreError as error:
    print(seq, len(store.read("s")), error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(database)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    acknowledged, read, message = done.stdout.split(maxsplit=2)
    assert int(acknowledged) == int(read) > 5
    assert str(database) in message
    with closing(SqlStore(Sqlite(database))) as store:
        assert len(store.read("s")) == int(read)


UNPRIVILEGED = """
import os, sys
from contextlib import closing
from pathlib import Path
from heredity.errors import StoreError
from heredity.evolution.events import StudyPaused
from heredity.stores import open_store
from heredity.testing.store_suite import CREATED
folder = Path(sys.argv[1])
with closing(open_store(folder)) as store:  # imports everything while it may
    store.create("s", [CREATED])
os.chmod(folder / "heredity.db", 0o444)
os.chmod(folder, 0o555)
if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not bind root
with closing(open_store(folder, read_only=True)) as store:
    print(len(store.read("s")))
try:
    with closing(open_store(folder)) as store:
        store.append("s", [StudyPaused("")], 1)
except StoreError as error:
    print(error)
try:
    open_store(folder / "new")
except StoreError as error:
    print(error)
"""


def test_a_read_only_folder_is_named_and_can_still_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        os.chmod(folder, 0o755)
        inner = Path(folder) / "runs"
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(inner)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert os.listdir(inner) == ["heredity.db"]
        inner.chmod(0o755)
    events, appended, made = done.stdout.splitlines()
    assert events == "1"
    assert f"{inner}/heredity.db" in appended
    assert "another `storage`" in appended
    assert f"{inner}/new" in made
    assert "another `storage`" in made


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(StoreError, match=r"runs.*another\s+`storage`"):
        SqlStore(Sqlite(tmp_path / "runs" / "heredity.db"))
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "heredity.db"
    path.write_text("no database " * 1000)
    with pytest.raises(StoreError, match=r"heredity\.db.*not an SQLite database.*Move"):
        SqlStore(Sqlite(path))
    assert path.read_text() == "no database " * 1000


def test_a_damaged_database_is_named(database: Path) -> None:
    with closing(SqlStore(Sqlite(database))) as store:
        store.append("s", [StudyPaused("x" * 500)] * 200, 1)
    pages = database.read_bytes()
    database.write_bytes(pages[: len(pages) // 2] + b"\xff" * (len(pages) // 2))
    with (
        pytest.raises(StoreError, match=r"heredity\.db.*damaged"),
        closing(SqlStore(Sqlite(database))) as store,
    ):
        store.read("s")


def test_a_damaged_event_is_named(database: Path) -> None:
    edit(database, "UPDATE events SET data = '{' WHERE seq = 1")
    with (
        closing(SqlStore(Sqlite(database))) as store,
        pytest.raises(StoreError, match="event 1, a StudyCreated"),
    ):
        store.read("s")


def test_a_database_that_stays_locked_is_named(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heredity.stores.sqlite.BUSY_TIMEOUT_S", 0.01)
    with (
        closing(SqlStore(Sqlite(database))) as store,
        closing(sqlite3.connect(database)) as browser,
    ):
        browser.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"heredity\.db.*locked.*Close"):
            store.append("s", [StudyPaused("")], 1)
        browser.rollback()
        assert store.append("s", [StudyPaused("")], 1) == 2


def test_a_newer_schema_is_refused(database: Path) -> None:
    edit(database, "UPDATE meta SET value = '99' WHERE key = 'schema'")
    edit(database, "UPDATE meta SET value = '7.1' WHERE key = 'heredity'")
    with pytest.raises(StoreError, match=r"heredity 7\.1.*pip install --upgrade"):
        SqlStore(Sqlite(database))


def edit(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "NFS"])
def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, kind: str
) -> None:
    with pytest.raises(StoreError, match=rf"network file system \({kind}\).*local disk"):
        SqlStore(Sqlite(tmp_path / "runs" / "heredity.db", filesystem=lambda path: kind))
    assert os.listdir(tmp_path) == []


# Reading only -----------------------------------------------------------------------------------


def test_reading_only_follows_a_writer_and_leaves_no_file(database: Path) -> None:
    with (
        closing(SqlStore(Sqlite(database))) as writer,
        closing(SqlStore(Sqlite(database), read_only=True)) as reader,
    ):
        writer.append("s", [StudyPaused("")], 1)
        assert list(reader.read("s", 1)) == [StudyPaused("")]
    with closing(SqlStore(Sqlite(database), read_only=True)) as reader:
        assert len(reader.read("s")) == 2
    assert os.listdir(database.parent) == ["heredity.db"]


def test_reading_only_sees_what_a_killed_writer_left(database: Path) -> None:
    writer = start_writer(database, 7, 10, HEREDITY_CRASH_AT="append.after:3")
    talk([writer])
    with closing(SqlStore(Sqlite(database), read_only=True)) as reader:
        assert len(reader.read("s")) == 7


def test_reading_only_writes_nothing(database: Path) -> None:
    with closing(SqlStore(Sqlite(database), read_only=True)) as store:
        with pytest.raises(UsageError, match="read only"):
            store.append("s", [StudyPaused("")], 1)
        with pytest.raises(UsageError, match="read only"):
            store.remove("s")
        assert list(store.read("s")) == [CREATED]


def test_reading_only_an_empty_file_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "heredity.db"
    path.touch()
    with pytest.raises(NotFound, match="no studies"):
        SqlStore(Sqlite(path), read_only=True)
    assert path.stat().st_size == 0


# Durability -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durable", "synchronous"), [("process", 1), ("power", 2)])
def test_durability_is_a_choice(tmp_path: Path, durable: Durable, synchronous: int) -> None:
    engine = Sqlite(tmp_path / "heredity.db", durable=durable).open_engine(read_only=False)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
    engine.dispose()
