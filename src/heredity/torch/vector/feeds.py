"""Where a population's batches come from: the seam, and batches drawn from resident arrays.

The order of a member's batches is a function of (seed, member, epoch), the draw with replacement
one of (seed, member, turn, step): nothing is stored, so a study that goes on after a crash sees the
same batches. This file knows nothing of models or of what is done with a batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.executors.program import Round
from heredity.torch.vector.data import Batches
from heredity.torch.vector.keys import Purpose, below, bits, fold, member_keys, on_device

AHEAD = 1 << 18
"""How many indices are drawn with replacement at a time: few kernels, little memory."""

SHARED_LANE = np.array([-1])
"""The member that draws for all."""

SORTED_AT_ONCE = 1 << 24
"""How many elements are shuffled at a time; bounds the memory that a sort takes."""


class Feed(Protocol):
    """The batches of a population, round after round. Made once a study; not thread-safe."""

    @property
    def shared(self) -> bool:
        """Whether a batch has no population axis, because all members see the same one."""

    def sample(self, rows: int) -> Any:
        """A batch for trying functions out: the first examples, for each of the rows."""

    def begin(self, round: Round, members: NDArray[np.int64]) -> None:
        """A round begins, of these members. What is shared goes by the furthest."""

    def read_on(self) -> None:
        """Begin to fetch what the next round is expected to want. Until this is called no code of
        the user's runs, so that nothing else draws random numbers while members start."""

    def batch(self, rows: slice, step: int) -> Any:
        """The batches of the round's step for these rows: arrays of shape (rows, size, …), or
        (size, …) if shared."""

    def close(self) -> None:
        """Let go of memory and threads. Safe to call twice."""


def furthest(steps: NDArray[np.int64], idle: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Where those stand, of the rows that train, that have come furthest; shape (1,)."""
    trained = steps if idle is None or idle.all() else steps[~idle]
    return np.array([trained.max()])


class Nothing:
    """No data: a batch is None."""

    shared = True

    def sample(self, rows: int) -> Any:
        return None

    def begin(self, round: Round, members: NDArray[np.int64]) -> None: ...

    def read_on(self) -> None: ...

    def batch(self, rows: slice, step: int) -> Any:
        return None

    def close(self) -> None: ...


class Resident:
    """Batches drawn on the device from arrays that stay there, in each member's own order."""

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
        return self._data.shared

    def begin(self, round: Round, members: NDArray[np.int64]) -> None:
        starts, turns = round.starts, round.turns
        if self.shared:
            members = SHARED_LANE
            starts, turns = (furthest(column, round.idle) for column in (starts, turns))
        self._members, self._starts = members, starts
        self._keys = member_keys(self._seed, members, turns, Purpose.BATCH, self._device)
        self._ahead: tuple[slice, int, Tensor] | None = None

    def sample(self, rows: int) -> Any:
        place = torch.arange(self._data.size, device=self._device) % self._count
        taken = [leaf.index_select(0, place) for leaf in self._leaves]
        if not self.shared:
            taken = [batch.expand(rows, *batch.shape) for batch in taken]
        return pytree.tree_unflatten(taken, self._form)

    def read_on(self) -> None: ...

    def close(self) -> None:
        self._leaves, self._ahead = [], None
        self._order = self._order.new_empty(0)

    def batch(self, rows: slice, step: int) -> Any:
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
