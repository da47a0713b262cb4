"""How different the members' hparams are, over time, on each hparam's own scale.

It reads records, and knows nothing of scores or of lines of descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heredity.analysis.records import Floats, Ids, Records
from heredity.space.parameters import Categorical


@dataclass(frozen=True)
class Diversity:
    """The spread of each hparam over time.

    Attributes:
        names: the hparams, in the space's order.
        steps: charged to a lane, of shape (times,).
        spread: of shape (times, hparams). For numbers and ordered choices the standard deviation
            over the members of the place between the bounds, on the parameter's scale: 0 where all
            agree, 0.29 where all places are as frequent, 0.5 at most. For categories the entropy
            of the choices in use, as a part of its maximum: 0 … 1. NaN before the first trial.
    """

    names: tuple[str, ...]
    steps: Ids
    spread: Floats

    def of(self, name: str) -> Floats:
        """One hparam's spread, of shape (times,)."""
        return self.spread[:, self.names.index(name)]


def diversity(records: Records, steps: Ids | None = None) -> Diversity:
    """The spread of what trained the members' weights when each lane had been charged `steps`
    (`records.grid()`)."""
    steps = records.grid() if steps is None else steps
    held = [records.codes[row[row >= 0]] for row in records.standing(steps)]
    spread = np.array([_spread(records, codes) for codes in held])
    return Diversity(records.space.names, steps, spread.reshape(len(steps), len(records.space)))


def _spread(records: Records, codes: Floats) -> Floats:
    if not len(codes):
        return np.full(codes.shape[1], np.nan)
    spread: Floats = (codes - codes[0]).std(axis=0)  # of equal values exactly 0
    for column, parameter in enumerate(records.space.values()):
        if isinstance(parameter, Categorical) and not parameter.single:
            spread[column] = _entropy(codes[:, column]) / np.log(len(parameter.choices))
    return spread


def _entropy(codes: Floats) -> float:
    """Shannon's, in nats."""
    _, counts = np.unique(codes, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
