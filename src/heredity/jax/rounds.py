"""A round as one pure function: `steps` of all rows, their evaluation, and what came of it.

A scan over steps of `vmap` over members. Where not all rows fit the device at once, chunks of them
train one after the other within the same program. This file knows nothing of devices or of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from heredity.executors.program import Round
from heredity.jax.check import Checked
from heredity.jax.data import Feed
from heredity.jax.inlining import inlined
from heredity.jax.keys import member_key, root
from heredity.jax.layout import Arrays

Table = Any
"""What is known of every row, as a pytree of arrays with one entry a row."""


@dataclass(frozen=True)
class Rounds:
    """Rounds of a population.

    Attributes:
        checked: the user's functions.
        feed: where batches come from.
        seed: of all randomness.
        chunk: rows that train at once.
        ramps: whether hparams may ramp.
    """

    checked: Checked
    feed: Feed
    seed: int
    chunk: int
    ramps: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in the order of `run`'s results."""
        return self.checked.metrics + self.checked.step_metrics

    def table(self, round: Round, members: Any) -> Table:
        """What a round tells about the rows of these members."""
        hparams = self.checked.member.hparams
        return {
            "member": np.asarray(members, np.int32),
            "turn": np.asarray(round.turns, np.int32),
            "start": np.asarray(round.starts, np.int32),
            "values": hparams.cast(round.hparams),
            "ramp": hparams.ramp(round) if self.ramps else {},
        }

    def init(self, table: Table) -> Arrays:
        """Fresh states of the rows; of whole chunks, one after the other."""
        rows = self._rows(table)
        if rows <= self.chunk or rows % self.chunk:  # a few rows that start afresh
            return self._init(table)
        shape = (rows // self.chunk, self.chunk)
        parts = jax.tree.map(lambda array: array.reshape(shape + array.shape[1:]), table)
        states = jax.lax.map(self._init, parts)
        return [array.reshape(rows, *array.shape[2:]) for array in states]

    def _init(self, table: Table) -> Arrays:
        key = root(self.seed, "init")

        def one(row: Any) -> Arrays:
            fresh = member_key(key, row["member"], row["turn"])
            return inlined(self.checked.member.init)(fresh, row["values"])

        return jax.vmap(one)(table)

    def run(
        self, state: Arrays, table: Table, common: Any, data: Any, steps: int
    ) -> tuple[Arrays, Any]:
        """Train, evaluate, and measure.

        Returns the new state and, of shape (rows, 1 + metrics), whether each row's state is finite
        and its metrics in the order of `names`.
        """
        count = self._rows(table) // self.chunk
        if count == 1:
            return self._run(state, table, common, data, steps)

        def part(state: Arrays, number: Any) -> tuple[Arrays, Any]:
            first = number * self.chunk
            rows, known = (
                jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, first, self.chunk), tree)
                for tree in (state, table)
            )
            rows, result = self._run(rows, known, common, data, steps)
            placed = [
                jax.lax.dynamic_update_slice_in_dim(whole, row, first, 0)
                for whole, row in zip(state, rows, strict=True)
            ]
            return placed, result

        state, results = jax.lax.scan(part, state, jnp.arange(count))
        return state, results.reshape(-1, results.shape[-1])

    def _run(
        self, state: Arrays, table: Table, common: Any, data: Any, steps: int
    ) -> tuple[Arrays, Any]:
        state, measured = self.train(state, table, common["step"], data, steps)
        metrics = jax.lax.cond(
            common["measured"],
            lambda: self.evaluate(state, table, 0),
            lambda: dict.fromkeys(self.checked.metrics, jnp.full(self.chunk, jnp.nan)),
        )
        columns = [jax.vmap(_finite)(state).astype(jnp.asarray(0.0).dtype)]
        columns += [metrics[name] for name in self.checked.metrics]
        columns += [measured[name] for name in self.checked.step_metrics]
        return state, jnp.stack(columns, axis=1)

    def train(
        self, state: Arrays, table: Table, step: Any, data: Any, steps: int
    ) -> tuple[Arrays, Any]:
        """Train rows from the study's `step`; their states, and step metrics' means."""
        member, feed = self.checked.member, self.feed
        own = jax.vmap(member_key, (None, 0, 0))
        keys = own(root(self.seed, "step"), table["member"], table["turn"])
        batch_keys = root(self.seed, "batch")
        if feed.own:
            turns = table["turn"] if feed.anew else jnp.zeros_like(table["turn"])
            batch_keys = own(batch_keys, table["member"], turns)

        def one(state: Arrays, row: Any, key: Any, batch: Any, index: Any) -> Any:
            if feed.own:
                batch = feed.draw(data, batch, index, row["start"] + index)
            values = row["values"]
            if self.ramps:
                values = member.hparams.at(values, row["ramp"], index)
            fresh = jax.random.fold_in(key, index)
            return inlined(member.step)(state, values, batch, fresh)

        rows = jax.vmap(one, (0, 0, 0, 0 if feed.own else None, None))

        def all_at(carry: Any, index: Any) -> Any:
            state, sums = carry
            batch = batch_keys if feed.own else feed.draw(data, batch_keys, index, step + index)
            state, metrics = rows(state, table, keys, batch, index)
            return (state, [sums[i] + metrics[name] for i, name in enumerate(names)]), None

        names = self.checked.step_metrics
        zeros = [jnp.zeros(self._rows(table)) for _ in names]
        (state, sums), _ = jax.lax.scan(all_at, (state, zeros), jnp.arange(steps, dtype=jnp.int32))
        return state, {name: total / steps for name, total in zip(names, sums, strict=True)}

    def evaluate(self, state: Arrays, table: Table, number: Any) -> Any:
        """Metrics of the rows, by name; evaluations of another number draw other keys."""
        key = root(self.seed, "evaluate")

        def one(state: Arrays, row: Any) -> Any:
            fresh = jax.random.fold_in(member_key(key, row["member"], row["turn"]), number)
            return inlined(self.checked.member.evaluate)(state, row["values"], fresh)

        return jax.vmap(one)(state, table)

    def _rows(self, table: Table) -> int:
        return int(table["turn"].shape[0])


def _finite(state: Arrays) -> Any:
    """Whether no array of one member holds an infinity or a NaN."""
    real = [array for array in state if jnp.issubdtype(array.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(array).all() for array in real]).all()
