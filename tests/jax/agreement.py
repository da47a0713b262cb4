"""Run by test_agreement.py in double precision: a vectorized member against a plain jit loop."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from populations import hparams, opened, played, round_of, setting, state

import heredity as hd
from heredity.jax import VectorTrainable, batches
from heredity.jax.keys import member_key, root
from heredity.jax.permutation import permuted

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda h: optax.sgd(h["lr"]),
    "momentum": lambda h: optax.sgd(h["lr"], momentum=h["beta"], nesterov=True),
    "adam": lambda h: optax.adam(h["lr"], b1=h["beta"]),
    "adamw": lambda h: optax.adamw(h["lr"], b1=h["beta"], weight_decay=h["decay"]),
    "rmsprop": lambda h: optax.rmsprop(h["lr"], decay=h["beta"]),
}
SPACE = hd.Space(
    lr=hd.LogUniform(1e-3, 3e-2), beta=hd.Uniform(0.5, 0.95), decay=hd.LogUniform(1e-3, 1e-1)
)
POPULATION, STEPS, BATCH, EXAMPLES, SEED = 3, 15, 8, 60, 7
rng = np.random.default_rng(0)
X = rng.normal(size=(EXAMPLES, 5))
Y = np.tanh(X @ rng.normal(size=5))


def init(key: Any, h: Any) -> Any:
    """The same weights for each optimizer, trained side by side in one program."""
    one, two = jax.random.split(key)
    weights = {"a": jax.random.normal(one, (5, 6)) / 2, "b": jax.random.normal(two, (6,)) / 2}
    return {name: (weights, make(h).init(weights)) for name, make in OPTIMIZERS.items()}


def loss(weights: Any, batch: Any, key: Any) -> Any:
    x, y = batch
    hidden = jnp.tanh(x @ weights["a"]) * (jax.random.uniform(key, (6,)) < 0.8)
    return ((hidden @ weights["b"] - y) ** 2).mean()


def step(state: Any, h: Any, batch: Any, key: Any) -> Any:
    after = {}
    for name, (weights, moments) in state.items():
        gradient = jax.grad(loss)(weights, batch, key)
        updates, moments = OPTIMIZERS[name](h).update(gradient, moments, weights)
        after[name] = optax.apply_updates(weights, updates), moments
    return after


def evaluate(state: Any, h: Any, key: Any) -> Any:
    scores = {
        name: ((jnp.tanh(X @ weights["a"]) @ weights["b"] - Y) ** 2).mean()
        for name, (weights, _) in state.items()
    }
    return {"score": sum(scores.values()), **scores}


FUNCTIONS = VectorTrainable(init, step, evaluate, data=batches((X, Y), BATCH))


@jax.jit
def alone_init(member: Any, h: Any) -> Any:
    return init(member_key(root(SEED, "init"), member, 0), h)


@jax.jit
def alone_step(state: Any, member: Any, h: Any, index: Any) -> Any:
    rows = permuted(member_key(root(SEED, "batch"), member, 0), index, BATCH, EXAMPLES)
    key = jax.random.fold_in(member_key(root(SEED, "step"), member, 0), index)
    return step(state, h, (jnp.asarray(X)[rows], jnp.asarray(Y)[rows]), key)


def alone(member: int, h: Any) -> Any:
    """One member trained in a plain loop, with the package's keys and nothing else of it."""
    state = alone_init(member, h)
    for index in range(STEPS):
        state = alone_step(state, member, h, index)
    return state


def differences() -> dict[str, float]:
    """Of each optimizer, the largest difference between a member in a population and alone,
    relative to the largest entry of the array it is in."""
    given = setting(population=POPULATION, interval=STEPS, space=SPACE, seed=SEED)
    program = opened(FUNCTIONS, given)
    members = SPACE.sample_many(POPULATION, 5)
    scores = played(program, round_of(given, 0, hparams=hparams(SPACE, members)))
    together = program._checked.member.layout.unpack(state(program))
    worst = dict.fromkeys(OPTIMIZERS, 0.0)
    for member, h in enumerate(members):
        single = alone(member, {name: jnp.asarray(value) for name, value in h.items()})
        measured = evaluate(single, h, None)
        for name in OPTIMIZERS:
            mine = jax.tree.map(lambda array: array[member], together[name])  # noqa: B023
            pairs = [*zip(jax.tree.leaves(mine), jax.tree.leaves(single[name]), strict=True)]
            pairs.append((scores.metrics[name][member], measured[name]))
            worst[name] = max(worst[name], *(_difference(*pair) for pair in pairs))
    return worst


def _difference(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / (np.abs(other).max() + 1e-30))


if __name__ == "__main__":
    print(json.dumps(differences()))
