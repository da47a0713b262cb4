"""The program that trains a population: rounds, take-overs, chunks and the rows that are kept.

It owns the stacked state on the device. It knows members only as a body of stacked functions, and
nothing of events, of stores, or of why one row takes over another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from heredity.executors.program import FRESH, OutOfMemory, Round, RoundScores, Setting
from heredity.space import Space
from heredity.torch.vector.bodies import Body, batched_kernels
from heredity.torch.vector.checks import (
    ROWS,
    Inherit,
    Trial,
    check_device,
    check_form,
    check_space,
    try_out,
)
from heredity.torch.vector.data import Batches, Data, Stream
from heredity.torch.vector.feeds import Feed, Nothing, Resident
from heredity.torch.vector.generators import seeded
from heredity.torch.vector.keys import Purpose, member_keys, member_words, on_device
from heredity.torch.vector.memory import fitting
from heredity.torch.vector.ramps import Ramp, columns_of, constants_of
from heredity.torch.vector.reading import Reader
from heredity.torch.vector.rows import StackedRows, read_row, read_rows, take_back
from heredity.torch.vector.shortage import is_out_of_memory
from heredity.torch.vector.steps import Example, Steps, in_place, ready
from heredity.torch.vector.tree import Flat, finite_rows, flatten, precision_of, unflatten
from heredity.trainables.metrics import mean_of
from heredity.trainables.traces import one_line

Chunk = int | Literal["auto"]

FINITE = ""
"""Beside a round's metrics: which rows are finite. No metric has this name."""


class Program:
    """A population on one device. Every row's training is its own: its result depends neither on
    the other rows nor on how many train at once.

    Attributes:
        members: whose random numbers each row draws; row i is member i unless it is changed.
    """

    members: NDArray[np.int64]

    def __init__(
        self,
        body: Body,
        data: Data,
        inherit: Inherit | None,
        device: torch.device,
        chunk: Chunk,
        compiled: bool,
    ) -> None:
        self._body, self._data, self._inherit, self._device = body, data, inherit, device
        self._compiled = compiled
        self._asked_chunk: Chunk = chunk
        self._chunk = 0
        self._dtype = torch.get_default_dtype()
        self._state: Flat = {}
        self._kept: set[int] = set()
        self._feed: Feed = Nothing()
        self._steps: list[Steps] = []
        self._pending: Mapping[str, Tensor] = {}

    # Opening and closing -----------------------------------------------------------------------

    @torch.no_grad()
    def open(self, setting: Setting) -> None:
        """Check the user's functions, choose the chunk, make room for the state."""
        with self._in_memory(), batched_kernels(self._device):
            self._open(setting)

    def _open(self, setting: Setting) -> None:
        check_space(setting.space)
        check_device(self._device)
        self._setting = setting
        self._constants = constants_of(setting.space)
        self.members = np.arange(setting.population, dtype=np.int64)
        self._body.place(self._device)
        self._feed = _feed_of(self._data, setting, self._device)
        trial = self._trial(setting)
        self._traits = try_out(trial)
        rows = setting.population + setting.slots  # as in a file: the slots behind the members
        self._state = {
            path: leaf.new_zeros((rows, *leaf.shape[1:])) for path, leaf in trial.state.items()
        }
        self._chunk = self._chosen_chunk(trial)
        self._make_ready(trial)

    def _make_ready(self, trial: Trial) -> None:
        """Trace the step, for fewer members at once if the device lacks the memory."""
        keyed = self._traits.step_draws
        function = in_place(self._body, self._constants, self._feed.shared, keyed)
        try:
            examples = [self._example(trial, rows) for rows in self._groups()]
            self._steps = ready(function, examples, compiled=self._compiled)
        except RuntimeError as error:
            if self._asked_chunk != "auto" or self._chunk == 1 or not is_out_of_memory(error):
                raise
            self._chunk //= 2
        else:
            return
        self._make_ready(trial)

    def _example(self, trial: Trial, rows: slice) -> Example:
        """Inputs of the right form for a group of rows."""
        count = rows.stop - rows.start

        def repeated(leaf: Any) -> Any:
            return leaf[:1].expand(count, *leaf.shape[1:]).contiguous()

        batch = trial.batch
        return Example(
            views=self._view(rows),
            hparams={
                name: repeated(value) if isinstance(value, Tensor) else value
                for name, value in trial.hparams.items()
            },
            batch=batch if self._feed.shared else pytree.tree_map(repeated, batch),
            keys=repeated(trial.keys),
        )

    def _trial(self, setting: Setting) -> Trial:
        """Two members with hparams from the prior, to try functions out with."""
        plain = setting.space.sample(np.random.Generator(np.random.Philox(setting.seed)))
        arrays = columns_of(setting.space, [plain] * ROWS)
        one = self._fresh(0, 0, {name: values[0] for name, values in arrays.items()})
        self._dtype = precision_of(one)
        hparams = self._columns(arrays)
        return Trial(
            body=self._body,
            state={path: leaf.expand(ROWS, *leaf.shape).clone() for path, leaf in one.items()},
            hparams=hparams,
            plain={name: plain[name] for name in arrays},
            batch=self._feed.sample(ROWS),
            shared_batch=self._feed.shared,
            keys=member_keys(
                setting.seed, np.arange(ROWS, dtype=np.int64), 0, Purpose.STEP, self._device
            ),
            metric=setting.metric,
            inherit=self._inherit,
        )

    def _chosen_chunk(self, trial: Trial) -> int:
        population = self._setting.population
        if self._asked_chunk != "auto":
            return min(self._asked_chunk, population)
        return fitting(trial, self._traits, population, self._device)

    @property
    def chunk(self) -> int:
        """How many rows train at once."""
        return self._chunk

    def close(self) -> None:
        """Let go of the device's memory."""
        self._steps = []
        self._state, self._pending = {}, {}
        self._feed.close()

    # A round -----------------------------------------------------------------------------------

    def start(self, round: Round) -> None:
        """Begin a round. On a GPU, returns as soon as the work is queued."""
        with self._in_memory():
            self._start(round)

    @contextmanager
    def _in_memory(self) -> Iterator[None]:
        """Raise the seam's `OutOfMemory` for torch's."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            wanted = f"{self._chunk} members at once" if self._chunk else "the data and the states"
            text = f"{self._device} has no room for {wanted} ({one_line(error)})"
            raise OutOfMemory(text, self._chunk // 2 or None) from error

    @torch.no_grad()
    def _start(self, round: Round) -> None:
        self._feed.begin(round, self.members)
        self._take_over(round)
        if not round.last:
            self._feed.read_on()
        self._step_keys = self._keys(round, Purpose.STEP)
        self._evaluate_keys = self._keys(round, Purpose.EVALUATE)
        parts = [
            self._part(round, rows, steps)
            for rows, steps in zip(self._groups(), self._steps, strict=True)
        ]
        self._pending = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _keys(self, round: Round, purpose: Purpose) -> Tensor:
        return member_keys(self._setting.seed, self.members, round.turns, purpose, self._device)

    def _groups(self) -> Iterator[slice]:
        for first in range(0, self._setting.population, self._chunk):
            yield slice(first, min(first + self._chunk, self._setting.population))

    def _part(self, round: Round, rows: slice, steps: Steps) -> dict[str, Tensor]:
        """Train and measure one group of rows: what the round showed, columns of shape (rows,)."""
        hparams = self._columns({name: values[rows] for name, values in round.hparams.items()})
        shown = self._train(round, rows, hparams, steps)
        state = self._view(rows)
        finite = finite_rows(state)
        if round.measured.any():
            scores = self._scores(state, hparams, self._evaluate_keys[rows])
            measured = on_device(round.measured[rows], self._device)
            finite = finite & (scores[self._setting.metric].isfinite() | ~measured)
            shown |= scores
        return {**shown, FINITE: finite.to(torch.float64)}

    def _train(
        self, round: Round, rows: slice, hparams: Mapping[str, Any], steps: Steps
    ) -> dict[str, Tensor]:
        """The round's steps. Returns the means of the step metrics."""
        if round.idle is not None and round.idle[rows].any():
            with self._at_rest(rows, np.flatnonzero(round.idle[rows])):
                return self._train(replace(round, idle=None), rows, hparams, steps)
        steps.begin(hparams)
        keys = self._step_keys[rows]
        ramp = Ramp(self._setting.space, round, rows)
        totals: dict[str, Tensor] = {}
        for number in range(round.steps):
            if number < ramp.steps:
                steps.begin(self._columns(ramp.at(number)))
            elif 0 < number == ramp.steps:
                steps.begin(hparams)
            _add(totals, steps.step(self._feed.batch(rows, number), keys, number))
        return {name: total / round.steps for name, total in totals.items()}

    @contextmanager
    def _at_rest(self, rows: slice, idle: NDArray[np.int64]) -> Iterator[None]:
        """Put these rows of a group back afterwards: to train some would be another program."""
        index, state = on_device(idle, self._device), self._view(rows)
        before = {path: leaf.index_select(0, index) for path, leaf in state.items()}
        yield
        for path, leaf in state.items():
            leaf.index_copy_(0, index, before[path])

    def _scores(self, state: Flat, hparams: Mapping[str, Any], keys: Tensor) -> dict[str, Tensor]:
        with batched_kernels(self._device):
            scores = self._body.evaluate(
                state, hparams, keys if self._traits.evaluate_draws else None
            )
        named = scores if isinstance(scores, Mapping) else {self._setting.metric: scores}
        return {name: score.to(self._device, torch.float64) for name, score in named.items()}

    def finish(self) -> RoundScores:
        """Wait for the round: the one transfer from the device."""
        with self._in_memory():
            table = torch.stack(list(self._pending.values())).cpu().numpy()
        metrics = dict(zip(self._pending, table, strict=True))
        finite = metrics.pop(FINITE) != 0
        return RoundScores(metrics=metrics, finite=finite)

    # Rows --------------------------------------------------------------------------------------

    def _view(self, rows: slice) -> Flat:
        return {path: leaf[rows] for path, leaf in self._state.items()}

    def _take_over(self, round: Round) -> None:
        """Copy rows in place, all from the states before the round, and start fresh ones."""
        sources = np.asarray(round.sources)
        own = np.arange(self._setting.population)
        (heirs,) = np.nonzero((sources != own) & (sources != FRESH))
        if len(heirs):
            self._copy_rows(sources[heirs], heirs)
        source = self._body.names[0]
        for row in np.flatnonzero(sources == FRESH):
            hparams = {name: values[row] for name, values in round.hparams.items()}
            state = self._fresh(int(self.members[row]), int(round.turns[row]), hparams)
            check_form(self._state, {path: leaf[None] for path, leaf in state.items()}, source)
            for path, leaf in state.items():
                self._state[path][row].copy_(leaf)

    def _copy_rows(self, donors: NDArray[np.int64], heirs: NDArray[np.int64]) -> None:
        """Temporary memory: one tensor's rows at a time, or the heirs' rows with `inherit`."""
        source, target = (on_device(rows, self._device) for rows in (donors, heirs))
        if self._inherit is None:
            for leaf in self._state.values():
                leaf.index_copy_(0, target, leaf.index_select(0, source))
            return
        own, donor = (
            unflatten({path: leaf.index_select(0, rows) for path, leaf in self._state.items()})
            for rows in (target, source)
        )
        inherited = flatten(vmap(self._inherit)(own, donor), "inherit(own, donor)")
        for path, leaf in self._state.items():
            leaf.index_copy_(0, target, inherited[path])

    def _fresh(self, member: int, turn: int, hparams: Mapping[str, Any]) -> Flat:
        """A new member's state, of random numbers of its own."""
        word = member_words(self._setting.seed, np.array([member]), np.array([turn]), Purpose.INIT)
        values = {name: torch.as_tensor(value) for name, value in hparams.items()}
        with seeded(int(word[0] >> np.uint64(1)), self._device):
            state = self._body.fresh({**self._constants, **values})
        return {path: leaf.to(self._device) for path, leaf in state.items()}

    def _columns(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """All hparams as user functions get them: constants plain, the others on the device."""
        columns: dict[str, Any] = dict(self._constants)
        for name, values in arrays.items():
            dtype = self._dtype if values.dtype.kind == "f" else torch.int64
            columns[name] = on_device(values, self._device, dtype)
        return columns

    # Kept rows, and files ----------------------------------------------------------------------

    @torch.no_grad()
    def keep(self, rows: Mapping[int, int]) -> None:
        """Remember copies of rows, by slot."""
        for slot, row in rows.items():
            for leaf in self._state.values():
                leaf[-1 - slot].copy_(leaf[row])
        self._kept |= rows.keys()

    @torch.no_grad()
    def copy(self) -> StackedRows:
        """Copy the state and the kept rows to the host."""
        state = {path: leaf.to("cpu", copy=True) for path, leaf in self._state.items()}
        return StackedRows(state, self._setting.slots, frozenset(self._kept))

    @torch.no_grad()
    def load(self, directory: Path) -> None:
        """Take back a state that was written, and of its slots those that there are here."""
        saved = read_rows(directory)
        take_back(saved, self._state, self._setting.slots)
        self._kept = {slot for slot in saved.kept if slot < self._setting.slots}

    @torch.no_grad()
    def evaluate(
        self, directory: Path, row: int, hparams: Mapping[str, Any], seed: int, count: int
    ) -> Mapping[str, float]:
        """Mean metrics of a saved row over several evaluations."""
        state = {path: leaf[None] for path, leaf in read_row(directory, row, self._device).items()}
        return mean_of([self._measure(state, hparams, seed, number) for number in range(count)])

    def measure(self, hparams: Mapping[str, Any], seed: int, number: int) -> dict[str, float]:
        """One more evaluation of the first row as it stands, with fresh randomness."""
        return self._measure(self._view(slice(0, 1)), hparams, seed, number)

    @torch.no_grad()
    def _measure(
        self, state: Flat, hparams: Mapping[str, Any], seed: int, number: int
    ) -> dict[str, float]:
        keys = member_keys(seed, np.array([number]), 0, Purpose.AGAIN, self._device)
        columns = self._columns(columns_of(self._setting.space, [hparams]))
        scores = self._scores(state, columns, keys)
        return {name: float(score) for name, score in scores.items()}

    def member(self, directory: Path, row: int, hparams: Mapping[str, Any], space: Space) -> Any:
        """One member: the module, or the state in the form that `init` gave it. On the CPU."""
        return self._body.member(read_row(directory, row, torch.device("cpu")))


def _feed_of(data: Data, setting: Setting, device: torch.device) -> Feed:
    if isinstance(data, Batches):
        return Resident(data, setting.seed, setting.population, device)
    return Reader(data, setting.interval, device) if isinstance(data, Stream) else Nothing()


def _add(totals: dict[str, Tensor], metrics: Flat) -> None:
    for name, metric in metrics.items():
        if name in totals:
            totals[name].add_(metric)
        else:
            totals[name] = metric.to(torch.float64, copy=True)
