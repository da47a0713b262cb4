"""Take-overs: copying rows onto other rows, a few at a time, in the state's own memory.

All see the states as they were: no row is overwritten while another still needs it. The plan is
made on the host; the copying happens where the rows are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from heredity.executors.program import Ints
from heredity.jax.layout import Arrays
from heredity.jax.placement import Placement, Program, Role
from heredity.jax.rounds import Rounds

SHARE = 20
"""At most one row in so many is copied at once: what a copy needs beside the state."""


@dataclass(frozen=True)
class Move:
    """Rows to copy at once: all are read before any is written."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Hold:
    """Copy a row aside, so that it may be overwritten."""

    row: int


@dataclass(frozen=True)
class Place:
    """Copy what is held onto a row."""

    target: int


def plan(sources: Ints, most: int) -> Iterator[Move | Hold | Place]:
    """How to carry out the take-overs, at most `most` rows at once.

    Rows that nobody waits for come first. What is left then are circles, of which one row is held
    aside unless they fit at once.
    """
    wanted = {row: int(s) for row, s in enumerate(sources.tolist()) if s >= 0 and s != row}
    readers = np.bincount(np.array([*wanted.values()], np.int64), minlength=len(sources))
    free = [row for row in wanted if not readers[row]]
    while free:
        batch, free = free[:most], free[most:]
        yield Move(tuple(wanted[row] for row in batch), tuple(batch))
        for row in batch:
            source = wanted.pop(row)
            readers[source] -= 1
            if not readers[source] and source in wanted:
                free.append(source)
    while wanted:
        yield from _circle(wanted, most)


def _circle(wanted: dict[int, int], most: int) -> Iterator[Move | Hold | Place]:
    """Take one circle of rows, each wanting the next, out of `wanted`."""
    first = next(iter(wanted))
    circle = [first]
    while (source := wanted.pop(circle[-1])) != first:
        circle.append(source)
    if len(circle) <= most:
        yield Move((*circle[1:], first), tuple(circle))
        return
    yield Hold(first)
    for start in range(0, len(circle) - 1, most):
        end = min(start + most, len(circle) - 1)
        yield Move(tuple(circle[start + 1 : end + 1]), tuple(circle[start:end]))
    yield Place(circle[-1])


@dataclass
class Takeovers:
    """Carries out take-overs, and everything else that touches single rows.

    Attributes:
        placement: where the rows are.
        rounds: what a fresh row is made by.
        shapes: of the whole state.
    """

    placement: Placement
    rounds: Rounds
    shapes: list[jax.ShapeDtypeStruct]

    @property
    def most(self) -> int:
        """Rows that are copied at once; `inherit` needs the member's own state as well."""
        kinds = 1 if self.rounds.checked.member.inherits_all else 2
        return max(1, self.placement.local // (SHARE * kinds))

    def carry_out(self, state: Arrays, sources: Ints) -> Arrays:
        """The state after the take-overs; `state` is used up unless there are none."""
        held: Arrays = []
        for action in plan(sources, self.most):
            if isinstance(action, Move):
                state = self.move(state, self._ints(action.sources), self._ints(action.targets))
            elif isinstance(action, Hold):
                held = self.hold(state, self._row(action.row))
            else:
                state = self.place(state, held, self._row(action.target))
        return state

    def start_afresh(self, state: Arrays, table: Any, rows: Ints) -> Arrays:
        """The state with these rows made anew from their entries of the table."""
        for start in range(0, len(rows), self.most):
            few = rows[start : start + self.most]
            padded = np.resize(few, self.most)  # as many entries as were compiled for
            known = jax.tree.map(lambda array: array[padded], table)  # noqa: B023
            known = self.placement.put(known, "all")
            state = self.refresh(state, known, self._ints(tuple(few.tolist())))
        return state

    def row(self, state: Arrays, number: int) -> Arrays:
        """A copy of one row."""
        return self.hold(state, self._row(number))  # type: ignore[no-any-return]

    def _ints(self, rows: tuple[int, ...]) -> Any:
        nowhere = self.placement.population  # no row: nothing is written there
        padded = [*rows, *[nowhere] * (self.most - len(rows))]
        return self.placement.put(np.array(padded, np.int32), "all")

    def _row(self, number: int) -> Any:
        return self.placement.put(np.array([number], np.int32), "all")

    # Compiled when first needed ---------------------------------------------------------

    @cached_property
    def move(self) -> Program:
        """(state, sources, targets) → state."""
        few: tuple[Role, Any] = ("all", jax.ShapeDtypeStruct((self.most,), np.int32))
        return self._changing(lambda s, src, dst: self._write(s, self._read(s, src), dst), few, few)

    @cached_property
    def hold(self) -> Program:
        """(state, [row]) → that row."""
        return self.placement.compile(
            lambda state, row: [array[0] for array in self._read(state, row)],
            [("rows", self.shapes), ("all", jax.ShapeDtypeStruct((1,), np.int32))],
            ["all"],
        )

    @cached_property
    def place(self) -> Program:
        """(state, a row, [target]) → state."""
        held = [jax.ShapeDtypeStruct(s.shape[1:], s.dtype) for s in self.shapes]
        target = jax.ShapeDtypeStruct((1,), np.int32)
        return self._changing(
            lambda state, donor, row: self._write(state, [d[None] for d in donor], row),
            ("all", held),
            ("all", target),
        )

    @cached_property
    def refresh(self) -> Program:
        """(state, entries of the table, targets) → state."""
        few = jax.ShapeDtypeStruct((self.most,), np.int32)
        table = {"member": few, "turn": few, "values": self._values(), "ramp": {}}
        return self._changing(
            lambda state, table, rows: self._set(state, self.rounds.init(table), rows),
            ("all", table),
            ("all", few),
        )

    def _values(self) -> Any:
        dtypes = self.rounds.checked.member.hparams.dtypes
        return {name: jax.ShapeDtypeStruct((self.most,), dtype) for name, dtype in dtypes.items()}

    def _changing(self, function: Any, *arguments: tuple[Role, Any]) -> Program:
        state: tuple[Role, Any] = ("rows", self.shapes)
        return self.placement.compile(function, [state, *arguments], ["rows"], donate=0)

    # On each device ---------------------------------------------------------------------

    def _read(self, state: Arrays, rows: Any) -> Arrays:
        """Rows of the whole population, on every device."""
        local, mine = self._local(rows)
        taken = self._take(state, local)
        return [self.placement.given_by_one(array, mine) for array in taken]

    def _take(self, state: Arrays, local: Any) -> Arrays:
        return [jnp.take(array, local, axis=0, mode="clip") for array in state]

    def _write(self, state: Arrays, donors: Arrays, rows: Any) -> Arrays:
        """Let rows take over donors' states."""
        member = self.rounds.checked.member
        if not member.inherits_all:
            own = self._take(state, self._local(rows)[0])
            donors = jax.vmap(member.inherit)(own, donors)
        return self._set(state, donors, rows)

    def _set(self, state: Arrays, new: Arrays, rows: Any) -> Arrays:
        local, mine = self._local(rows)
        targets = jnp.where(mine, local, self.placement.local)
        return [
            array.at[targets].set(value, mode="drop")
            for array, value in zip(state, new, strict=True)
        ]

    def _local(self, rows: Any) -> tuple[Any, Any]:
        """Places of rows on this device, and whether they are there."""
        local = rows - self.placement.first_row()
        return local, (local >= 0) & (local < self.placement.local)
