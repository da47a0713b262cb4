"""A member of a population is trained as it would be alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import agreement


def test_in_double_precision_every_optimizer_agrees_to_the_last_digits() -> None:
    done = subprocess.run(
        [sys.executable, Path(agreement.__file__)],
        env={**os.environ, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == agreement.OPTIMIZERS.keys()
    assert all(difference < 1e-9 for difference in found.values()), found


def test_in_single_precision_they_agree_where_training_is_stable() -> None:
    found = agreement.differences()
    assert all(difference < 1e-5 for difference in found.values()), found
