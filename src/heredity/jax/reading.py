"""Reading a stream: a round's batches at once, the next round's while this one trains.

Knows iterators and steps only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from heredity.errors import TrainingError, UsageError

Put = Callable[[Any], Any]
"""Brings a pytree of arrays to the devices."""


class Reader:
    """Reads one stream, in one thread. Give it back with `close`."""

    def __init__(self, make_iterator: Callable[[int], Iterator[Any]]) -> None:
        self._make = make_iterator
        self._iterator: Iterator[Any] = iter(())
        self._next_step: int | None = None
        self._ahead: tuple[int, Future[Any]] | None = None
        self._thread = ThreadPoolExecutor(1, "heredity-stream")

    def example(self) -> Any:
        """The first batch."""
        batches = list(itertools.islice(iter(self._make(0)), 1))
        if not batches:
            raise UsageError("the iterator of stream() gave no batch at step 0")
        return batches[0]

    def take(self, step: int, count: int, put: Put) -> Any:
        """The batches of `count` steps from `step`, stacked, on the devices."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] != step:
            ahead = step, self._thread.submit(self._read, step, count, put)
        stacked, found = ahead[1].result()
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
        self._ahead = step, self._thread.submit(self._read, step, count, put)

    def close(self) -> None:
        """Stop reading. What is being read is waited for."""
        self._thread.shutdown(cancel_futures=True)

    def _read(self, step: int, count: int, put: Put) -> tuple[Any, int]:
        if self._next_step != step:
            self._iterator = iter(self._make(step))
        batches = list(itertools.islice(self._iterator, count))
        self._next_step = step + len(batches)
        return (put(_stacked(batches, step)) if batches else None), len(batches)


def _stacked(batches: list[Any], step: int) -> Any:
    try:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
    except ValueError as error:
        raise TrainingError(
            f"the batches of stream() from step {step} on differ in shape or structure: {error}"
        ) from None
