"""Reading a stream: a round's batches at once, on the devices, the next round's while this one
trains.

Knows batches and steps only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import jax
import numpy as np

from heredity.errors import TrainingError, UsageError
from heredity.executors.readahead import END, ReadAhead, UserIterator

Put = Callable[[Any], Any]
"""Brings a pytree of arrays to the devices."""


class Reader:
    """Reads one stream. Give it back with `close`."""

    def __init__(self, make_iterator: Callable[[int], Iterator[Any]], put: Put) -> None:
        self._put = put
        self._iterator, self._ahead = UserIterator(make_iterator), ReadAhead(self._read)
        self._form: _Form | None = None

    def example(self) -> Any:
        """The first batch, which all others must be like."""
        batch = self._iterator.batch(0)
        if batch is END:
            raise UsageError("the iterator of stream() gave no batch at step 0")
        self._form = _form(batch)
        return batch

    def take(self, step: int, count: int) -> Any:
        """The batches of `count` steps from `step`, stacked, on the devices."""
        stacked = self._ahead.take(step, count)
        if len(jax.tree.leaves(stacked)[0]) > count:  # it was read further than is wanted
            stacked = jax.tree.map(lambda array: array[:count], stacked)
        return stacked

    def prefetch(self, step: int, count: int) -> None:
        """Begin to read what `take` is expected to want next."""
        self._ahead.begin(step, count)

    def close(self) -> None:
        """Read no further. What is being read is not waited for."""
        self._ahead.close()

    def _read(self, step: int, count: int, stopped: Event) -> tuple[Any, int]:
        """Stacked batches of so many steps, and how many there were. Copied one by one, since an
        iterator may use its arrays again. Also in a thread."""
        form = self._form
        assert form is not None
        stacked = [np.empty((count, *shape), dtype) for shape, dtype in form.kinds]
        found = 0
        while found < count and not stopped.is_set():
            if (batch := self._iterator.batch(step + found)) is END:
                break
            _check_form(batch, form, step + found)
            for place, leaf in zip(stacked, jax.tree.leaves(batch), strict=True):
                place[found] = leaf
            found += 1
        if found == 0 or stopped.is_set():
            return None, 0
        arrays = [leaf[:found] for leaf in stacked]
        return self._put(jax.tree.unflatten(form.structure, arrays)), found


@dataclass(frozen=True)
class _Form:
    """The structure of a batch, and shape and dtype of its arrays."""

    structure: Any
    kinds: list[tuple[tuple[int, ...], np.dtype[Any]]]

    def __str__(self) -> str:
        words = [f"{dtype}{list(shape)}" for shape, dtype in self.kinds]
        return str(jax.tree.unflatten(self.structure, words)).replace("'", "")


def _form(batch: Any) -> _Form:
    leaves, structure = jax.tree.flatten(batch)
    return _Form(structure, [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves])


def _check_form(batch: Any, first: _Form, step: int) -> None:
    if (form := _form(batch)) != first:
        raise TrainingError(
            f"the batches of stream() differ: the one at step {step} is {form}, the first one was "
            f"{first}; make all alike, for example by leaving out a last short one"
        )
