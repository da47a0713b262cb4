"""The digits examples, run as their reader would: as scripts, in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "script",
    ["digits_torch.py", "digits_torch_vectorized.py", "digits_jax.py", "digits_function.py"],
)
def test_it_trains_a_population_that_recognises_digits(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"validation accuracy ([\d.]+), held-out ([\d.]+)", done.stdout)
    assert found, done.stdout
    assert min(map(float, found.groups())) > 0.9
    assert (tmp_path / "runs" / "heredity.db").is_file()
