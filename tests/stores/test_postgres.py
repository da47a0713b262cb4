"""The store in PostgreSQL is a Store, for all that happens to a server and its clients."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from heredity.stores import open_store
from heredity.stores.base import Store
from heredity.testing.store_suite import StoreSuite
from postgres_server import PostgresServer, postgres_server

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.new_database()


class TestPostgresStore(StoreSuite):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        with closing(open_store(url)) as store:
            yield store
