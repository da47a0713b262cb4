"""The VectorProgram of JAX: holds a population's state on the devices and trains it round by round.

One compiled program a round, one transfer of its results. The parts know how: `rounds` what a
round computes, `takeovers` how rows are copied, `placement` where they are, `memory` how many train
at once, `saved` what is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from heredity.errors import UsageError
from heredity.executors.program import FRESH, Ints, Round, RoundScores, Setting
from heredity.jax import memory
from heredity.jax.check import Checked, check, layout_of
from heredity.jax.data import Batches, Stream, as_feed, resident
from heredity.jax.hparams import Hparams
from heredity.jax.inlining import inlined
from heredity.jax.keys import root, wrapped
from heredity.jax.layout import Arrays
from heredity.jax.placement import Placement, Program
from heredity.jax.reading import Reader
from heredity.jax.rounds import Rounds
from heredity.jax.saved import SavedRows, names_in, read_row, read_rows, stacked
from heredity.jax.takeovers import NONE, Takeovers
from heredity.space import Space
from heredity.trainables.metrics import mean_of

if TYPE_CHECKING:
    from heredity.jax.trainable import VectorTrainable


class JaxProgram:
    """A population of `VectorTrainable`s; see `VectorProgram` for the methods' contract.

    Args:
        functions: the user's.
        chunk: members that train at once on each device; "auto": see `VectorTrainable.program`.
        devices: how many share the population equally; by default one.

    Attributes:
        members: whose turn is trained in each row, a part of its randomness; each row's own.
    """

    members: NDArray[np.int32]

    def __init__(
        self,
        functions: VectorTrainable,
        chunk: Any = "auto",
        devices: int | None = None,
    ) -> None:
        self._functions = functions
        self._wanted = chunk
        self._devices = _first(1 if devices is None else devices)
        self._feed = as_feed(functions.data)
        self._reader: Reader | None = None
        if isinstance(self._feed, Stream):
            self._reader = Reader(self._feed.make_iterator, self._put)
        self._state: Arrays | None = None
        self._slots: Arrays = []
        self._kept: set[int] = set()
        self._rounds_of: dict[int, Program] = {}
        self._running: tuple[Any, Round] | None = None

    # Opening ----------------------------------------------------------------------------

    def open(self, setting: Setting) -> None:
        self._checked: Checked = check(self._functions, setting, self._batch())
        self._setting = setting
        self.members = np.arange(setting.population, dtype=np.int32)
        self._placement = Placement(self._devices, setting.population)
        rows = self._placement.local
        with memory.reporting(None, rows):
            self._data = self._placement.share(resident(self._feed))
        self._rounds = self._rounds_in(rows)
        chunk, program = self._chosen(setting.interval)
        self._rounds = self._rounds_in(chunk)
        self._rounds_of = {setting.interval: program}
        with memory.reporting(chunk, rows):
            self._slots = self._put(self._no_slots())
            self._takeovers.compile()
            _ = self._init

    @property
    def chunk(self) -> int:
        return self._rounds.chunk

    @property
    def hparams(self) -> Hparams:
        """The declared hparams."""
        return self._checked.member.hparams

    def _batch(self) -> Any:
        """A stand-in of what `step` gets."""
        feed = self._feed
        if isinstance(feed, Batches):
            return jax.tree.map(lambda a: _shape(a, (feed.batch_size, *a.shape[1:])), feed.arrays)
        if self._reader is not None:
            return jax.tree.map(lambda a: _shape(a, np.shape(a)), self._reader.example())
        return None

    def _rounds_in(self, chunk: int) -> Rounds:
        setting = self._setting
        return Rounds(self._checked, self._feed, setting.seed, chunk, setting.ramps)

    def _chosen(self, steps: int) -> tuple[int, Program]:
        rows = self._placement.local
        if self._wanted != "auto":
            chunk = memory.equal_chunks(self._wanted, rows)
            return chunk, self._compiled(steps, chunk)
        device, compiled = self._devices[0], partial(self._compiled, steps)
        largest, program = memory.largest_chunk(compiled, rows, memory.limit_bytes(device))
        chunk = memory.cached_chunk(program, largest, rows, memory.cache_bytes(device))
        return chunk, program if chunk == largest else compiled(chunk)

    def _compiled(self, steps: int, chunk: int) -> Program:
        """A round of `steps` steps."""
        rounds = self._rounds_in(chunk)
        common = {"measured": _shape(True), "step": jax.ShapeDtypeStruct((), np.int32)}
        data: Any = self._data
        if self._reader is not None:
            data = jax.tree.map(lambda a: _shape(a, (steps, *a.shape)), self._batch())
        with memory.reporting(chunk, self._placement.local):
            return self._placement.compile(
                lambda state, table, common, data: rounds.run(state, table, common, data, steps),
                [("rows", self._shapes), ("rows", self._table), ("all", common), ("all", data)],
                ["rows", "rows"],
                donate=0,
            )

    @property
    def _shapes(self) -> list[jax.ShapeDtypeStruct]:
        population = self._setting.population
        layout = self._checked.member.layout
        return [jax.ShapeDtypeStruct((population, *a.shape), a.dtype) for a in layout.arrays]

    @property
    def _table(self) -> Any:
        """The table of some round, to compile with."""
        count, known = self._setting.population, self.hparams
        zeros, ones = np.zeros(count, np.int64), np.ones(count, np.bool_)
        hparams = {name: np.full(count, known.example(name)) for name in known.dtypes}
        return self._rounds.table(Round(zeros, zeros, zeros, hparams, 1, ones), self.members)

    # Rounds -----------------------------------------------------------------------------

    def start(self, round: Round) -> None:
        with memory.reporting(self.chunk, self._placement.local):
            self._start(round)
        if self._reader is not None and not round.last:
            following = _step_of(round) + round.steps
            self._reader.prefetch(following, self._setting.interval)

    def _start(self, round: Round) -> None:
        table = self._rounds.table(round, self.members)
        state = self._begun(round.sources, table)
        idle = np.flatnonzero([] if round.idle is None else round.idle)
        aside = self._takeovers.aside(state, idle)
        step = _step_of(round)
        common = {"measured": np.asarray(round.measured.any()), "step": np.int32(step)}
        data = self._data
        if self._reader is not None:
            data = self._reader.take(step, round.steps)
        state, result = self._program(round.steps)(state, table, common, data)
        self._state = self._takeovers.put_back(state, aside)
        self._running = result, round

    def _begun(self, sources: Ints, table: Any) -> Arrays:
        """The state that a round trains from. The one before is used up."""
        state, self._state = self._state, None
        fresh = np.flatnonzero(sources == FRESH)
        if len(fresh) == len(sources):
            return self._init({**table, "ramp": {}})  # type: ignore[no-any-return]
        if state is None:
            raise UsageError(
                "a program's first round starts all rows from scratch, or after load()"
            )
        state = self._takeovers.carry_out(state, sources)
        return self._takeovers.start_afresh(state, {**table, "ramp": {}}, fresh)

    def finish(self) -> RoundScores:
        assert self._running is not None
        (result, round), self._running = self._running, None
        allowed = jax.transfer_guard_device_to_host("allow")
        with memory.reporting(self.chunk, self._placement.local), allowed:
            columns = np.asarray(result).astype(np.float64).T  # sooner than by `device_get`
        metrics = dict(zip(self._rounds.names, columns[1:], strict=True))
        scored = np.isfinite(metrics[self._setting.metric]) | ~round.measured
        finite = (columns[0] == 1.0) & scored
        return RoundScores(metrics, finite if round.idle is None else finite | round.idle)

    def _program(self, steps: int) -> Program:
        if steps not in self._rounds_of:
            self._rounds_of[steps] = self._compiled(steps, self.chunk)
        return self._rounds_of[steps]

    def _put(self, tree: Any) -> Any:
        return self._placement.put(tree, "all")

    @cached_property
    def _init(self) -> Program:
        table = {**self._table, "ramp": {}}
        return self._placement.compile(self._rounds.init, [("rows", table)], ["rows"])

    @cached_property
    def _takeovers(self) -> Takeovers:
        return Takeovers(self._placement, self._rounds, self._shapes, self._setting.slots)

    # Copies and files -------------------------------------------------------------------

    def keep(self, rows: Mapping[int, int]) -> None:
        wanted = np.full(self._setting.slots, NONE, np.int32)
        wanted[list(rows)] = list(rows.values())
        self._slots = self._takeovers.keep(self._slots, self._standing, wanted)
        self._kept.update(rows)

    def _no_slots(self) -> list[NDArray[Any]]:
        slots = self._setting.slots
        return [np.zeros((slots, *shape.shape[1:]), shape.dtype) for shape in self._shapes]

    def row(self, number: int) -> Arrays:
        """A copy of one row."""
        return self._takeovers.row(self._standing, number)

    def copy(self) -> SavedRows:
        arrays = stacked(self._standing, self._slots, self._kept)
        layout, population = self._checked.member.layout, self._setting.population
        return SavedRows(layout, arrays, population, tuple(sorted(self._kept)))

    def load(self, directory: Path) -> None:
        saved = read_rows(directory, self._checked.member.layout)
        if (count := saved.population) != self._setting.population:
            raise UsageError(
                f"{directory} holds a population of {count}, not {self._setting.population}"
            )
        self._state = self._placement.put([array[:count] for array in saved.arrays], "rows")
        slots = self._no_slots()
        self._kept = {slot for slot in saved.kept if slot < self._setting.slots}
        for places, array in zip(slots, saved.arrays, strict=True):
            for slot in self._kept:
                places[slot] = array[-1 - slot]
        self._slots = self._put(slots)

    @property
    def _standing(self) -> Arrays:
        if self._state is None:
            raise UsageError("the program holds no state: train a round, or load one, first")
        return self._state

    def unpacked(self, row: Arrays) -> Any:
        """A row in the user's own structure."""
        return self._checked.member.layout.unpack(row)

    def evaluate(
        self, directory: Path, row: int, hparams: Mapping[str, Any], seed: int, count: int
    ) -> Mapping[str, float]:
        state = self._put(read_row(directory, self._checked.member.layout, row))
        return mean_of([self.measure(state, hparams, seed, number) for number in range(count)])

    def measure(
        self, state: Arrays, hparams: Mapping[str, Any], seed: int, number: int
    ) -> dict[str, float]:
        """Evaluation `number` of one member, with randomness of `seed`."""
        values = self.hparams.cast(self.hparams.of_one(hparams))
        values = {name: value[0] for name, value in values.items()}
        words = np.asarray(jax.random.key_data(root(seed, "evaluate")))
        found = self._measure(state, values, words, np.int32(number))
        return {name: float(value) for name, value in jax.device_get(found).items()}

    @cached_property
    def _measure(self) -> Program:
        member = self._checked.member

        def measured(state: Arrays, values: Any, words: Any, number: Any) -> Any:
            key = jax.random.fold_in(wrapped(words), number)
            return inlined(member.evaluate)(state, values, key)

        shapes = list(member.layout.arrays), member.hparams.shapes()
        words, number = jax.ShapeDtypeStruct((2,), np.uint32), jax.ShapeDtypeStruct((), np.int32)
        return self._placement.compile(
            measured, [("all", shape) for shape in (*shapes, words, number)], ["all"]
        )

    def member(self, directory: Path, row: int, hparams: Mapping[str, Any], space: Space) -> Any:
        layout = layout_of(self._functions, space, names_in(directory))
        return layout.unpack([jnp.asarray(array) for array in read_row(directory, layout, row)])

    def close(self) -> None:
        self._state = self._data = self._running = None
        self._slots, self._rounds_of = [], {}
        for program in ("_init", "_takeovers", "_measure"):
            self.__dict__.pop(program, None)  # with the arrays that they hold
        if "_placement" in self.__dict__:
            self._placement.release()
        if self._reader is not None:
            self._reader.close()


def _first(count: int) -> tuple[Any, ...]:
    """So many devices."""
    devices = jax.devices()
    if count > len(devices):
        kinds = f"{devices[0].platform}: {len(devices)}"
        raise UsageError(f"JAX sees fewer devices than {count} ({kinds}): lower `devices`")
    return tuple(devices[:count])


def _step_of(round: Round) -> int:
    """The step of the study: where those that train stand, the furthest of them."""
    training = slice(None) if round.idle is None or round.idle.all() else ~round.idle
    return int(round.starts[training].max())


def _shape(array: Any, shape: tuple[int, ...] | None = None) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(array) if shape is None else shape, jnp.result_type(array))
