"""A PostgreSQL server of the tests' own: a private cluster in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

PASSWORD = "sécret@:/%#"
IN_URL = "s%C3%A9cret%40%3A%2F%25%23"


class PostgresServer:
    """Started by `start`; it listens on 127.0.0.1 and asks for a password."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"
        self.port = _free_port()

    def make(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
            shutil.chown(self._folder, "postgres", "postgres")
            shutil.chown(password, "postgres", "postgres")
        self._run(
            "initdb", "-N", "-E", "UTF8", "--locale=C", "-U", "postgres",
            "-A", "scram-sha-256", f"--pwfile={password}",
        )  # fmt: skip

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c shared_buffers=16MB "
            f"-c unix_socket_directories= -c fsync=off -c max_connections=60"
        )
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """Stop it as a system does that shuts down: clients are disconnected."""
        self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """SIGKILL to the server and all of its processes, as a loss of power would end them."""
        server = self.pid
        os.kill(server, signal.SIGSTOP)  # it shall not see its children go
        mine = [*_children(server), server]
        for pid in mine:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(map(_runs, mine)):
            assert time.monotonic() < deadline, "the killed server does not end"
            time.sleep(0.01)
        # Where nobody collects dead processes, the next server would take this one for alive.
        (self._data / "postmaster.pid").unlink()

    @property
    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @property
    def runs(self) -> bool:
        return (self._data / "postmaster.pid").exists() and _runs(self.pid)

    def url(self, database: str, user: str = "postgres", password: str = IN_URL) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str | None = None) -> str:
        """The URL of an empty database of its own. A new one takes 8 MB and some time."""
        name = name or f"test_{uuid4().hex}"
        self.execute("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def emptied_database(self) -> str:
        """The URL of the database for one test after the other, without what the last one left."""
        if not self.execute("postgres", "SELECT 1 FROM pg_database WHERE datname = 'test'"):
            return self.new_database("test")
        self.execute("postgres", "ALTER DATABASE test RESET ALL")
        self.execute("test", "DROP SCHEMA IF EXISTS heredity CASCADE")
        return self.url("test")

    def execute(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Run statements beside every store; the rows of the last one."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        done = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a file, for the server keeps what it is given
            stderr=subprocess.DEVNULL,
            timeout=60,
            **(user if os.geteuid() == 0 else {}),  # type: ignore[arg-type]
        )
        log = self._folder / "log"
        assert done.returncode == 0, (program, log.exists() and log.read_text())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs, stopped and removed afterwards; skips where there is none installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="heredity-postgres-", dir="/tmp"))  # open to its user
    server = PostgresServer(programs, folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if server.runs:
            server.kill()
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Debian keeps them out of the path, in a folder for each version."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True)
    pairs = [map(int, line.split()) for line in listed.stdout.splitlines()]
    return [pid for pid, ppid in pairs if ppid == parent]


def _runs(pid: int) -> bool:
    """Whether a process is there and no mere entry that waits to be collected."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")
