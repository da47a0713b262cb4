"""Run by test_placement.py in a process with four simulated devices: prints what it found."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from populations import DESCENT, opened, played, round_of, same, setting, state

from heredity.errors import UsageError
from heredity.executors.program import FRESH
from heredity.jax import VectorTrainable, batches
from heredity.jax.program import JaxProgram

GIVEN = setting(population=8, slots=2)
SOURCES = [None, [1, 0, 6, 3, 4, 2, 5, 7], [7, 7, 7, 7, 0, 5, FRESH, 6]]
FUNCTIONS = VectorTrainable(
    lambda key, h: {**DESCENT.init(key, h), "zero": -jnp.zeros(2), "nan": jnp.full(1, jnp.nan)},
    lambda s, h, b, k: {**s, "w": (s["w"] + 0.1 * b.mean()) * h["lr"] + h["decay"]},
    lambda s, h, k: s["w"].sum(),
    data=batches(np.arange(30, dtype=np.float32), 4),
)


def study(program: JaxProgram) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for turn, sources in enumerate(SOURCES):
        scores = played(program, round_of(GIVEN, turn, sources))
        found += [*state(program), *scores.metrics.values(), scores.finite]
    program.keep({0: 5, 1: 2})
    program.keep({0: 6})
    return [*found, *(array[-2:] for array in program.copy().arrays)]


devices = jax.devices()
whole = study(opened(FUNCTIONS, GIVEN, devices=1, chunk=2))
shared = opened(FUNCTIONS, GIVEN, devices=4)
refusal = ""
try:
    opened(FUNCTIONS, setting(population=6), devices=4)
except UsageError as error:
    refusal = str(error)
print(
    json.dumps(
        {
            "devices": len(devices),
            "chunk": shared.chunk,
            "chunk of one device": opened(FUNCTIONS, GIVEN, devices=4, chunk=8).chunk,
            "same": same(whole, study(shared)),
            "spread": len({s.device.id for s in shared._standing[0].addressable_shards}),
            "negative_zeros": bool(np.signbit(state(shared)[3]).all()),
            "refusal": refusal,
        }
    )
)
