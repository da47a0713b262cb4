"""What two trials have to do with each other's child: who is the fitter, and whose hparams it gets.

It sees scores and hparams, and knows nothing of lanes, generations or checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.evolution import pareto
from heredity.space import Space


def fitness(scores: NDArray[np.float64], weights: tuple[float, ...] | None) -> NDArray[np.float64]:
    """One number a trial, higher for the fitter: its score; of several objectives the weighted sum,
    or without weights its place by Pareto dominance among these trials.

    Args:
        scores: of trials that ended well, of shape (trials, objectives), higher better.
        weights: how much each objective counts.
    """
    if weights is not None:
        return pareto.weighted(pareto.completed(scores), weights)
    return scores[:, 0] if scores.shape[1] == 1 else pareto.fitness(pareto.completed(scores))


def cross(
    space: Space,
    parent: Mapping[str, Any],
    other: Mapping[str, Any],
    probability: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The parent's hparams, each with this probability the other's instead; but those that are part
    of the weights are the parent's, whose weights the child gets."""
    drawn = rng.random(len(space)) < probability
    from_other = {n for n, d in zip(space.names, drawn, strict=True) if d and n not in space.kept}
    return {name: (other if name in from_other else parent)[name] for name in space.names}
