"""A workload for executors, in folders with odd names."""

from pathlib import Path

import pytest

from heredity.checkpoints.local import LocalCheckpoints
from heredity.executors.base import Workload
from heredity.testing.obedient import Obedient
from heredity.testing.paths import weird_folder


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    folder = weird_folder(tmp_path)
    checkpoints = LocalCheckpoints(folder / "checkpoints")
    return Workload(Obedient, checkpoints, folder / "logs", "score", ("act",))
