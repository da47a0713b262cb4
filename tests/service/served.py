"""A service on a real socket of this machine, in a thread of the test's own process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import heredity as hd
from heredity.service.app import app
from heredity.service.client import Client
from heredity.service.server import listening, server_of
from toys import toy_study


@dataclass
class Served:
    """A running service."""

    url: str
    storage: Path
    application: FastAPI
    token: str | None = None

    def client(self, **changes: Any) -> Client:
        return Client(self.url, self.token, **{"patience_s": 10.0, **changes})


@contextlib.contextmanager
def served(
    storage: Path, token: str | None = None, port: int = 0, **options: Any
) -> Iterator[Served]:
    """A service of all studies in `storage`, until the block ends."""
    with listening("127.0.0.1", port) as (socket, url):
        application = app(storage, token, **options)
        server = server_of(application)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield Served(url, storage, application, token)
        finally:
            server.should_exit = True
            thread.join()


def begin(storage: Path, **changes: Any) -> hd.Study:
    """A toy study, entered in its storage."""
    study = toy_study(storage, **changes)
    study.begin()
    return study
