"""A worker's name stays its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from heredity.service.names import own_name
from heredity.service.wire import Name

URL = "http://127.0.0.1:8765"


def test_workers_side_by_side_have_different_names(tmp_path: Path) -> None:
    with own_name(URL, tmp_path) as first, own_name(URL, tmp_path) as second:
        assert first != second
        with own_name("http://another:1", tmp_path) as elsewhere:
            assert elsewhere == first
    assert re.fullmatch(r".+-0", first)


def test_a_name_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with own_name(URL, tmp_path) as first:
        pass
    with own_name(URL, tmp_path) as again:
        assert again == first


@pytest.mark.parametrize("host", ["a host, with signs!", "-x-", "", "é" * 200, "node01.cluster"])
def test_any_hosts_name_makes_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    with own_name(URL, tmp_path) as name:
        TypeAdapter(Name).validate_python(f"{name}/0")
