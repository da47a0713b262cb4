"""The VectorProgram protocol: a whole population trained as one program on one device.

A program holds the state of all members, one row each, and is told for each round whose rows to
take over, with which hparams to train, and for how many steps. It knows nothing of why, of events,
of stores or of where checkpoints are kept. `heredity.jax` and `heredity.torch` implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from heredity.errors import HeredityError
from heredity.evolution.definition import Definition
from heredity.space import Space
from heredity.trainables.trainable import Trainable

FRESH = -1
"""In `Round.sources`: the member starts from scratch."""

BEST = -1
"""As a row of a saved file: the one that `keep` remembered in its first slot. Those of the other
slots are −2, −3 …: a file holds all members' rows, then the slots, the first one last."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """What a program is built for.

    Attributes:
        space: the declared hparams.
        population: number of rows.
        interval: steps of a full round; a study's last round may be shorter.
        metric: the objective's name, under which `evaluate`'s plain number is reported.
        seed: of all randomness, which is derived from (seed, member, turn, step, purpose).
        ramps: whether rounds may ramp hparams.
        slots: how many rows `keep` can remember.
    """

    space: Space
    population: int
    interval: int
    metric: str
    seed: int
    ramps: bool = False
    slots: int = 1


def setting_of(d: Definition, slots: int = 1) -> Setting:
    """What a program for this study is built for."""
    ramps = bool(getattr(d.algorithm, "ramp", 0))
    return Setting(d.space, d.population, d.interval, d.objectives[0].name, d.seed, ramps, slots)


@dataclass(frozen=True)
class Round:
    """One round: every row trains `steps` steps. Arrays have one entry a row.

    Attributes:
        sources: the row whose state the row takes over before training; its own to go on, `FRESH`
            to start from scratch. All take-overs see the states before the round.
        turns: the member's turn, a part of its randomness.
        starts: the step of the weights' lineage that the row trains from.
        hparams: by name, as `traced` gives them; constants are left out.
        ramp_from, ramp_steps: hparams to move away from during the first steps; 0 steps: none.
        measured: which rows are evaluated; the others' scores are not read.
        idle: rows that have nothing to train. They must come out as they went in, to the bit,
            whatever is done with them; their sources are their own. None: there are none.
        last: no round is expected to follow, so nothing need be read ahead.
    """

    sources: Ints
    turns: Ints
    starts: Ints
    hparams: Mapping[str, NDArray[Any]]
    steps: int
    measured: NDArray[np.bool_]
    ramp_from: Mapping[str, NDArray[Any]] | None = None
    ramp_steps: Ints | None = None
    idle: NDArray[np.bool_] | None = None
    last: bool = False


@dataclass(frozen=True)
class RoundScores:
    """What a round showed, one entry a row.

    Attributes:
        metrics: evaluation metrics, the objective's among them, and step metrics reduced to their
            mean over the round under their own names.
        finite: whether the row's state and score are finite. A row that is not touches no other.
    """

    metrics: Mapping[str, NDArray[np.float64]]
    finite: NDArray[np.bool_]


class OutOfMemory(HeredityError):
    """The device ran out of memory, while the program was opened or in a round, the states at whose
    beginning are then lost.

    `chunk` is the next smaller one, to go on with from the last checkpoint; None if there is none.
    """

    def __init__(self, message: str, chunk: int | None) -> None:
        super().__init__(message)
        self.chunk = chunk


class Rows(Protocol):
    """A copy of the program's state on the host, independent of the rounds that follow."""

    def write(self, directory: Path) -> None:
        """Write one stacked file: all rows, then the slots, the first one last. In any thread."""


class VectorProgram(Protocol):
    """Trains all members at once. Made once per study run; not thread-safe."""

    def open(self, setting: Setting) -> None:
        """Check the user's functions, choose the chunk, compile. Nothing is trained.

        Raises `UsageError` naming what is wrong in the user's words: a hparam nobody reads or that
        cannot differ between members, a step that changes the state's structure, an evaluate that
        returns no number, data of unequal length. `OutOfMemory` if what is made here does not fit.
        """

    @property
    def chunk(self) -> int:
        """How many rows train at once."""

    def start(self, round: Round) -> None:
        """Begin a round; returns as soon as the device has its work."""

    def finish(self) -> RoundScores:
        """Wait for the round that was begun. It and `start` may raise `OutOfMemory`."""

    def keep(self, rows: Mapping[int, int]) -> None:
        """Remember copies of rows as they stand, by slot; what other slots hold stays."""

    def copy(self) -> Rows:
        """Copy the state to the host."""

    def load(self, directory: Path) -> None:
        """Take back what `Rows.write` wrote; bitwise the same state. A file may have another number
        of slots: those that both have are taken."""

    def evaluate(
        self, directory: Path, row: int, hparams: Mapping[str, Any], seed: int, count: int
    ) -> Mapping[str, float]:
        """Mean metrics of `count` evaluations of a saved row with fresh randomness, and their
        standard deviations as `<metric>_std`."""

    def member(self, directory: Path, row: int, hparams: Mapping[str, Any], space: Space) -> Any:
        """One member's state, in the user's own structure, from a saved file. Needs no `open`."""

    def close(self) -> None:
        """Let go of device memory. Safe to call twice."""


class VectorTrainable(Protocol):
    """What users write for ONE member, from which a program for all is made."""

    def program(self, chunk: int | Literal["auto"], devices: int | None) -> VectorProgram:
        """The program of a whole population."""

    def single(self, setting: Setting) -> Callable[[], Trainable]:
        """Makes an ordinary Trainable of the same functions, one member each, that draws the same
        randomness as the member of a population would."""


def as_vector(trainable: object) -> VectorTrainable | None:
    """The trainable if it is one for vectorized populations, else None."""
    makes = (getattr(trainable, name, None) for name in ("program", "single"))
    is_one = not isinstance(trainable, type) and all(callable(make) for make in makes)
    return cast(VectorTrainable, trainable) if is_one else None


def traced(space: Space, name: str, values: Sequence[Any]) -> NDArray[Any]:
    """One hparam's values as the array a program is given: numbers as float64 or int64, which it
    casts to its own precision; of choices that are not numbers, and of all categorical ones, the
    index. Constants are no arrays: user functions get their plain value."""
    parameter = space[name]
    choices = getattr(parameter, "choices", None)
    if choices is not None and (parameter.kind == "categorical" or not _numbers(choices)):
        return np.array([choices.index(value) for value in values], dtype=np.int64)
    whole = parameter.kind == "integer" or (choices is not None and _whole(choices))
    return np.array(values, dtype=np.int64 if whole else np.float64)


def _numbers(choices: Sequence[Any]) -> bool:
    return all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)


def _whole(choices: Sequence[Any]) -> bool:
    return all(isinstance(choice, int) for choice in choices)
