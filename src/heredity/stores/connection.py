"""The one connection of a store to its database, which its threads share and which comes back.

This file knows transactions and no table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from heredity.errors import StoreError, UsageError
from heredity.stores.database import ConnectionLost, Database

RECONNECT_S = 30.0
"""How long to wait for a server that was lost; a restart takes a few seconds."""


class SharedConnection:
    """A connection to `database`, opened at once. `StoreError` if that fails."""

    def __init__(self, database: Database, *, read_only: bool) -> None:
        self._database = database
        self._read_only = read_only
        self._mutex = threading.Lock()
        self._engine = database.open_engine(read_only=read_only)
        try:
            self._connection = self._engine.connect()
        except DBAPIError as error:
            raise database.explain(error) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction, alone among the threads. `ConnectionLost` if the server went away."""
        with self._mutex:
            try:
                with self._connection.begin():
                    yield self._connection
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise ConnectionLost(
                        f"the connection to {self._database} broke off; run the same again"
                    ) from error
                raise self._database.explain(error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is begun as the database wants it for writing."""
        if self._read_only:
            raise UsageError(f"{self._database} was opened to read only")
        with self.reading() as connection:
            connection.exec_driver_sql(self._database.begin)
            yield connection

    def reconnect(self) -> None:
        """Wait for the server to be back. The connection repairs itself when it is used."""
        give_up = time.monotonic() + RECONNECT_S
        while True:
            try:
                with self.reading() as connection:
                    connection.execute(text("SELECT 1"))
                return
            except StoreError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.1)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._engine.dispose()
