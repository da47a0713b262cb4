"""The Vectorized executor: a population trains as one program, round by round, on one device.

It turns proposals into the rows of a round and a round's numbers into reports, and knows nothing of
the program but its protocol. Row i is member i. It decides nothing and knows no event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heredity.errors import HeredityError, UsageError
from heredity.evolution.trial import Proposal
from heredity.executors.program import (
    FRESH,
    Round,
    Setting,
    VectorProgram,
    VectorTrainable,
    traced,
)
from heredity.space import Space


@dataclass(frozen=True)
class Measurement:
    """What one row showed: its metrics, and whether its state and they are finite."""

    metrics: Mapping[str, float]
    finite: bool


@dataclass
class Vectorized:
    """Train the whole population as one program on one device, or on several.

    Attributes:
        chunk: how many members train at once: "auto" takes as many as the device's memory holds, on
            a CPU as many as its cache holds.
        devices: how many devices the population is spread over; None is one.
        block: rounds between checkpoints; by default as many as take about five seconds.
    """

    chunk: int | Literal["auto"] = "auto"
    devices: int | None = None
    block: int | None = None
    _program: VectorProgram | None = field(default=None, init=False, repr=False, compare=False)
    _space: Space | None = field(default=None, init=False, repr=False, compare=False)
    _began: float = field(default=0.0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("chunk", "devices", "block"):
            value = getattr(self, name)
            allowed = value is None or (name == "chunk" and value == "auto")
            number = isinstance(value, int) and not isinstance(value, bool)
            if not allowed and (not number or value < 1):
                raise UsageError(f"Vectorized: {name} is a whole number from 1, not {value!r}")

    def open(self, trainable: VectorTrainable, setting: Setting, chunk: int | None) -> int:
        """Build and check the program; returns the chunk it trains with.

        Args:
            chunk: the one that was chosen before, if one was. One's own may be smaller; a larger
                one may have run out of memory.
        """
        if self._program is not None:
            raise UsageError("this executor is open already: close it first")
        wanted = self.chunk if chunk is None else min(chunk, self._own or chunk)
        self._program = trainable.program(wanted, self.devices)
        self._space = setting.space
        self._program.open(setting)
        return self._program.chunk

    @property
    def _own(self) -> int | None:
        return None if self.chunk == "auto" else self.chunk

    @property
    def program(self) -> VectorProgram:
        """The open program."""
        if self._program is None:
            raise HeredityError("this executor is not open")
        return self._program

    def start(
        self,
        proposals: Sequence[Proposal],
        row_of: Callable[[int], int],
        idle: Collection[int] = (),
        last: bool = False,
    ) -> None:
        """Begin a round: one proposal for each member, in order.

        Args:
            row_of: gives a trial's row.
            idle: members whose state stays as it is; their proposals only fill the row.
            last: no round is expected to follow.
        """
        self._began = time.perf_counter()
        round = self._round(proposals, row_of)
        self.program.start(replace(round, idle=_mask(idle, len(proposals)), last=last))

    def finish(self) -> tuple[list[Measurement], float]:
        """Wait for the round; what each row showed, and the seconds since it began."""
        scores = self.program.finish()
        names = list(scores.metrics)
        columns = [scores.metrics[name].tolist() for name in names]
        rows = [
            Measurement(dict(zip(names, values, strict=True)), finite)
            for *values, finite in zip(*columns, scores.finite.tolist(), strict=True)
        ]
        return rows, time.perf_counter() - self._began

    def close(self) -> None:
        """Let go of the device. Safe to call twice."""
        if self._program is not None:
            self._program.close()
        self._program = None

    def _round(self, proposals: Sequence[Proposal], row_of: Callable[[int], int]) -> Round:
        steps = proposals[0].stop - proposals[0].start
        ramped = [p for p in proposals if p.ramp_from is not None]
        return Round(
            sources=np.array(
                [FRESH if p.weights_from is None else row_of(p.weights_from) for p in proposals]
            ),
            turns=np.array([p.turn for p in proposals]),
            starts=np.array([p.start for p in proposals]),
            hparams=self._columns([p.hparams for p in proposals]),
            steps=steps,
            measured=np.array([p.evaluations > 0 for p in proposals]),
            ramp_from=self._columns([p.ramp_from or p.hparams for p in proposals])
            if ramped
            else None,
            ramp_steps=np.array([p.ramp_steps for p in proposals]) if ramped else None,
        )

    def _columns(self, hparams: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        assert self._space is not None
        return {
            name: traced(self._space, name, [values[name] for values in hparams])
            for name in self._space
            if self._space[name].kind != "constant"
        }


def _mask(members: Collection[int], count: int) -> NDArray[np.bool_] | None:
    return np.isin(np.arange(count), list(members)) if members else None
