"""The best so far, over time: its score, which selected it, against metrics that select nothing.

A score that selects is optimistic, and the more so the more is selected by it (Varma and Simon
2006, "Bias in error estimation when using cross-validation for model selection").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heredity.analysis.records import Floats, Ids, Records


@dataclass(frozen=True)
class Gap:
    """The best so far at each step, in the user's units; arrays are aligned by step.

    Attributes:
        steps: charged to a lane.
        trial: the best trial until then, by its lineage mean; −1 before the first score.
        selection: its own score.
        held_out: by name, its other metrics. NaN where there is none.
    """

    steps: Ids
    trial: Ids
    selection: Floats
    held_out: Mapping[str, Floats]


def gap(records: Records, steps: Ids | None = None, names: Sequence[str] | None = None) -> Gap:
    """Score and held-out metrics of the best so far, when each lane had been charged `steps`
    (`records.grid()`).

    Args:
        names: the held-out metrics; by default all that are no objective, nor a standard deviation.

    Raises `NotFound` for a metric that was never reported.
    """
    steps = records.grid() if steps is None else steps
    names = records.held_out() if names is None else names
    trial = best_so_far(records, steps)
    return Gap(
        steps=steps,
        trial=trial,
        selection=_at(records.scores * records.sign, trial),
        held_out={name: _at(records.metric_of(name), trial) for name in names},
    )


def best_so_far(records: Records, steps: Ids) -> Ids:
    """The trial with the highest lineage mean among those of lanes that had been charged at most
    `steps`, ties to the earlier one, its weights kept or not; −1 before the first."""
    trials = np.flatnonzero(records.well & np.isfinite(records.means))
    if not len(trials):
        return np.full(len(steps), -1)
    trials = trials[np.argsort(records.spent[trials], kind="stable")]
    means = records.means[trials]
    record = np.maximum.accumulate(means)
    rises = np.concatenate([[True], record[1:] > record[:-1]])
    leader = trials[np.maximum.accumulate(np.where(rises, np.arange(len(trials)), 0))]
    place = np.searchsorted(records.spent[trials], steps, side="right") - 1
    return np.where(place >= 0, leader[np.maximum(place, 0)], -1)


def _at(values: Floats, trials: Ids) -> Floats:
    if not len(values):
        return np.full(len(trials), np.nan)
    return np.where(trials >= 0, values[trials], np.nan)
