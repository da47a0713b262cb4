"""One member of a vector trainable as an ordinary Trainable: a population of one.

The same functions, keys and compiled program as in a population. This file knows nothing of where
its trials run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heredity.executors.program import FRESH, Round, RoundScores, Setting
from heredity.jax.program import JaxProgram
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable

if TYPE_CHECKING:
    from heredity.jax.trainable import VectorTrainable


class SingleTrainable(Trainable):
    """A member of its own."""

    def __init__(self, functions: VectorTrainable, setting: Setting) -> None:
        self._functions = functions
        self._setting = setting
        self._fresh = True
        self._scores: RoundScores | None = None

    def prepare(self) -> None:
        self._program = JaxProgram(self._functions)
        self._program.open(replace(self._setting, population=1))

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self._fresh = True

    def load(self, directory: Path) -> None:
        self._program.load(directory)
        self._fresh = False

    def save(self, directory: Path) -> None:
        self._program.copy().write(directory)

    def in_force(self) -> Mapping[str, Any]:
        """All of them: they are arguments of every call, and the functions read each one, which
        was checked when they were traced. Nothing could keep an old value."""
        return self.hparams

    @property
    def state(self) -> Any:
        """The member's state, in the user's own structure."""
        return self._program.unpacked(self._program.row(0))

    def _train(self, session: Session) -> int:
        """Train in one round: it ramps at every step, as in a population."""
        before = dict(session.hparams_at(session.start)) if session.ramps else None
        self._configure(session.hparams_at(session.stop))
        hparams = self._program.hparams
        self._program.members = np.array([session.member], np.int32)
        self._program.start(
            Round(
                sources=np.array([FRESH if self._fresh else 0]),
                turns=np.array([session.turn]),
                starts=np.array([session.start]),
                hparams=hparams.of_one(session.hparams),
                steps=session.steps,
                measured=np.array([session.evaluations > 0]),
                ramp_from=None if before is None else hparams.of_one(before),
                ramp_steps=np.array([session.ramp_steps]),
            )
        )
        self._scores, self._fresh = self._program.finish(), False
        return session.stop

    def _evaluate(self, session: Session, number: int) -> dict[str, float]:
        if session.kind == "train" and number == 0 and self._scores is not None:
            return self._as_trained(self._scores)
        state = self._program.row(0)
        return self._program.measure(state, session.hparams, session.seed, number)

    def _as_trained(self, scores: RoundScores) -> dict[str, float]:
        """What the round measured; a state that is not finite has no score."""
        metrics = {name: float(values[0]) for name, values in scores.metrics.items()}
        if not scores.finite[0]:
            metrics[self._setting.metric] = math.nan
        return metrics
