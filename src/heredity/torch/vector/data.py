"""Batches drawn on the device from resident arrays, in each member's own order.

The order is a function of (seed, member, epoch), the draw with replacement one of (seed, member,
turn, step): nothing is stored, so a study that goes on after a crash sees the same batches. This
file knows nothing of models or of what is done with a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.errors import UsageError
from heredity.torch.vector.draws import Purpose, below, bits, fold, member_keys, on_device

AHEAD = 1 << 18
"""How many indices are drawn with replacement at a time: few kernels, little memory."""

SHARED_LANE = np.array([-1])
"""The member that draws for all."""

SORTED_AT_ONCE = 1 << 24
"""How many elements are shuffled at a time; bounds the memory that a sort takes."""


@dataclass(frozen=True)
class Batches:
    """What `batches` was given."""

    arrays: Any
    size: int
    replace: bool
    shared: bool


def batches(
    arrays: Any, batch_size: int, *, replace: bool = False, shared: bool = False
) -> Batches:
    """Batches of `batch_size` examples from arrays that stay on the device.

    Args:
        arrays: NumPy arrays or tensors of equal length, as a tuple, a dict or a single one; a batch
            has the same form. Training takes place on the device of the tensors.
        replace: draw each batch independently. By default an epoch goes through all examples in
            random order, leaving out those that fill no batch; members keep their own orders, which
            takes 4 bytes for each member and example.
        shared: all members see the same batches.

    Raises `UsageError` for arrays of unequal length or a size that does not fit.
    """
    leaves = pytree.tree_leaves(arrays)
    lengths = [_length(leaf) for leaf in leaves]
    if not lengths:
        raise UsageError("batches() needs arrays, such as batches((x, y), 64)")
    if len(set(lengths)) > 1:
        raise UsageError(f"batches() needs arrays of equal length, not {_listed(lengths)}")
    if type(batch_size) is not int or batch_size < 1:
        raise UsageError(
            f"batch_size is a whole number of at least 1, not {batch_size!r:.80}: it is a shape, "
            "so it is the same for all members"
        )
    if batch_size > lengths[0] and not replace:
        raise UsageError(
            f"batch_size={batch_size} is more than the {lengths[0]} examples: take a smaller one, "
            "or replace=True"
        )
    return Batches(pytree.tree_map(torch.as_tensor, arrays), batch_size, replace, shared)


def _length(leaf: Any) -> int:
    shape = getattr(leaf, "shape", None)
    if not shape or not isinstance(leaf, Tensor | np.ndarray):
        raise UsageError(
            f"batches() takes NumPy arrays and tensors with one row an example, not {leaf!r:.80}"
        )
    if not shape[0]:
        raise UsageError("batches() got an array without examples")
    return int(shape[0])


def _listed(lengths: list[int]) -> str:
    return " and ".join(map(str, lengths))


class Stream:
    """The batches of a population, round after round. Made once a study; not thread-safe."""

    def __init__(self, data: Batches, seed: int, population: int, device: torch.device) -> None:
        leaves, self._form = pytree.tree_flatten(data.arrays)
        self._leaves: list[Tensor] = [leaf.to(device) for leaf in leaves]
        self._data, self._seed, self._device = data, seed, device
        self._count = len(self._leaves[0])
        self._epoch_steps = max(1, self._count // data.size)
        lanes = 1 if data.shared else population
        self._ordered = np.full((lanes, 2), -1, dtype=np.int64)
        self._order = torch.empty(0 if data.replace else (lanes, self._count), dtype=torch.int32)
        self._order = self._order.to(device)

    @property
    def shared(self) -> bool:
        """Whether a batch has no population axis, because all members see the same one."""
        return self._data.shared

    def begin(
        self, members: NDArray[np.int64], starts: NDArray[np.int64], turns: NDArray[np.int64]
    ) -> None:
        """A round begins; arrays have one entry a row. A shared stream goes by the furthest."""
        if self.shared:
            members, starts, turns = (
                SHARED_LANE,
                starts.max(keepdims=True),
                turns.max(keepdims=True),
            )
        self._members, self._starts = members, starts
        self._keys = member_keys(self._seed, members, turns, Purpose.BATCH, self._device)
        self._ahead: tuple[slice, int, Tensor] | None = None

    def batch(self, rows: slice, step: int) -> Any:
        """The batches of the round's step for these rows: arrays of shape (rows, size, …), or
        (size, …) if shared."""
        rows = slice(0, 1) if self.shared else rows
        index = self._drawn(rows, step) if self._data.replace else self._next(rows, step)
        flat = index.reshape(-1)
        shape = index.shape[1:] if self.shared else index.shape
        taken = [leaf.index_select(0, flat).view(*shape, *leaf.shape[1:]) for leaf in self._leaves]
        return pytree.tree_unflatten(taken, self._form)

    def _drawn(self, rows: slice, step: int) -> Tensor:
        """With replacement: the step's indices, drawn for many steps at once."""
        if (
            self._ahead is None
            or self._ahead[0] != rows
            or not (0 <= step - self._ahead[1] < len(self._ahead[2]))
        ):
            keys, size = self._keys[rows], self._data.size
            steps = max(1, AHEAD // (len(keys) * size))
            numbers = torch.arange(step, step + steps, device=self._device)
            words = bits(fold(keys, numbers[:, None]), size)
            self._ahead = rows, step, below(words, self._count)
        return self._ahead[2][step - self._ahead[1]]

    def _next(self, rows: slice, step: int) -> Tensor:
        """Without replacement: the next part of each member's order."""
        epochs, places = np.divmod(self._starts[rows] + step, self._epoch_steps)
        wanted = np.stack([self._members[rows], epochs], axis=1)
        if (stale := (self._ordered[rows] != wanted).any(axis=1)).any():
            self._shuffle(np.flatnonzero(stale) + rows.start, wanted[stale])
        size, first = self._data.size, int(places[0])
        order = self._order[rows]
        if (places == first).all():
            return order[:, first * size : (first + 1) * size]
        offsets = on_device(places * size, self._device)
        return order.gather(1, offsets[:, None] + torch.arange(size, device=self._device))

    def _shuffle(self, rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> None:
        """Give rows the orders that are wanted: (member, epoch) of each."""
        self._ordered[rows] = wanted
        at_once = max(1, SORTED_AT_ONCE // self._count)
        for first in range(0, len(rows), at_once):
            some = slice(first, first + at_once)
            members, epochs = wanted[some].T
            keys = member_keys(self._seed, members, epochs, Purpose.ORDER, self._device)
            order = bits(keys, self._count).argsort(dim=1, stable=True).to(torch.int32)
            self._order.index_copy_(0, on_device(rows[some], self._device), order)


def device_of(data: Batches | None) -> torch.device | None:
    """The device that the data are on."""
    leaves: list[Tensor] = pytree.tree_leaves(data.arrays) if data else []
    devices = {leaf.device for leaf in leaves}
    if len(devices) > 1:
        raise UsageError(
            f"the arrays of batches() are on several devices: {sorted(map(str, devices))}"
        )
    return devices.pop() if devices else None


def sample_of(data: Batches, rows: int, device: torch.device) -> Any:
    """A batch for trying functions out: the first examples, for each of the rows."""
    place = torch.arange(data.size, device=device) % len(pytree.tree_leaves(data.arrays)[0])
    shape = () if data.shared else (rows, data.size)

    def take(leaf: Tensor) -> Tensor:
        batch = leaf.to(device).index_select(0, place)
        return batch.expand(*shape[:1], *batch.shape) if shape else batch

    taken: Mapping[str, Any] | Any = pytree.tree_map(take, data.arrays)
    return taken
