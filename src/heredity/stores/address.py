"""What a `storage` argument names: a folder, this process's memory, or a database on a server.

This file opens nothing and needs no database library.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MEMORY = ":memory:"

POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
"""The schemes of addresses that PostgreSQL's own programs understand, and SQLAlchemy's."""


def scheme_of(storage: str | Path) -> str:
    """The part before "://"; "" for a folder and for memory."""
    scheme, separator, _ = str(storage).partition("://")
    return scheme if separator else ""


def shown(storage: str | Path) -> str:
    """`storage` fit to be printed: without a password.

    >>> shown("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    hidden = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", str(storage))
    return re.sub(r"\b((?:ssl)?password=)[^&]*", r"\1***", hidden)


def folder_of(study: str, storage: str | Path) -> Path:
    """Where the files of a study lie by default: its checkpoints and what its trials print.

    Beside a database in a folder, that folder. For a server, a folder below `runs` named after the
    database: two servers may well have studies of one name.
    """
    if not scheme_of(storage):
        return Path(storage).absolute() / study
    return Path("runs").absolute() / _database_name(str(storage)) / study


def _database_name(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["localhost"])[0]
    return re.sub(r"[^\w.]+", "-", f"{host} {parts.path}").strip("-.")
