"""Reading a stream: a round's batches at once, the next round's while this one trains.

Knows iterators and steps only.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.errors import TrainingError, UsageError
from heredity.executors.program import Round
from heredity.torch.vector.data import Stream
from heredity.torch.vector.feeds import furthest
from heredity.trainables.traces import one_line, user_frames

LEAVE_S = 2.0
"""How long the end of the interpreter waits for a batch that is being read. A thread that it would
find within torch, and not blocked in an iterator, would take the process down."""

END = object()
"""What an iterator gives after its last batch."""

Stacked = tuple[list[Tensor], int]
"""Stacked batches, and how many there were."""


class Reader:
    """Batches of an iterator, the same for all members. Reads ahead in a thread, which nobody has
    to wait for: whoever closes the reader or ends the interpreter leaves it behind.

    Args:
        interval: steps that the next round is expected to have.
    """

    shared = True

    def __init__(self, data: Stream, interval: int, device: torch.device) -> None:
        self._make, self._interval, self._device = data.make_iterator, interval, device
        self._iterator: Iterator[Any] = iter(())
        self._next_step: int | None = None
        self._ahead: _Reading | None = None
        self._following = 0
        self._round: list[Tensor] = []
        self._first = _flat(self._batch(0), 0)

    def sample(self, rows: int) -> Any:
        return self._tree([leaf.to(self._device) for leaf in self._first.leaves])

    def begin(self, round: Round, members: NDArray[np.int64]) -> None:
        """Wait for the round's batches. `TrainingError` if there are too few, or they differ."""
        step, count = int(furthest(round.starts, round.idle)[0]), round.steps
        stacked, found = self._taken(step, count)
        if found < count:
            raise TrainingError(
                f"the iterator of stream() ended at step {step + found}: make it endless, for "
                "example with itertools.cycle"
            )
        self._round = [leaf.to(self._device, non_blocking=True) for leaf in stacked]
        self._following = step + count

    def _taken(self, step: int, count: int) -> Stacked:
        """What was read ahead, if that is what is wanted now; else it is read."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            try:
                if ahead.step == step and ahead.count >= count:
                    return ahead.result.result()
            finally:
                ahead.stopped.set()  # also when the wait was interrupted
            ahead.result.exception()  # one at a time uses the iterator
        return self._read(step, count, Event())

    def read_on(self) -> None:
        ahead = _Reading(self._following, self._interval, Future(), Event())
        Thread(target=self._run, args=[ahead], name="heredity-stream", daemon=True).start()
        self._ahead = ahead

    def batch(self, rows: slice, step: int) -> Any:
        return self._tree([leaf[step] for leaf in self._round])

    def close(self) -> None:
        """Stop reading, after the batch that is being read: a user's iterator may be blocked."""
        if self._ahead is not None:
            self._ahead.stopped.set()
        self._round, self._ahead = [], None

    def _tree(self, leaves: list[Tensor]) -> Any:
        return pytree.tree_unflatten(leaves, self._first.structure)

    # Also in the thread ------------------------------------------------------------------------

    def _run(self, ahead: _Reading) -> None:
        _under_way.add(ahead)
        try:
            ahead.result.set_result(self._read(ahead.step, ahead.count, ahead.stopped))
        except BaseException as error:  # is the waiting thread's
            ahead.result.set_exception(error)
        finally:
            _under_way.remove(ahead)

    def _read(self, step: int, count: int, stopped: Event) -> Stacked:
        """Batches of so many steps. Copied one by one, since an iterator may use its arrays
        again."""
        pinned = self._device.type == "cuda"
        stacked = [
            torch.empty((count, *leaf.shape), dtype=leaf.dtype, pin_memory=pinned)
            for leaf in self._first.leaves
        ]
        for number in range(count):
            batch = END if stopped.is_set() else self._batch(step + number)
            if batch is END:
                return stacked, number
            flat = _flat(batch, step + number)
            self._check_form(flat, step + number)
            for place, leaf in zip(stacked, flat.leaves, strict=True):
                place[number].copy_(leaf)
        return stacked, count

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

    def _check_form(self, batch: _Batch, step: int) -> None:
        if batch.form != self._first.form:
            raise TrainingError(
                f"the batch of stream() at step {step} is {batch}, but the first was "
                f"{self._first}: make all alike, for example with drop_last=True"
            )


@dataclass(frozen=True, eq=False)
class _Reading:
    """Batches on their way: `count` steps from `step`."""

    step: int
    count: int
    result: Future[Stacked]
    stopped: Event


_under_way: set[_Reading] = set()
"""In all threads, also those that were left behind."""


@atexit.register
def _leave() -> None:
    ahead = tuple(_under_way)
    for reading in ahead:
        reading.stopped.set()
    wait([reading.result for reading in ahead], timeout=LEAVE_S)


@dataclass(frozen=True)
class _Batch:
    """A batch as a list of tensors."""

    leaves: list[Tensor]
    structure: Any

    @property
    def form(self) -> Any:
        return self.structure, [(leaf.shape, leaf.dtype) for leaf in self.leaves]

    def __str__(self) -> str:
        words = [f"{str(leaf.dtype)[6:]}{list(leaf.shape)}" for leaf in self.leaves]
        return str(pytree.tree_unflatten(words, self.structure)).replace("'", "")


def _flat(batch: Any, step: int) -> _Batch:
    if batch is END:
        raise UsageError(f"the iterator of stream() gave no batch at step {step}")
    leaves, structure = pytree.tree_flatten(batch)
    try:
        return _Batch([torch.as_tensor(leaf).detach() for leaf in leaves], structure)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"a batch of stream() is made of arrays and tensors, not {batch!r:.80}"
        ) from None
