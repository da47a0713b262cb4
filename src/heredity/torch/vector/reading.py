"""Reading a stream: a round's batches at once, as tensors, the next round's while this one trains.

Knows batches and steps only.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.errors import TrainingError, UsageError
from heredity.executors.program import Round
from heredity.executors.readahead import END, ReadAhead, UserIterator
from heredity.torch.vector.data import Stream
from heredity.torch.vector.feeds import furthest

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
        self._interval, self._device = interval, device
        self._iterator, self._ahead = UserIterator(data.make_iterator), ReadAhead(self._read)
        self._following = 0
        self._round: list[Tensor] = []
        self._first = _flat(self._iterator.batch(0), 0)

    def sample(self, rows: int) -> Any:
        return self._tree([leaf.to(self._device) for leaf in self._first.leaves])

    def begin(self, round: Round, members: NDArray[np.int64]) -> None:
        """Wait for the round's batches. `TrainingError` if there are too few, or they differ."""
        step, count = int(furthest(round.starts, round.idle)[0]), round.steps
        stacked = self._ahead.take(step, count)
        self._round = [leaf.to(self._device, non_blocking=True) for leaf in stacked]
        self._following = step + count

    def read_on(self) -> None:
        self._ahead.begin(self._following, self._interval)

    def batch(self, rows: slice, step: int) -> Any:
        return self._tree([leaf[step] for leaf in self._round])

    def close(self) -> None:
        """Stop reading, after the batch that is being read: a user's iterator may be blocked."""
        self._ahead.close()
        self._round = []

    def _tree(self, leaves: list[Tensor]) -> Any:
        return pytree.tree_unflatten(leaves, self._first.structure)

    # Also in the thread ------------------------------------------------------------------------

    def _read(self, step: int, count: int, stopped: Event) -> Stacked:
        """Batches of so many steps. Copied one by one, since an iterator may use its arrays
        again."""
        pinned = self._device.type == "cuda"
        stacked = [
            torch.empty((count, *leaf.shape), dtype=leaf.dtype, pin_memory=pinned)
            for leaf in self._first.leaves
        ]
        for number in range(count):
            batch = END if stopped.is_set() else self._iterator.batch(step + number)
            if batch is END:
                return stacked, number
            flat = _flat(batch, step + number)
            self._check_form(flat, step + number)
            for place, leaf in zip(stacked, flat.leaves, strict=True):
                place[number].copy_(leaf)
        return stacked, count

    def _check_form(self, batch: _Batch, step: int) -> None:
        if batch.form != self._first.form:
            raise TrainingError(
                f"the batch of stream() at step {step} is {batch}, but the first was "
                f"{self._first}: make all alike, for example with drop_last=True"
            )


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
