"""Reading a stream: a round's batches at once, the next round's while this one trains.

Knows iterators and steps only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Any

import jax
import numpy as np

from heredity.errors import TrainingError, UsageError
from heredity.trainables.traces import one_line, user_frames

Put = Callable[[Any], Any]
"""Brings a pytree of arrays to the devices."""

END = object()
"""What an iterator gives after its last batch."""


class Reader:
    """Reads one stream, in one thread, which nobody waits for: it may be held up in the user's
    iterator. Give it back with `close`.
    """

    def __init__(self, make_iterator: Callable[[int], Iterator[Any]]) -> None:
        self._make = make_iterator
        self._iterator: Iterator[Any] = iter(())
        self._next_step: int | None = None
        self._form: _Form | None = None
        self._ahead: _Reading | None = None
        self._closed = False
        self._wanted: SimpleQueue[_Reading | None] = SimpleQueue()
        self._stop = weakref.finalize(self, self._wanted.put, None)
        Thread(target=_work, args=(self._wanted,), name="heredity-stream", daemon=True).start()

    def example(self) -> Any:
        """The first batch, which all others must be like."""
        batch, self._next_step = self._batch(0), None
        if batch is END:
            raise UsageError("the iterator of stream() gave no batch at step 0")
        self._form = _form(batch)
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
        """Read no further. What is being read is not waited for."""
        self._closed = True
        self._stop()

    # In the thread -----------------------------------------------------------------------------

    def _submit(self, step: int, count: int, put: Put) -> _Reading:
        reading = _Reading(step, count, lambda: self._read(step, count, put))
        self._wanted.put(reading)
        return reading

    def _read(self, step: int, count: int, put: Put) -> tuple[Any, int]:
        """Stacked batches of so many steps, and how many there were. Copied one by one, since an
        iterator may use its arrays again."""
        form = self._form
        assert form is not None
        stacked = [np.empty((count, *shape), dtype) for shape, dtype in form.kinds]
        found = 0
        while found < count and not self._closed:
            if (batch := self._batch(step + found)) is END:
                break
            _check_form(batch, form, step + found)
            for place, leaf in zip(stacked, jax.tree.leaves(batch), strict=True):
                place[found] = leaf
            found += 1
        if found == 0 or self._closed:
            return None, 0
        return put(jax.tree.unflatten(form.structure, [leaf[:found] for leaf in stacked])), found

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
    read: Callable[[], tuple[Any, int]]
    result: Future[tuple[Any, int]] = field(default_factory=Future)


def _work(wanted: SimpleQueue[_Reading | None]) -> None:
    """Read what is wanted, one after the other, until None is. Holds no reader meanwhile."""
    while (reading := wanted.get()) is not None:
        try:
            reading.result.set_result(reading.read())
        except BaseException as error:
            reading.result.set_exception(error)
        del reading


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
