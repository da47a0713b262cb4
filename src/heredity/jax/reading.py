"""Reading a stream: a round's batches at once, the next round's while this one trains.

Knows iterators and steps only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from heredity.errors import TrainingError, UsageError
from heredity.trainables.traces import one_line, user_frames

Put = Callable[[Any], Any]
"""Brings a pytree of arrays to the devices."""

END = object()
"""What an iterator gives after its last batch."""


class Reader:
    """Reads one stream, in one thread. Give it back with `close`."""

    def __init__(self, make_iterator: Callable[[int], Iterator[Any]]) -> None:
        self._make = make_iterator
        self._iterator: Iterator[Any] = iter(())
        self._next_step: int | None = None
        self._ahead: _Reading | None = None
        self._thread = ThreadPoolExecutor(1, "heredity-stream")

    def example(self) -> Any:
        """The first batch."""
        batch, self._next_step = self._batch(0), None
        if batch is END:
            raise UsageError("the iterator of stream() gave no batch at step 0")
        return batch

    def take(self, step: int, count: int, put: Put) -> Any:
        """The batches of `count` steps from `step`, stacked, on the devices."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.step != step or ahead.count < count:
            ahead = self._submit(step, count, put)
        stacked, found = ahead.result.result()
        if found < count:
            raise TrainingError(
                f"the iterator of stream() ended at step {step + found}: make it endless, for "
                "example with itertools.cycle"
            )
        if found > count:
            self._next_step = None  # read further than was wanted
            stacked = jax.tree.map(lambda array: array[:count], stacked)
        return stacked

    def prefetch(self, step: int, count: int, put: Put) -> None:
        """Begin to read what `take` is expected to want next."""
        self._ahead = self._submit(step, count, put)

    def close(self) -> None:
        """Stop reading. What is being read is waited for."""
        self._thread.shutdown(cancel_futures=True)

    # In the thread -----------------------------------------------------------------------------

    def _submit(self, step: int, count: int, put: Put) -> _Reading:
        return _Reading(step, count, self._thread.submit(self._read, step, count, put))

    def _read(self, step: int, count: int, put: Put) -> tuple[Any, int]:
        """Stacked batches of so many steps, and how many there were. Copied one by one, since an
        iterator may use its arrays again."""
        batch = self._batch(step)
        if batch is END:
            return None, 0
        first = _flat(batch)
        stacked = [np.empty((count, *leaf.shape), leaf.dtype) for leaf in first.leaves]
        found = 0
        while found < count and batch is not END:
            flat = _flat(batch)
            _check_form(flat, first, step + found)
            for place, leaf in zip(stacked, flat.leaves, strict=True):
                place[found] = leaf
            found += 1
            batch = self._batch(step + found) if found < count else END
        return put(jax.tree.unflatten(first.structure, [leaf[:found] for leaf in stacked])), found

    def _batch(self, step: int) -> Any:
        """The batch of a step, or `END`."""
        if self._next_step != step:
            self._iterator = self._called(step, lambda: iter(self._make(step)))
        batch = self._called(step, lambda: next(self._iterator, END))
        self._next_step = step if batch is END else step + 1
        return batch

    def _called(self, step: int, function: Callable[[], Any]) -> Any:
        """What the user's code gives."""
        try:
            return function()
        except Exception as error:
            self._next_step = None
            raise TrainingError(
                f"the iterator of stream() failed at step {step}: {one_line(error)}",
                remote_traceback=user_frames(error),
            ) from error


@dataclass(frozen=True)
class _Reading:
    """Batches on their way: `count` steps from `step`."""

    step: int
    count: int
    result: Future[tuple[Any, int]]


@dataclass(frozen=True)
class _Batch:
    """A batch as a list of arrays."""

    leaves: list[NDArray[Any]]
    structure: Any

    @property
    def form(self) -> Any:
        return self.structure, [(leaf.shape, leaf.dtype) for leaf in self.leaves]

    def __str__(self) -> str:
        words = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in self.leaves]
        return str(jax.tree.unflatten(self.structure, words)).replace("'", "")


def _flat(batch: Any) -> _Batch:
    leaves, structure = jax.tree.flatten(batch)
    return _Batch([np.asarray(leaf) for leaf in leaves], structure)


def _check_form(batch: _Batch, first: _Batch, step: int) -> None:
    if batch.form != first.form:
        raise TrainingError(
            f"the batches of stream() differ: the one at step {step} is {batch}, those before "
            f"were {first}; make all alike, for example by leaving out a last short one"
        )
