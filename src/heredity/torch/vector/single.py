"""One member of a vector trainable as an ordinary Trainable: a population of one.

The same functions, random numbers and program as in a population. This file knows nothing of where
its trials run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from heredity.executors.program import FRESH, Round, Setting
from heredity.torch.vector.program import Program
from heredity.torch.vector.ramps import columns_of
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable


class SingleTrainable(Trainable):
    """A member of its own."""

    def __init__(self, program: Callable[[], Program], setting: Setting) -> None:
        self._program_of, self._setting = program, setting
        self._fresh = True
        self._measured: Mapping[str, float] | None = None

    def prepare(self) -> None:
        self._program = self._program_of()
        self._program.open(replace(self._setting, population=1, slots=0))

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self._fresh = True

    def load(self, directory: Path) -> None:
        self._program.load(directory)
        self._fresh = False

    def save(self, directory: Path) -> None:
        self._program.copy().write(directory)

    def in_force(self) -> Mapping[str, Any]:
        """All of them: they are arguments of every step, which depends on each one, as was checked
        when the program was opened. Nothing could keep an old value."""
        return self.hparams

    def _train(self, session: Session) -> int:
        """Train in one round: it ramps at every step, as in a population."""
        before = dict(session.hparams_at(session.start)) if session.ramps else None
        self._configure(session.hparams_at(session.stop))
        space = self._setting.space
        self._program.members = np.array([session.member])
        self._program.start(
            Round(
                sources=np.array([FRESH if self._fresh else 0]),
                turns=np.array([session.turn]),
                starts=np.array([session.start]),
                hparams=columns_of(space, [session.hparams]),
                steps=session.steps,
                measured=np.array([session.evaluations > 0]),
                ramp_from=None if before is None else columns_of(space, [before]),
                ramp_steps=None if before is None else np.array([session.ramp_steps]),
            )
        )
        scores, self._fresh = self._program.finish(), False
        self._measured = {name: float(column[0]) for name, column in scores.metrics.items()}
        if not scores.finite[0]:  # a state that is not finite has no score
            self._measured[self._setting.metric] = math.nan
        return session.stop

    def _evaluate(self, session: Session, number: int) -> dict[str, float]:
        if session.kind == "train" and number == 0 and self._measured is not None:
            return dict(self._measured)
        return self._program.measure(session.hparams, session.seed, number)
