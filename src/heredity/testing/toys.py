"""Toy problems with known answers, to be played in memory in milliseconds.

Each is a space, an objective and a pure function that trains one trial. They know nothing of
algorithms, and nothing here knows how a toy is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heredity.evolution.algorithm import Algorithm
from heredity.evolution.definition import Definition
from heredity.evolution.objective import Objective, maximize, minimize
from heredity.evolution.trial import Trial
from heredity.space import LogUniform, Shift, Space, Uniform

Run = Callable[[Trial, Any], tuple[float, Any]]
"""Trains one trial: from the trial and the state it begins from (None: from scratch) to its score
and the state it leaves. A score that is not finite is a divergence."""


@dataclass(frozen=True)
class Toy:
    """A problem.

    Attributes:
        run: trains one trial; pure.
        best: the score, after so many steps, that no schedule of hparams beats.
    """

    space: Space
    objective: Objective
    run: Run
    best: Callable[[int], float]
    initial: tuple[Mapping[str, Any], ...] = ()

    def definition(
        self, algorithm: Algorithm, population: int = 8, interval: int = 10, seed: int = 0
    ) -> Definition:
        """A study of this toy."""
        return Definition(
            space=self.space,
            objectives=(self.objective,),
            population=population,
            interval=interval,
            algorithm=algorithm,
            seed=seed,
            trainable="toy",
            initial=self.initial[:population],
        )


def figure2() -> Toy:
    """Figure 2 of Jaderberg et al. 2017: maximise 1.2 − θ0² − θ1² by ascent on the surrogate
    1.2 − h0·θ0² − h1·θ1², from θ = (0.9, 0.9) and h = (1, 0) and (0, 1), at rate 0.01.

    No single h of the two is of use: without exploit both members end at 1.2 − 0.81 = 0.39.
    """

    def run(trial: Trial, state: Any) -> tuple[float, Any]:
        theta = np.array([0.9, 0.9]) if state is None else state
        h = np.array([trial.hparams["h0"], trial.hparams["h1"]])
        theta = theta * (1 - 0.02 * h) ** trial.steps
        return 1.2 - float(theta @ theta), theta

    return Toy(
        space=Space(h0=Uniform(0.0, 1.0, move=Shift(0.2)), h1=Uniform(0.0, 1.0, move=Shift(0.2))),
        objective=maximize("q"),
        run=run,
        best=lambda steps: 1.2 - 2 * (0.9 * 0.98**steps) ** 2,
        initial=({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0}),
    )


def quadratic(noise: float = 1.0) -> Toy:
    """The expected loss v of gradient descent with noise on a quadratic, v ← (1−lr)²·v + lr²·noise:
    the best rate falls as v / (v + noise), and then 1/v grows by 1/noise a step.

    A constant rate gets stuck where its noise balances its progress.
    """

    def run(trial: Trial, state: Any) -> tuple[float, Any]:
        v, lr = (1.0 if state is None else float(state)), float(trial.hparams["lr"])
        for _ in range(trial.steps):
            v = (1 - lr) ** 2 * v + lr**2 * noise
        return v, v

    return Toy(
        space=Space(lr=LogUniform(1e-4, 1.0)),
        objective=minimize("loss"),
        run=run,
        best=lambda steps: 1 / (1 + steps / noise),
    )


def noisy(noise: float = 0.5) -> Toy:
    """Progress of 1 − 4·(x − 0.7)² a step, seen through normal noise drawn from the trial's seed.

    The best x is 0.7 at all times; the noise of one score is as much as `noise` steps.
    """

    def run(trial: Trial, state: Any) -> tuple[float, Any]:
        progress = 0.0 if state is None else float(state)
        progress += trial.steps * (1 - 4 * (float(trial.hparams["x"]) - 0.7) ** 2)
        rng = np.random.Generator(np.random.Philox(trial.seed))
        errors = rng.normal(scale=noise, size=max(1, trial.evaluations))
        return progress + float(errors.mean()), progress

    return Toy(
        space=Space(x=Uniform(0.0, 1.0, move=Shift(0.1)), y=Uniform(0.0, 1.0)),
        objective=maximize("progress"),
        run=run,
        best=float,
    )
