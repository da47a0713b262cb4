"""`storage` names a store."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from heredity.errors import NotFound, UsageError
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


@pytest.mark.parametrize("storage", ["postgresql://host/db", "s3://bucket", "mysql://x"])
def test_what_is_not_there_yet_says_so(storage: str) -> None:
    with pytest.raises(UsageError, match="not there yet"):
        open_store(storage)
    assert not Path(storage.partition("/")[0]).exists()


@pytest.mark.parametrize("folder", ["missing", "."])
def test_reading_what_does_not_exist_creates_nothing(tmp_path: Path, folder: str) -> None:
    with pytest.raises(NotFound, match="Give the folder"):
        open_store(tmp_path / folder, read_only=True)
    assert os.listdir(tmp_path) == []
