"""`storage` names a store."""

import os
import re
import socket
import sys
import traceback
from contextlib import closing
from pathlib import Path

import pytest

from heredity.errors import MissingExtra, NotFound, StoreError, UsageError
from heredity.stores import open_store
from heredity.testing.store_suite import CREATED


def test_a_folder_is_made_and_keeps_its_studies(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with closing(open_store(str(folder))) as store:
        store.create("s", [CREATED])
    assert os.listdir(folder) == ["heredity.db"]
    with closing(open_store(folder)) as store:
        assert list(store.read("s")) == [CREATED]


def test_memory_is_another_one_each_time() -> None:
    open_store(":memory:").create("s", [CREATED])
    assert list(open_store(":memory:").studies()) == []


@pytest.mark.parametrize("storage", ["s3://bucket", "mysql://me:secret@x", "postgresqlx://h/db"])
def test_what_there_is_no_store_for_says_so(storage: str) -> None:
    scheme = storage.partition(":")[0]
    with pytest.raises(UsageError, match=f"no store for {scheme}.*postgresql://") as raised:
        open_store(storage)
    assert "secret" not in str(raised.value)
    assert not Path(f"{scheme}:").exists()


SERVERS = ["postgresql://me:secret@{}/db", "postgresql+psycopg://{}/db?user=me&password=secret"]


@pytest.mark.parametrize("url", SERVERS)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_server_that_does_not_answer_is_named(url: str, read_only: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StoreError) as raised:
        open_store(url.format(f"127.0.0.1:{port}"), read_only=read_only)
    assert f"postgresql://me@127.0.0.1:{port}/db" in str(raised.value)
    assert "refused" in str(raised.value)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("url", ["postgresql://me:sec%ret@host/db", "postgres://host/db?secret=1"])
def test_an_address_that_cannot_be_understood_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match=r"postgresql://user:password@host:port/database.*%40"):
        open_store(url)
    with pytest.raises(UsageError) as raised:
        open_store(url)
    shown = "".join(traceback.format_exception(raised.value))
    assert "sec%ret" not in shown
    assert "secret=1" not in shown


def test_without_psycopg_the_command_that_installs_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'heredity[postgres]'")):
        open_store("postgresql://host/db")


@pytest.mark.parametrize("folder", ["missing", "."])
def test_reading_what_does_not_exist_creates_nothing(tmp_path: Path, folder: str) -> None:
    with pytest.raises(NotFound, match="Give the folder"):
        open_store(tmp_path / folder, read_only=True)
    assert os.listdir(tmp_path) == []
