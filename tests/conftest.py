"""What every test stands on: Hypothesis without timing luck, and one thread per test process."""

import os

# Two test processes on two cores: each library that starts a thread per core would slow both.
# Read by the libraries when they are first imported, hence before anything else here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("heredity.testing")

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
