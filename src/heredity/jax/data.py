"""Training data: arrays that live on the device, drawn from inside the step, or a Python iterator.

What is drawn follows from keys and counters alone; nothing is stored in a member's state. This file
knows nothing of members' weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from heredity.errors import UsageError
from heredity.jax.permutation import permuted
from heredity.jax.words import require_takes


class Feed(Protocol):
    """Where batches come from."""

    @property
    def own(self) -> bool:
        """Whether each member draws batches of its own."""

    @property
    def anew(self) -> bool:
        """Whether a member's turn draws other batches than its turn before would have."""

    def draw(self, data: Any, key: Any, index: Any, step: Any) -> Any:
        """One batch, traced.

        Args:
            data: the arrays on the device.
            key: of the member, of its turn if each draws anew, or of the study where all share
                their batches.
            index: the step within the round, from 0.
            step: the step of the study; of the member's weights if its batches are its own.
        """


@dataclass(frozen=True)
class NoData:
    """No data: `step` is given None for a batch."""

    own = anew = False

    def draw(self, data: Any, key: Any, index: Any, step: Any) -> Any:
        return None


@dataclass(frozen=True, eq=False)
class Batches:
    """Arrays on the device; see `batches`."""

    arrays: Any
    batch_size: int
    replace: bool
    shared: bool

    @property
    def own(self) -> bool:
        return not self.shared

    @property
    def anew(self) -> bool:
        return self.replace

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(jax.tree.leaves(self.arrays)[0])

    def draw(self, data: Any, key: Any, index: Any, step: Any) -> Any:
        rows = self._rows(key, step)
        return jax.tree.map(lambda array: jnp.take(array, rows, axis=0), data)

    def _rows(self, key: Any, number: Any) -> Any:
        """The examples of a key's batch of this number."""
        if self.replace:
            key = jax.random.fold_in(key, number)
            return jax.random.randint(key, (self.batch_size,), 0, self.examples)
        return permuted(key, number, self.batch_size, self.examples)


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches of a Python iterator; see `stream`. `reading.Reader` reads them."""

    make_iterator: Callable[[int], Iterator[Any]]

    own = anew = False

    def draw(self, data: Any, key: Any, index: Any, step: Any) -> Any:
        return jax.tree.map(lambda array: array[index], data)


def batches(arrays: Any, batch_size: int, *, replace: bool = False, shared: bool = False) -> Any:
    """Data that lives on the device once, for all members.

    Args:
        arrays: a pytree of arrays with the examples first, all of one length.
        batch_size: examples in a batch. `step` gets the same pytree with so many of them.
        replace: draw with replacement; else every example once per epoch, in another order each
            time. Epochs go on from trial to trial, counted by the steps of a member's weights: one
            that takes over another goes on at the donor's step, in an order of its own.
        shared: all members get the same batches, in epochs of the study; else each its own.

    Raises `UsageError` for arrays of unequal length, or a batch larger than they are.
    """
    leaves = jax.tree_util.tree_flatten_with_path(arrays)[0]
    named = {jax.tree_util.keystr(path) or "data": leaf for path, leaf in leaves}
    lengths = {name: _length(name, leaf) for name, leaf in named.items()}
    if not lengths:
        raise UsageError("batches() got no arrays: batches((x, y), batch_size=64)")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        raise UsageError(f"the arrays of batches() differ in their number of examples: {listed}")
    examples = next(iter(lengths.values()))
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise UsageError(f"batch_size is a whole number, the same for all, not {batch_size!r}")
    if examples >= 2**30:
        raise UsageError(f"batches() takes fewer than 2**30 examples, not {examples}: use stream()")
    if not 1 <= batch_size <= examples:
        raise UsageError(
            f"batch_size must be from 1 to the number of examples, {examples}; got {batch_size}"
        )
    arrays = jax.tree.map(lambda a: a if isinstance(a, jax.Array) else np.asarray(a), arrays)
    return Batches(arrays, batch_size, bool(replace), bool(shared))


def stream(make_iterator: Callable[[int], Iterator[Any]]) -> Any:
    """Batches that Python makes; every member trains on the same one.

    They are read in a thread, one round ahead of the training.

    Args:
        make_iterator: called with the step of the study to begin at, 0 at first; gives an iterator
            of batches (pytrees of arrays, all of the same shapes) without end. The same step must
            give the same batches, for a study that goes on after a crash to be the same study.
    """
    if not callable(make_iterator):
        raise UsageError(
            f"stream() takes a function from a step to an iterator, not {make_iterator!r:.80}"
        )
    require_takes("make_iterator", make_iterator, ("step",))
    return Stream(make_iterator)


def as_feed(data: Any) -> Feed:
    """What `VectorTrainable(data=…)` was given."""
    if data is None:
        return NoData()
    if isinstance(data, Batches | Stream):
        return data
    raise UsageError(
        "data is heredity.jax.batches(arrays, batch_size) or heredity.jax.stream(make_iterator), "
        f"not {type(data).__name__}"
    )


def resident(feed: Feed) -> Any:
    """The arrays that a feed keeps on the device."""
    return feed.arrays if isinstance(feed, Batches) else None


def _length(name: str, leaf: Any) -> int:
    shape = np.shape(leaf)
    if not shape:
        listed = name[-2:-1].isdigit()
        remedy = " (lists are no arrays: make them such with np.asarray(…))" if listed else ""
        raise UsageError(
            "the arrays of batches() must have the examples first, "
            f"but {name} is {leaf!r:.40}{remedy}"
        )
    return int(shape[0])
