"""What the tests of vector programs share: small members, and rounds played with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import heredity as hd
from heredity.executors.program import FRESH, Round, RoundScores, Setting, traced
from heredity.jax import VectorTrainable
from heredity.jax.check import check as jax_check
from heredity.jax.program import JaxProgram

SPACE = hd.Space(lr=hd.LogUniform(1e-3, 1.0), decay=hd.Uniform(0.0, 0.5))


def init(key: Any, hparams: Any) -> Any:
    return {"w": jax.random.normal(key, (3,)), "steps": jnp.zeros((), jnp.int32)}


def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
    """Noisy descent towards 1: every state differs from every other."""
    w = state["w"] - hparams["lr"] * (state["w"] - 1.0 + hparams["decay"] * state["w"])
    w = w + 0.01 * jax.random.normal(key, (3,))
    return {"w": w, "steps": state["steps"] + 1}, {"size": jnp.abs(w).sum()}


def evaluate(state: Any, hparams: Any, key: Any) -> Any:
    return -((state["w"] - 1.0) ** 2).sum() + 0.001 * jax.random.normal(key)


DESCENT = VectorTrainable(init, step, evaluate)


def setting(population: int = 4, interval: int = 3, **changes: Any) -> Setting:
    given = {"space": SPACE, "metric": "score", "seed": 7} | changes
    return Setting(population=population, interval=interval, **given)


def opened(functions: VectorTrainable, given: Setting, **options: Any) -> JaxProgram:
    program = functions.program(**options)
    program.open(given)
    return program


def check(functions: VectorTrainable, **options: Any) -> None:
    """Check as `open` does, but compile nothing."""
    given = setting(**options)
    jax_check(functions, given, functions.program()._batch())


def hparams(space: hd.Space, members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Members' hparams as a round gives them."""
    names = (name for name in space if space[name].kind != "constant")
    return {name: traced(space, name, [member[name] for member in members]) for name in names}


def round_of(given: Setting, turn: int, sources: Any = None, **changes: Any) -> Round:
    """A round of sampled hparams, the same in every turn; all from scratch in turn 0."""
    count = given.population
    if sources is None:
        sources = np.arange(count) if turn else np.full(count, FRESH)
    fields: dict[str, Any] = {
        "sources": np.asarray(sources),
        "turns": np.full(count, turn),
        "starts": np.full(count, turn * given.interval),
        "hparams": hparams(given.space, given.space.sample_many(count, 3)),
        "steps": given.interval,
        "measured": np.ones(count, np.bool_),
    }
    return Round(**fields | changes)


def played(program: JaxProgram, round: Round) -> RoundScores:
    program.start(round)
    return program.finish()


def state(program: JaxProgram) -> list[np.ndarray]:
    """The rows on the host, without the best."""
    rows = program.copy()
    return [array[: rows.population].copy() for array in rows.arrays]


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Bitwise equal, NaNs too."""
    return len(one) == len(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one, other, strict=True)
    )
