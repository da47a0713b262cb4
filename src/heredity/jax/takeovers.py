"""Take-overs: copying rows onto other rows, a few at a time, in the state's own memory.

All see the states as they were: no row is overwritten while another still needs it. The plan is
made on the host; the copying happens where the rows are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from heredity.executors.program import Ints
from heredity.jax.layout import Arrays
from heredity.jax.placement import Placement, Program, Role
from heredity.jax.rounds import Rounds

SHARE = 20
"""At most one row in so many is copied at once: what a copy needs beside the state."""

NONE = -1
"""No row."""

BATCHES = 10
"""Moves that one call carries out: enough for a third of all rows to take over others."""


@dataclass(frozen=True)
class Move:
    """Rows to copy at once: all are read before any is written."""

    sources: Ints
    targets: Ints


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
    rows = np.flatnonzero((sources >= 0) & (sources != np.arange(len(sources))))
    while len(rows):
        awaited = np.bincount(sources[rows], minlength=len(sources))[rows] > 0
        if awaited.all():
            break
        free, rows = rows[~awaited], rows[awaited]
        yield from _moves(sources[free], free, most)
    wanted = dict(zip(rows.tolist(), sources[rows].tolist(), strict=True))
    while wanted:
        yield from _circle(wanted, most)


def _moves(sources: Ints, targets: Ints, most: int) -> Iterator[Move]:
    for start in range(0, len(targets), most):
        few = slice(start, start + most)
        yield Move(sources[few], targets[few])


def _circle(wanted: dict[int, int], most: int) -> Iterator[Move | Hold | Place]:
    """Take one circle of rows, each wanting the next, out of `wanted`."""
    first = next(iter(wanted))
    circle = [first]
    while (source := wanted.pop(circle[-1])) != first:
        circle.append(source)
    rows = np.array([*circle, first])
    if len(circle) <= most:
        yield Move(rows[1:], rows[:-1])
        return
    yield Hold(first)
    yield from _moves(rows[1:-1], rows[:-2], most)
    yield Place(circle[-1])


@dataclass
class Takeovers:
    """Carries out take-overs, and everything else that touches single rows.

    Attributes:
        placement: where the rows are.
        rounds: what a fresh row is made by.
        shapes: of the whole state.
        slots: how many rows can be kept.
    """

    placement: Placement
    rounds: Rounds
    shapes: list[jax.ShapeDtypeStruct]
    slots: int

    @property
    def most(self) -> int:
        """Rows that are copied at once; `inherit` needs the member's own state as well."""
        kinds = 1 if self.rounds.checked.member.inherits_all else 2
        return max(1, self.placement.local // (SHARE * kinds))

    def compile(self) -> None:
        """Compile what most studies need; the rest waits until it is first needed."""
        _ = self.exchange, self.keep

    def carry_out(self, state: Arrays, sources: Ints) -> Arrays:
        """The state after the take-overs; `state` is used up unless there are none."""
        held: Arrays = []
        for _, group in groupby(plan(sources, self.most), type):
            actions = list(group)
            if isinstance(actions[0], Move):
                state = self._moved(state, actions)
            elif isinstance(actions[0], Hold):
                held = self.row(state, actions[0].row)
            else:
                state = self.place(state, held, _row(actions[0].target))
        return state

    def _moved(self, state: Arrays, moves: Sequence[Any]) -> Arrays:
        for start in range(0, len(moves), BATCHES):
            few = moves[start : start + BATCHES]
            state = self.exchange(state, self._packed(few), np.int32(len(few)))
        return state

    def start_afresh(self, state: Arrays, table: Any, rows: Ints) -> Arrays:
        """The state with these rows made anew from their entries of the table."""
        for start in range(0, len(rows), self.most):
            few = np.resize(rows[start : start + self.most], self.most)  # some twice at the end
            known = jax.tree.map(lambda array: array[few], table)  # noqa: B023
            state = self.refresh(state, known, few.astype(np.int32))
        return state

    def row(self, state: Arrays, number: int) -> Arrays:
        """A copy of one row."""
        return self.hold(state, _row(number))  # type: ignore[no-any-return]

    def aside(self, state: Arrays, rows: Ints) -> dict[int, Arrays]:
        """Copies of rows on the host, where they take no room from the round."""
        return {row: jax.device_get(self.row(state, row)) for row in rows.tolist()}

    def put_back(self, state: Arrays, rows: dict[int, Arrays]) -> Arrays:
        """The state with these rows as they were; `state` is used up."""
        for number, row in rows.items():
            state = self.place(state, row, _row(number))
        return state

    def _packed(self, moves: Sequence[Move]) -> NDArray[np.int32]:
        """Moves of shape (`BATCHES`, sources and targets, `most`)."""
        nowhere = self.placement.population  # no row: nothing is written there
        packed = np.full((BATCHES, 2, self.most), nowhere, np.int32)
        for number, move in enumerate(moves):
            packed[number, :, : len(move.targets)] = move.sources, move.targets
        return packed

    # Compiled ---------------------------------------------------------------------------

    @cached_property
    def exchange(self) -> Program:
        """(state, packed moves, how many of them) → state, one after the other."""

        def moved(state: Arrays, moves: Any, count: Any) -> Arrays:
            def move(number: Any, state: Arrays) -> Arrays:
                sources, targets = moves[number]
                return self._write(state, self._read(state, sources), targets)

            return jax.lax.fori_loop(0, count, move, state)  # type: ignore[no-any-return]

        moves = jax.ShapeDtypeStruct((BATCHES, 2, self.most), np.int32)
        count = jax.ShapeDtypeStruct((), np.int32)
        return self._changing(moved, ("all", moves), ("all", count))

    @cached_property
    def hold(self) -> Program:
        """(state, [row]) → that row."""
        return self.placement.compile(
            lambda state, row: [array[0] for array in self._read(state, row)],
            [("rows", self.shapes), ("all", jax.ShapeDtypeStruct((1,), np.int32))],
            ["all"],
        )

    @cached_property
    def keep(self) -> Program:
        """(slots, state, the row of each slot) → slots; a row of `NONE` leaves its slot."""

        def kept(slots: Arrays, state: Arrays, rows: Any) -> Arrays:
            return [
                jnp.where((rows >= 0).reshape(-1, *[1] * (old.ndim - 1)), new, old)
                for old, new in zip(slots, self._read(state, rows), strict=True)
            ]

        slots = [jax.ShapeDtypeStruct((self.slots, *s.shape[1:]), s.dtype) for s in self.shapes]
        rows = jax.ShapeDtypeStruct((self.slots,), np.int32)
        roles: list[tuple[Role, Any]] = [("all", slots), ("rows", self.shapes), ("all", rows)]
        return self.placement.compile(kept, roles, ["all"], donate=0)

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
        table = {"member": few, "turn": few, "start": few, "values": self._values(), "ramp": {}}
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


def _row(number: int) -> NDArray[np.int32]:
    return np.array([number], np.int32)
