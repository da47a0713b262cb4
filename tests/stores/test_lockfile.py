"""A lock on a file is held by one process, names it, and ends with it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heredity.errors import StoreError
from heredity.stores.lockfile import Held, hold, holder

HOLDER = """
import sys
from pathlib import Path
from heredity.stores.lockfile import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with (
        holding(path) as process,
        pytest.raises(Held, match=rf"pid {process.pid} on \S+"),
        hold(path),
    ):
        pass
    with hold(path):
        pass


def test_death_ends_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with holding(path) as process:
        process.kill()
        process.wait()
        assert path.exists()
        with hold(path):
            assert path.read_text().startswith(f"pid {os.getpid()} ")


def test_the_holder_is_told_without_taking_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert holder(path) is None
    assert os.listdir(tmp_path) == []
    with holding(path) as process:
        assert (holder(path) or "").startswith(f"pid {process.pid} on ")
        process.kill()
        process.wait()
        assert path.exists()
        assert holder(path) is None


@pytest.mark.parametrize("looking", [1, 3])
def test_who_only_looks_is_in_nobodys_way(tmp_path: Path, looking: int) -> None:
    path = tmp_path / "x.lock"
    path.touch()
    code = """
import fcntl, sys
from pathlib import Path
with open(sys.argv[1]) as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print("looking", flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", code, str(path)]
    lookers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(looking)
    ]
    for looker in lookers:
        assert looker.stdout is not None
        assert looker.stdout.readline() == b"looking\n"
    ended = threading.Timer(0.05, lambda: [looker.communicate() for looker in lookers])
    ended.start()
    with hold(path):
        assert all(looker.wait() == 0 for looker in lookers)
    ended.join()


def test_the_file_goes_with_the_lock(tmp_path: Path) -> None:
    with hold(tmp_path / "x.lock"):
        assert os.listdir(tmp_path) == ["x.lock"]
    assert os.listdir(tmp_path) == []


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path) -> None:
    """Whoever waits on a file that its holder removes must begin again with the new file."""
    path = tmp_path / "x.lock"
    with hold(path):
        path.unlink()
        with hold(path), pytest.raises(Held), hold(path):
            pass


def test_many_processes_count_without_losing_one(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from heredity.stores.lockfile import Held, hold
counter = Path(sys.argv[1])
done = 0
while done < 50:
    try:
        with hold(counter.with_suffix(".lock")):
            counter.write_text(str(int(counter.read_text()) + 1))
            done += 1
    except Held:
        pass
"""
    counter = tmp_path / "counter"
    counter.write_text("0")
    writers = [subprocess.Popen([sys.executable, "-c", code, str(counter)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert counter.read_text() == "150"


def test_a_link_is_followed_by_nobody(tmp_path: Path) -> None:
    """Whoever may write to the folder would have this user overwrite any file."""
    precious, path = tmp_path / "precious", tmp_path / "x.lock"
    precious.write_text("do not touch")
    path.symlink_to(precious)
    with pytest.raises(StoreError, match="is a link"), hold(path):
        pass
    with pytest.raises(StoreError, match="is a link"):
        holder(path)
    path.unlink()
    path.symlink_to(tmp_path / "not there")
    with pytest.raises(StoreError, match="is a link"), hold(path):
        pass
    assert precious.read_text() == "do not touch"
    assert not (tmp_path / "not there").exists()
