"""The seam between the store's SQL and a database: all in which SQLite and PostgreSQL differ.

This file knows neither of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from heredity.errors import StoreError

Session = Callable[[], AbstractContextManager[Connection]]
"""Begins a transaction on the store's only connection, alone among the store's threads."""


class Held(Exception):
    """Another driver holds the study; the text says who."""


class ConnectionLost(StoreError):
    """The server or the way to it broke off; whether the last transaction counts is not known."""


class Database(Protocol):
    """A kind of database. Its text names it in messages, without a password."""

    begin: ClassVar[str]
    """The statement that begins a transaction that writes."""

    now: ClassVar[str]
    """The database's clock in seconds, as an expression."""

    transaction: ClassVar[str]
    """What tells a transaction from all others, as an expression within it; text."""

    written_by: ClassVar[str]
    """The `transaction` that wrote a row, as an expression in a query of the row."""

    def open_engine(self, *, read_only: bool) -> Engine:
        """An engine whose connections begin transactions when they are told to. `StoreError` where
        this database must not be used."""

    def prepare(self, connection: Connection) -> None:
        """Within the transaction that is about to make tables: what must be done before."""

    def explain(self, error: DBAPIError) -> StoreError:
        """The error with the database's name and what to do about it."""

    def hold(self, study: str, session: Session) -> AbstractContextManager[None]:
        """Hold a study against other drivers until the process ends, or raise `Held`."""

    def holder(self, study: str, session: Session) -> str | None:
        """Who holds a study; None if nobody does."""
