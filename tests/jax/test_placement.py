"""A population shared by devices is bitwise the one that trains in chunks on a single one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from heredity.jax.placement import _bits, _from_bits, divisors


def test_four_devices_train_bitwise_what_one_trains_in_four_chunks() -> None:
    script = Path(__file__).with_name("four_devices.py")
    flags = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    refusal = found.pop("refusal")
    assert found == {
        "devices": 4,
        "chunk": 2,
        "chunk of one device": 2,
        "same": True,
        "spread": 4,
        "negative_zeros": True,
    }
    assert "population of 6 cannot be shared equally by 4 devices" in refusal


@pytest.mark.parametrize(
    "value",
    [
        np.array([-0.0, np.nan, np.inf, 1.5], np.float32),
        np.array([-0.0, 2.0], np.float16),
        np.array([1 - 0j, complex(-0.0, np.nan)], np.complex64),
        np.array([True, False]),
        np.array([-3, 2**31 - 1], np.int32),
        np.array([0, 255], np.uint8),
    ],
    ids=lambda value: str(value.dtype),
)
def test_values_go_between_devices_bit_for_bit(value: np.ndarray) -> None:
    bits = _bits(jnp.asarray(value))
    assert jnp.issubdtype(bits.dtype, jnp.integer)
    back = np.asarray(_from_bits(bits, jnp.asarray(value).dtype))
    assert back.dtype == value.dtype
    assert back.tobytes() == value.tobytes()


def test_divisors_come_from_the_largest() -> None:
    assert divisors(12) == [12, 6, 4, 3, 2, 1]
