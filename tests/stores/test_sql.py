"""The store in SQLite is a Store, for all that happens to files and processes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from heredity.stores.sql import SqlStore
from heredity.testing.store_suite import StoreSuite

WEIRD = "runs 'a' \"b\"\n ünï %20 ?mode=ro #1 {x}"


class TestSqlStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with closing(SqlStore(tmp_path / WEIRD / "heredity.db")) as store:
            yield store


class TestPowerProofSqlStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with closing(SqlStore(tmp_path / "heredity.db", durable="power")) as store:
            yield store
