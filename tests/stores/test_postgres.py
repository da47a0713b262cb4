"""The store in PostgreSQL is a Store, for all that happens to a server and its clients."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest
from cutting_proxy import CuttingProxy, Moment, cutting_proxy

from heredity.errors import Conflict, NotFound, StoreError, UsageError
from heredity.evolution.events import (
    CheckpointPinned,
    CheckpointUnpinned,
    Event,
    StudyPaused,
    StudyResumed,
)
from heredity.stores import open_store, postgres
from heredity.stores.base import Store
from heredity.stores.postgres import Postgres
from heredity.stores.sql import SqlStore
from heredity.testing.store_suite import CREATED, StoreSuite
from postgres_server import PostgresServer, postgres_server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.emptied_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Of an empty database."""
    with closing(open_store(url)) as store:
        yield store


@pytest.fixture
def begun(store: Store) -> Store:
    """With one study, "s", of one event."""
    store.create("s", [CREATED])
    return store


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


class TestPostgresStore(StoreSuite):
    pass


# Processes --------------------------------------------------------------------------------------

WRITER = """
import sys
from heredity.errors import Conflict
from heredity.evolution.events import CheckpointPinned, CheckpointUnpinned
from heredity.stores import open_store
store, name, blocks = open_store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
seq = len(store.read("s"))  # before the others write: all but one begin with a conflict
print("ready", flush=True)
sys.stdin.readline()
for block in range(blocks):
    while True:
        try:
            seq = store.append("s", [CheckpointPinned(name), CheckpointUnpinned(block)], seq)
            break
        except Conflict:
            seq += len(store.read("s", seq))
    print(seq, flush=True)
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs and waits until they say that they are ready; ends them all."""
    with ExitStack() as started:

        def start(code: str, *arguments: object, **env: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | env,
            )
            started.enter_context(process)
            started.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def blocks_in(store: Store) -> list[tuple[int, int]]:
    """What writers appended, as (name, number of the block); fails on a block cut in two."""
    events = store.read("s", 1)
    pairs = list(zip(events[::2], events[1::2], strict=True))
    assert all(
        isinstance(one, CheckpointPinned) and isinstance(two, CheckpointUnpinned)
        for one, two in pairs
    )
    return [(one.trial, two.trial) for one, two in pairs]  # type: ignore[union-attr]


def test_two_processes_write_every_block_once(url: str, begun: Store, start: Start) -> None:
    writers = [start(WRITER, url, name, 200) for name in (0, 1)]
    for writer in writers:
        go(writer)
    seqs = [int(line) for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(seqs) == list(range(3, 802, 2))
    found = blocks_in(begun)
    for name in (0, 1):
        assert [block for who, block in found if who == name] == list(range(200))


@pytest.mark.parametrize(("point", "kept"), [("append.before", 2), ("append.after", 3)])
def test_a_kill_around_the_commit_leaves_whole_blocks(
    url: str, begun: Store, point: str, kept: int, start: Start
) -> None:
    writer = start(WRITER, url, 7, 10, HEREDITY_CRASH_AT=f"{point}:3")
    go(writer)
    assert writer.communicate()[0] == "3\n5\n"
    assert writer.returncode == -signal.SIGKILL
    assert blocks_in(begun) == [(7, block) for block in range(kept)]


def test_a_server_killed_again_and_again_loses_and_repeats_nothing(
    server: PostgresServer, url: str, begun: Store, start: Start
) -> None:
    writers = [start(WRITER, url, name, 100_000) for name in (0, 1)]
    for writer in writers:
        go(writer)
    acknowledged: dict[int, int] = {}
    for blocks in (1, 7, 40):
        for name, writer in enumerate(writers):
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(blocks)]
            acknowledged[name] = int(lines[-1])
        server.kill()
        server.start()
    for name, writer in enumerate(writers):
        assert writer.stdout is not None
        acknowledged[name] = int(writer.stdout.readline())  # it goes on
        writer.kill()
        writer.communicate()
    found = blocks_in(begun)
    for name in (0, 1):
        mine = [block for who, block in found if who == name]
        assert mine == list(range(len(mine)))
        assert len(mine) > 48
        assert found[(acknowledged[name] - 3) // 2][0] == name


def test_processes_may_make_the_same_tables_at_once(url: str, start: Start) -> None:
    code = """
import sys
from heredity.stores import open_store
print("ready", flush=True)
sys.stdin.readline()
print(list(open_store(sys.argv[1]).studies()))
"""
    openers = [start(code, url) for _ in range(4)]
    for opener in openers:
        go(opener)
    assert [opener.communicate()[0] for opener in openers] == ["[]\n"] * 4


REPLICA = """
import sys, time
shift = float(sys.argv[2])
for name in ("time", "monotonic"):
    setattr(time, name, lambda clock=getattr(time, name): clock() + shift)
from heredity.stores import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    store.lease("s", int(line), 0, "w", 100.0)
    print(*[lease.left_s for lease in store.leases("s")], flush=True)
"""


def test_replicas_whose_clocks_differ_agree(url: str, begun: Store, start: Start) -> None:
    replicas = [start(REPLICA, url, shift) for shift in (-3600.0, 60.0)]
    lefts = []
    for trial, replica in enumerate(replicas):
        assert replica.stdin is not None
        assert replica.stdout is not None
        replica.stdin.write(f"{trial}\n")
        replica.stdin.flush()
        lefts += list(map(float, replica.stdout.readline().split()))
    for replica in replicas:
        replica.communicate()
    lefts += [lease.left_s for lease in begun.leases("s")]
    assert len(lefts) == 1 + 2 + 2
    assert all(50 < left <= 100 for left in lefts)


# The driver's lock ------------------------------------------------------------------------------

HOLDER = """
import sys
from heredity.stores import open_store
with open_store(sys.argv[1]).lock("s"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_the_lock_names_its_holder_and_ends_with_it(url: str, begun: Store, start: Start) -> None:
    holder = start(HOLDER, url)
    named = f"pid {holder.pid} on "
    with pytest.raises(UsageError, match=f"'s' is being run by {named}"), begun.lock("s"):
        pass
    assert (begun.holder("s") or "").startswith(named)
    holder.kill()
    holder.communicate()
    lock_soon(begun, "s")


def lock_soon(store: Store, study: str) -> None:
    """The server notices a death by itself, a little later."""
    deadline = time.monotonic() + 20
    while store.holder(study) is not None:
        assert time.monotonic() < deadline, "the lock of a dead process is still held"
    with store.lock(study):
        pass


def test_one_process_holds_a_study_once(url: str, begun: Store) -> None:
    with closing(open_store(url)) as other, begun.lock("s"):
        with pytest.raises(UsageError, match=f"pid {os.getpid()} on"), other.lock("s"):
            pass
        assert f"pid {os.getpid()} on" in (other.holder("s") or "")


def test_studies_of_one_name_in_two_databases_are_apart(server: PostgresServer) -> None:
    with (
        closing(open_store(server.new_database())) as one,
        closing(open_store(server.new_database())) as other,
    ):
        for store in (one, other):
            store.create("s", [CREATED])
        with one.lock("s"):
            assert other.holder("s") is None
            with other.lock("s"):
                pass


def test_a_lock_is_taken_again_after_a_restart(
    server: PostgresServer, url: str, begun: Store
) -> None:
    with closing(open_store(url)) as other:
        with begun.lock("s"):
            server.stop()
            server.start()
            begun.read("s")
            with pytest.raises(UsageError, match="is being run"), other.lock("s"):
                pass
        assert other.holder("s") is None


# A connection that breaks off -------------------------------------------------------------------

BLOCK: list[Event] = [StudyPaused("mine"), StudyResumed()]


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[CuttingProxy]:
    with cutting_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def remote(proxy: CuttingProxy, server: PostgresServer, url: str, begun: Store) -> Iterator[Store]:
    """A store whose connection can be cut."""
    with closing(open_store(url.replace(f":{server.port}/", f":{proxy.port}/"))) as store:
        yield store


@pytest.mark.parametrize(
    "cuts", [["before"], ["after"], ["before", "after"], ["before", "before", "before", "after"]]
)
def test_a_block_is_written_once_wherever_the_connection_breaks(
    proxy: CuttingProxy, remote: Store, begun: Store, cuts: list[Moment]
) -> None:
    for moment in cuts:
        proxy.cut(moment)
    assert remote.append("s", BLOCK, 1) == 3
    assert proxy.done
    assert list(begun.read("s", 1)) == BLOCK
    assert remote.append("s", BLOCK, 3) == 5


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_study_begins_once_wherever_the_connection_breaks(
    proxy: CuttingProxy, remote: Store, begun: Store, moment: Moment
) -> None:
    proxy.cut(moment)
    assert remote.create("t", [CREATED, *BLOCK]) == 3
    assert proxy.done
    assert list(begun.studies()) == ["s", "t"]
    assert list(begun.read("t", 1)) == BLOCK
    with pytest.raises(Conflict):
        remote.create("t", [CREATED, *BLOCK])


def test_a_block_that_counted_is_found_though_others_have_gone_on(
    proxy: CuttingProxy, remote: Store, begun: Store
) -> None:
    proxy.cut("after", meanwhile=lambda: [begun.append("s", BLOCK, 3), None][1])
    assert remote.append("s", BLOCK, 1) == 3
    assert list(begun.read("s", 1)) == [*BLOCK, *BLOCK]


def test_the_same_rows_of_another_writer_are_not_taken_for_ours(
    proxy: CuttingProxy, remote: Store, begun: Store
) -> None:
    proxy.cut("before", meanwhile=lambda: [begun.append("s", BLOCK, 1), None][1])
    with pytest.raises(Conflict):
        remote.append("s", BLOCK, 1)
    assert proxy.done
    assert list(begun.read("s", 1)) == BLOCK


def test_everything_else_goes_on_after_a_restart(
    server: PostgresServer, url: str, begun: Store
) -> None:
    with closing(open_store(url, read_only=True)) as reader:
        server.stop()
        server.start()
        assert list(reader.read("s")) == [CREATED]
        server.stop()
        server.start()
        begun.lease("s", 0, 0, "w", 10.0)
        server.stop()
        server.start()
        assert begun.append("s", BLOCK, 1) == 3
        server.stop()
        server.start()
        begun.remove("s")
        assert list(reader.studies()) == []


def test_a_server_that_stays_away_is_named(
    server: PostgresServer, url: str, begun: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heredity.stores.connection.RECONNECT_S", 0.0)
    server.stop()
    try:
        for attempt in (lambda: begun.read("s"), lambda: begun.append("s", BLOCK, 1)):
            with pytest.raises(StoreError, match=rf"@127\.0\.0\.1:{server.port}/.*refused"):
                attempt()
    finally:
        server.start()
    assert begun.append("s", BLOCK, 1) == 3


def test_a_writer_that_stalls_stops_the_others_only_for_a_while(
    url: str, begun: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SETTINGS, "idle_in_transaction_session_timeout", "200ms")

    def stall(store: SqlStore) -> None:
        with store._shared.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO events (study, seq, type, format, data) VALUES ('s', 2, '', 1, '')"
            )
            assert begun.append("s", BLOCK, 1) == 3

    with closing(SqlStore(Postgres(url))) as stalled:
        with pytest.raises(StoreError, match="broke off"):
            stall(stalled)
        with pytest.raises(Conflict):
            stalled.append("s", BLOCK, 1)
        assert stalled.append("s", BLOCK, 3) == 5


# What is refused, and how it is said ------------------------------------------------------------


def test_a_wrong_password_is_not_repeated(server: PostgresServer) -> None:
    wrong = uuid4().hex
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        open_store(server.url("postgres", password=wrong))
    assert wrong not in "".join(traceback.format_exception(raised.value))


def test_a_database_that_does_not_exist_is_named(server: PostgresServer) -> None:
    with pytest.raises(StoreError, match='"nowhere" does not exist'):
        open_store(server.url("nowhere"))


def test_errors_of_a_session_hold_no_password(
    url: str, begun: Store, server: PostgresServer
) -> None:
    server.execute(name_of(url), "DROP TABLE heredity.events")
    with pytest.raises(StoreError) as raised:
        begun.read("s")
    shown = "".join(traceback.format_exception(raised.value))
    assert name_of(url) in shown
    assert "cret" not in shown


def test_a_user_who_may_not_make_tables_is_told_the_grant(server: PostgresServer) -> None:
    database = name_of(server.new_database())
    server.execute(database, f"CREATE ROLE r{database} LOGIN PASSWORD 'x'")
    with pytest.raises(StoreError, match="GRANT this one CREATE"):
        open_store(server.url(database, f"r{database}", "x"))
    server.execute(database, f"GRANT CREATE ON DATABASE {database} TO r{database}")
    with closing(open_store(server.url(database, f"r{database}", "x"))) as store:
        store.create("s", [CREATED])
        with store.lock("s"):
            assert f"pid {os.getpid()}" in (store.holder("s") or "")


def test_a_database_that_is_read_only_is_named(
    server: PostgresServer, url: str, begun: Store
) -> None:
    database = name_of(url)
    server.execute(database, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with closing(open_store(url)) as store, pytest.raises(StoreError, match="is read-only"):
        store.append("s", BLOCK, 1)


def test_an_old_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_OLDEST", 99)
    with pytest.raises(StoreError, match=r"is PostgreSQL \d+; studies need 99 or newer"):
        open_store(url)


def test_a_newer_schema_is_refused(server: PostgresServer, url: str, begun: Store) -> None:
    server.execute(name_of(url), "UPDATE heredity.meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(StoreError, match="pip install --upgrade"):
        open_store(url)


def test_a_database_from_before_there_were_leases_still_opens(
    server: PostgresServer, url: str, begun: Store
) -> None:
    server.execute(name_of(url), "DROP TABLE heredity.leases")
    with closing(open_store(url, read_only=True)) as store:
        assert list(store.leases("s")) == []
    with closing(open_store(url)) as store:
        store.lease("s", 0, 0, "w", 10.0)
        assert len(store.leases("s")) == 1


def test_reading_only_makes_nothing(server: PostgresServer, url: str) -> None:
    with pytest.raises(NotFound, match="no studies"):
        open_store(url, read_only=True)
    assert (
        server.execute(name_of(url), "SELECT 1 FROM pg_namespace WHERE nspname = 'heredity'") == []
    )


def test_reading_only_writes_nothing(url: str, begun: Store) -> None:
    with closing(open_store(url, read_only=True)) as store:
        with pytest.raises(UsageError, match="read only"):
            store.append("s", BLOCK, 1)
        begun.append("s", BLOCK, 1)
        assert list(store.read("s", 1)) == BLOCK


def test_tables_of_others_are_left_alone(server: PostgresServer) -> None:
    url = server.new_database()
    server.execute(name_of(url), "CREATE TABLE public.events (mine int)")
    with closing(open_store(url)) as store:
        store.create("s", [CREATED])
        assert list(store.read("s")) == [CREATED]
    assert server.execute(name_of(url), "SELECT count(*) FROM public.events") == [(0,)]


@pytest.mark.parametrize(
    ("of_the_server", "of_a_session"),
    [
        (("synchronous_commit", "off"), "local"),
        (("synchronous_commit", "remote_apply"), "remote_apply"),
        (("default_transaction_isolation", "serializable"), "read committed"),
    ],
)
def test_what_a_store_counts_on_is_set(
    server: PostgresServer, url: str, of_the_server: tuple[str, str], of_a_session: str
) -> None:
    name, value = of_the_server
    server.execute(name_of(url), f"ALTER DATABASE {name_of(url)} SET {name} = '{value}'")
    with Postgres(url).open_engine(read_only=False).connect() as connection:
        assert connection.exec_driver_sql(f"SHOW {name}").scalar() == of_a_session
