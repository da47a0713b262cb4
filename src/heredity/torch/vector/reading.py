"""Reading a stream: a round's batches at once, the next round's while this one trains.

Knows iterators and steps only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.errors import TrainingError, UsageError
from heredity.executors.program import Round
from heredity.torch.vector.data import Stream
from heredity.trainables.traces import one_line, user_frames

END = object()
"""What an iterator gives after its last batch."""


class Reader:
    """Batches of an iterator, the same for all members. Reads in a thread: give it back with
    `close`.

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
        self._thread = ThreadPoolExecutor(1, "heredity-stream")

    def sample(self, rows: int) -> Any:
        return self._tree([leaf.to(self._device) for leaf in self._first.leaves])

    def begin(self, round: Round, members: NDArray[np.int64]) -> None:
        """Wait for the round's batches. `TrainingError` if there are too few, or they differ."""
        step, count = int(round.starts.max()), round.steps
        ahead, self._ahead = self._ahead, None
        if ahead is None or not ahead.holds(step, count):
            ahead = self._submit(step, count)
        stacked, found = ahead.result.result()
        if found < count:
            raise TrainingError(
                f"the iterator of stream() ended at step {step + found}: make it endless, for "
                "example with itertools.cycle"
            )
        self._round = [leaf.to(self._device, non_blocking=True) for leaf in stacked]
        self._following = step + count

    def read_on(self) -> None:
        self._ahead = self._submit(self._following, self._interval)

    def batch(self, rows: slice, step: int) -> Any:
        return self._tree([leaf[step] for leaf in self._round])

    def close(self) -> None:
        """Stop reading. What is being read is waited for."""
        self._thread.shutdown(cancel_futures=True)
        self._round, self._ahead = [], None

    def _tree(self, leaves: list[Tensor]) -> Any:
        return pytree.tree_unflatten(leaves, self._first.structure)

    # In the thread -----------------------------------------------------------------------------

    def _submit(self, step: int, count: int) -> _Reading:
        return _Reading(step, count, self._thread.submit(self._read, step, count))

    def _read(self, step: int, count: int) -> tuple[list[Tensor], int]:
        """Stacked batches of so many steps, and how many there were. Copied one by one, since an
        iterator may use its arrays again."""
        pinned = self._device.type == "cuda"
        stacked = [
            torch.empty((count, *leaf.shape), dtype=leaf.dtype, pin_memory=pinned)
            for leaf in self._first.leaves
        ]
        for number in range(count):
            batch = self._batch(step + number)
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


@dataclass(frozen=True)
class _Reading:
    """Batches on their way: `count` steps from `step`."""

    step: int
    count: int
    result: Future[tuple[list[Tensor], int]]

    def holds(self, step: int, count: int) -> bool:
        return self.step == step and self.count >= count


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
