"""What a study would do, told before it trains anything.

The study is rehearsed: its own algorithm decides for trials whose scores are made up. The better
of them have hparams nearer to the middle of their bounds, which is as good a landscape as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from heredity.evolution.budget import Limit, Steps, Trials, steps_per_lane
from heredity.evolution.collect import expected_checkpoints, expected_trials
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import Trial
from heredity.study import Study
from heredity.testing.play import Play
from heredity.trainables.command import Command

REHEARSED = 4_000
"""About so many trials are rehearsed: of a large population, a smaller one."""

LEAST_MEMBERS = 8
"""A smaller population would say too little; with so few, ten times as many trials may do."""

TURNS = 50
"""Rehearsed of each member where the budget does not say."""

NOISE = 0.1
"""The standard deviation of a made-up score, of which a trial adds at most one."""


@dataclass(frozen=True)
class Preview:
    """What a study would do.

    Attributes:
        trials: how many will end; None where the budget does not say.
        exploits: how many of them take another's weights over, about; None as for `trials`.
        exploits_share: the same as a part of all trials.
        checkpoints: how many are kept at once, at most.
        first: the first trial.
        command: the first command line; None where no command is run.
    """

    trials: int | None
    exploits: int | None
    exploits_share: float
    checkpoints: int
    first: Trial
    command: str | None


def preview(study: Study, slots: int) -> Preview:
    """What the study would do with so many trials at once."""
    d, settings = study.definition, study.settings
    trials = expected_trials(d, study.budget)
    rehearsed = rehearse(d, study.budget, slots)
    first = rehearsed.trial(0)
    share = rehearsed.exploits / max(1, rehearsed.ended_count)
    return Preview(
        trials=trials,
        exploits=None if trials is None else round(share * trials),
        exploits_share=share,
        checkpoints=expected_checkpoints(
            d, study.budget, settings.keep, slots, settings.finals.count
        ),
        first=first,
        command=_command_line(study, first),
    )


def _command_line(study: Study, first: Trial) -> str | None:
    given = getattr(study.make, "args", ())  # a command's maker is a partial of the command
    command = next((value for value in given if isinstance(value, Command)), None)
    return None if command is None else command.example(first.hparams, first.stop)


def rehearse(d: Definition, budget: Sequence[Limit], slots: int) -> Population:
    """A population at its end, or well on the way there, with made-up scores and members of even
    speed; smaller than the one asked for if that has very many trials."""
    turns = max(1, (expected_trials(d, budget) or TURNS * d.population) // d.population)
    members = min(d.population, max(LEAST_MEMBERS, REHEARSED // turns))
    smaller = replace(d, population=members, initial=d.initial[:members])
    lane: list[Limit] = [Steps(steps)] if (steps := steps_per_lane(budget)) else []
    limits = [*lane, Trials(turns * members)]
    play = Play(smaller, limits, _Landscape(d), slots=min(slots, members))
    while play.population.ended_count < 10 * REHEARSED and play.turn():
        pass
    return play.population


class _Landscape:
    """Trains nothing: a trial's state is how far its lineage has come."""

    def __init__(self, d: Definition) -> None:
        self._space, self._sign = d.space, d.objectives[0].sign

    def __call__(self, trial: Trial, source: Any) -> tuple[float, float]:
        off = np.abs(self._space.encode(trial.hparams) - 0.5)
        state = (source or 0.0) + 1.0 - float(off.mean())
        rng = np.random.Generator(np.random.Philox(trial.seed))
        return self._sign * (state + NOISE * float(rng.standard_normal())), state
