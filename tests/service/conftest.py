"""A service of one toy study, for the tests that need no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import Served, begin, served

from heredity.service.client import Client


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    begin(tmp_path)
    with served(tmp_path) as service:
        yield service


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    with contextlib.closing(service.client()) as client:
        yield client


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    """The service without what `Client` knows of it."""
    with httpx.Client(base_url=service.url, trust_env=False) as http:
        yield http
