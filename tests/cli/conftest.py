"""A study that has ended, and the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import heredity as hd
from cli.climbing import Call, Ended, climb
from heredity.cli.app import app


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with the study `climb`, which has ended. Not to be changed."""
    storage = tmp_path_factory.mktemp("storage")
    climb(storage).run(hd.Inline(), live="off")
    return storage


@pytest.fixture
def storage(ran: Path, tmp_path: Path) -> Path:
    """The same, for one's own use."""
    return Path(shutil.copytree(ran, tmp_path / "runs", symlinks=True))


@pytest.fixture
def call() -> Call:
    """Calls the command line."""

    def call(*arguments: Any, input: str | None = None) -> Ended:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=input)

    return call
