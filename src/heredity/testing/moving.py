"""A toy whose best schedule is known: the best value of its hparam moves while it trains.

It is played like the other toys; it knows nothing of algorithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heredity.evolution.objective import maximize
from heredity.evolution.trial import Trial
from heredity.space import Shift, Space, Uniform
from heredity.testing.toys import Toy


def best_u(step: Any, steps: int) -> Any:
    """The value of `u` that serves a step best, the first being 0: from 0.2 in a straight line to
    0.8 at the last of `steps`. Also of an array of steps."""
    return 0.2 + 0.6 * step / max(1, steps - 1)


def moving(steps: int, noise: float = 0.05) -> Toy:
    """Progress of 1 − 4·(u − c)² a step, where c = `best_u` moves over the `steps` of a lane; seen
    through normal noise drawn from the trial's seed. The schedule u = c makes 1 a step.
    """

    def run(trial: Trial, state: Any) -> tuple[float, Any]:
        progress = 0.0 if state is None else float(state)
        c = best_u(np.arange(trial.start, trial.stop), steps)
        progress += float((1 - 4 * (float(trial.hparams["u"]) - c) ** 2).sum())
        rng = np.random.Generator(np.random.Philox(trial.seed))
        errors = rng.normal(scale=noise, size=max(1, trial.evaluations))
        return progress + float(errors.mean()), progress

    return Toy(
        space=Space(u=Uniform(0.0, 1.0, move=Shift(0.1))),
        objective=maximize("progress"),
        run=run,
        best=float,
    )
