"""Contestant: a population in hand-written JAX, and one member alone.

What a good JAX engineer writes without a library: one compiled program a round, which scans over
steps of `vmap` over members, with state and hparams donated, the digits resident on the device and
every member's batch drawn inside the step, with replacement. The scores stay on the device, so the
host is never waited for. Nothing is saved. Variants:

    alone    one member, the same scan without vmap
    plain    a population, nobody takes over anybody
    exploit  truncation and perturbation within the same program: the worst fifth's rows are
             overwritten in place
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from population import FACTORS, FRACTION, Figures, Work, answer, timed, told

BATCH_SIZE = 64
HELD_OUT = 360
BOUNDS = {"lr": (1e-3, 0.3), "momentum": (0.0, 0.95)}


# One member, for everybody who trains digits in JAX ----------------------------------------


def read_digits(path: str) -> Any:
    """Training and held-out images of shape (images, 64), each with its labels."""
    with np.load(path) as data:
        pair = data["inputs"], data["labels"].astype(np.int32)
    return tuple(a[HELD_OUT:] for a in pair), tuple(a[:HELD_OUT] for a in pair)


def init(key: Any) -> Any:
    """A fresh member: weights as PyTorch draws them, and no momentum yet."""
    keys, weights = jax.random.split(key, 4), {}
    for layer, (inputs, outputs) in enumerate([(64, 128), (128, 10)]):
        bound = 1 / inputs**0.5
        for part, shape in enumerate([(inputs, outputs), (outputs,)]):
            draw = jax.random.uniform(keys[2 * layer + part], shape, minval=-bound, maxval=bound)
            weights[f"{'wb'[part]}{layer}"] = draw
    return weights, jax.tree.map(jnp.zeros_like, weights)


def logits(weights: Any, inputs: Any) -> Any:
    hidden = jax.nn.relu(inputs @ weights["w0"] + weights["b0"])
    return hidden @ weights["w1"] + weights["b1"]


def entropy(weights: Any, inputs: Any, labels: Any) -> Any:
    found = jax.nn.log_softmax(logits(weights, inputs))
    return -jnp.take_along_axis(found, labels[:, None], axis=1).mean()


def step(state: Any, hparams: Any, batch: Any) -> Any:
    """One step of SGD with momentum, as PyTorch takes it."""
    weights, momenta = state
    slopes = jax.grad(entropy)(weights, *batch)
    momenta = jax.tree.map(lambda m, g: hparams["momentum"] * m + g, momenta, slopes)
    return jax.tree.map(lambda w, m: w - hparams["lr"] * m, weights, momenta), momenta


def accuracy(state: Any, held: Any) -> Any:
    inputs, labels = held
    return jnp.mean(logits(state[0], inputs).argmax(axis=1) == labels)


# The reference -----------------------------------------------------------------------------


def draw_hparams(key: Any, shape: tuple[int, ...]) -> Any:
    one, two = jax.random.split(key)
    low, high = map(np.log, BOUNDS["lr"])
    lr = jnp.exp(jax.random.uniform(one, shape, minval=low, maxval=high))
    low, high = BOUNDS["momentum"]
    return {"lr": lr, "momentum": jax.random.uniform(two, shape, minval=low, maxval=high)}


def take_over(state: Any, hparams: Any, scores: Any, key: Any) -> Any:
    """The worst fifth's rows are overwritten by rows drawn from the best fifth."""
    count = max(1, int(FRACTION * len(scores)))
    draw, *turns = jax.random.split(key, 1 + len(hparams))
    order = jnp.argsort(-scores)
    losers, donors = order[-count:], jax.random.choice(draw, order[:count], (count,))
    state = jax.tree.map(lambda array: array.at[losers].set(array[donors]), state)
    changed = {}
    for (name, values), turn in zip(hparams.items(), turns, strict=True):
        factors = jax.random.choice(turn, jnp.array(FACTORS), (count,))
        changed[name] = values.at[losers].set(jnp.clip(values[donors] * factors, *BOUNDS[name]))
    return state, changed


def train_round(work: Work, state: Any, hparams: Any, number: Any, digits: Any) -> Any:
    """`interval` steps of everybody, everybody's score, and perhaps take-overs."""
    alone = work.variant == "alone"
    (inputs, labels), held = digits
    batches, turn = jax.random.split(jax.random.fold_in(jax.random.key(work.seed), number))
    shape = (BATCH_SIZE,) if alone else (work.members, BATCH_SIZE)
    all_step = step if alone else jax.vmap(step)
    score = accuracy if alone else jax.vmap(accuracy, (0, None))

    def one(state: Any, key: Any) -> Any:
        places = jax.random.randint(key, shape, 0, len(labels))
        return all_step(state, hparams, (inputs[places], labels[places])), None

    state, _ = jax.lax.scan(one, state, jax.random.split(batches, work.interval))
    scores = score(state, held)
    if work.variant == "exploit" and work.members > 1:
        state, hparams = take_over(state, hparams, scores, turn)
    return state, hparams, scores


class Population:
    """What stands on the device, and the program that trains it."""

    def __init__(self, work: Work) -> None:
        self.digits = jax.device_put(read_digits(work.data))
        one, two = jax.random.split(jax.random.key(work.seed))
        alone = work.variant == "alone"
        keys = one if alone else jax.random.split(one, work.members)
        self.state = jax.jit(init if alone else jax.vmap(init))(keys)
        self.hparams = draw_hparams(two, () if alone else (work.members,))
        self.done = 0
        program = jax.jit(partial(train_round, work), donate_argnums=(0, 1))
        given = self.state, self.hparams, np.int32(0), self.digits
        self.program = program.lower(*given).compile()

    def rounds(self, count: int) -> None:
        for number in range(self.done, self.done + count):
            self.state, self.hparams, self.scores = self.program(
                self.state, self.hparams, np.int32(number), self.digits
            )
        self.done += count
        jax.block_until_ready(self.state)


def peak_bytes(program: Any) -> int | None:
    """On a GPU what was allocated at most; on the CPU what the compiler says a round takes."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return int((device.memory_stats() or {}).get("peak_bytes_in_use", 0)) or None
    memory = program.memory_analysis()
    return int(
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def main() -> None:
    work = told()
    began = time.perf_counter()
    population = Population(work)
    population.rounds(1)
    first_round_s = time.perf_counter() - began
    rounds, seconds = timed(population.rounds, work.seconds)
    answer(
        Figures(
            rounds=rounds,
            seconds=seconds,
            first_round_s=first_round_s,
            accuracy=float(np.max(population.scores)),
            peak_bytes=peak_bytes(population.program),
            idle_s=None,
            device=jax.devices()[0].device_kind,
            versions={"jax": jax.__version__},
        )
    )


if __name__ == "__main__":
    main()
