"""Schedules averaged: over several studies, aligned by step; over a window of steps; or both.

Means are taken where a parameter lives, in its encoding, so that learning rates are averaged by
their logarithms; of categories the one that holds for most steps counts. A schedule is constant in
pieces, so that every mean here is an exact integral and depends on no sampling; a ramp counts as
what it leads to.

It knows schedules and the space, and neither trials nor studies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heredity.analysis.records import Floats, Ids, encoded
from heredity.analysis.schedule import Schedule, Segment
from heredity.errors import UsageError
from heredity.space import Space
from heredity.space.parameters import Categorical

NOBODY = -1
"""The trial and the member of a segment that is a mean."""


@dataclass(frozen=True)
class Course:
    """The mean of schedules, constant within each cell of steps.

    Attributes:
        space: what the hparams are.
        edges: where cells begin and end, of shape (cells + 1,): cell i is of the steps `edges[i]`
            up to `edges[i + 1]`.
        mean: of shape (cells, hparams), in the unit cube.
        spread: the standard deviation between the schedules there; of categories the part of the
            schedules that have another one. NaN for a single schedule.
        count: of shape (cells,), how many schedules reach the cell's end.
    """

    space: Space
    edges: Ids
    mean: Floats
    spread: Floats
    count: Ids

    def __len__(self) -> int:
        return len(self.mean)

    def hparams(self) -> list[dict[str, Any]]:
        """The mean of each cell as hparams."""
        return [self.space.decode(row) for row in self.mean]

    def band(self, name: str) -> tuple[list[Any], list[Any]]:
        """One hparam a standard deviation below and above its mean, cell by cell, within its
        bounds. `UsageError` for an hparam without order."""
        parameter, column = self.space[name], self.space.names.index(name)
        if parameter.kind == "categorical":
            raise UsageError(
                f"{name} has no order, so there is nothing below or above: {parameter}"
            )
        mean, spread = self.mean[:, column], np.nan_to_num(self.spread[:, column])
        low, high = (mean - spread).tolist(), (mean + spread).tolist()
        return [parameter.decode(u) for u in low], [parameter.decode(u) for u in high]

    def schedule(self) -> Schedule:
        """The mean as a schedule to train with, a segment a cell."""
        cells = zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), self.hparams(), strict=True)
        return Schedule(tuple(Segment(a, b, h, NOBODY, NOBODY, None) for a, b, h in cells))


def course(
    schedules: Sequence[Schedule], space: Space, *, cells: int = 100, window: float = 0
) -> Course:
    """The mean of one or more schedules, aligned by step; where some end, the mean of the others.

    Args:
        space: that of all the schedules.
        cells: into how many parts of equal length the steps are divided, at most.
        window: each cell takes the mean over so many steps around its middle instead of its own;
            near the ends over those that there are.
    """
    if not schedules or not all(len(schedule) for schedule in schedules):
        raise UsageError("a mean needs at least one schedule, and none that is empty")
    if cells < 1 or window < 0:
        raise UsageError(f"cells is at least 1 and window at least 0, not {cells} and {window}")
    stops = np.array([schedule.segments[-1].stop for schedule in schedules])
    edges = np.unique(np.linspace(0, stops.max(), cells + 1).round().astype(np.int64))
    features = np.array([_cells(schedule, space, edges, window) for schedule in schedules])
    features[stops[:, None] < edges[1:]] = np.nan
    mean, spread = _between(space, features)
    return Course(space, edges, mean, spread, (stops[:, None] >= edges[1:]).sum(axis=0))


def _cells(schedule: Schedule, space: Space, edges: Ids, window: float) -> Floats:
    """The mean features of each cell, of shape (cells, features)."""
    low, high = edges[:-1].astype(float), edges[1:].astype(float)
    if window:
        middle = (low + high) / 2
        low, high = middle - window / 2, middle + window / 2
    stop = schedule.segments[-1].stop
    low, high = np.clip(low, 0, stop), np.clip(high, 0, stop)
    integral = _integrals(schedule, space)
    with np.errstate(invalid="ignore"):  # a cell beyond the end has no width
        return np.array([(at(high) - at(low)) / (high - low) for at in integral]).T


class _Integral:
    """One feature added up over the steps from 0 on: linear between the schedule's edges."""

    def __init__(self, edges: Floats, values: Floats) -> None:
        self._edges = edges
        self._sums = np.concatenate([[0.0], np.cumsum(values * np.diff(edges))])

    def __call__(self, steps: Floats) -> Floats:
        sums: Floats = np.interp(steps, self._edges, self._sums)
        return sums


def _integrals(schedule: Schedule, space: Space) -> list[_Integral]:
    segments = schedule.segments
    edges = np.array([segments[0].start, *(s.stop for s in segments)], dtype=float)
    features = _features(space, [s.hparams for s in segments])
    return [_Integral(edges, column) for column in features.T]


def _features(space: Space, hparams: Sequence[Mapping[str, Any]]) -> Floats:
    """What can be averaged, of shape (len(hparams), features): the code of a number or an ordered
    choice, and for each category whether it holds."""
    codes = encoded(space, hparams)
    return np.concatenate(
        [
            _holds(p, codes[:, i]) if isinstance(p, Categorical) else codes[:, i : i + 1]
            for i, p in enumerate(space.values())
        ],
        axis=1,
    )


def _holds(parameter: Categorical, codes: Floats) -> Floats:
    choices = np.array([parameter.encode(choice) for choice in parameter.choices])
    holds: Floats = (codes[:, None] == choices).astype(np.float64)
    return holds


def _between(space: Space, features: Floats) -> tuple[Floats, Floats]:
    """Mean codes and spread, each of shape (cells, hparams), of features of shape (schedules,
    cells, features), which are NaN where a schedule does not come to."""
    means, spreads, column = [], [], 0
    for parameter in space.values():
        width = len(parameter.choices) if isinstance(parameter, Categorical) else 1
        part, column = features[:, :, column : column + width], column + width
        if isinstance(parameter, Categorical):
            mean, spread = _common(parameter, part)
        else:
            mean, spread = np.nanmean(part[:, :, 0], axis=0), _deviation(part[:, :, 0])
        means.append(mean)
        spreads.append(spread)
    return np.array(means).T, np.array(spreads).T


def _common(parameter: Categorical, shares: Floats) -> tuple[Floats, Floats]:
    """The category that holds for most steps, the first of equals; and who has another."""
    mean = np.nanmean(shares, axis=0)
    winner = mean.argmax(axis=1)
    codes = np.array([parameter.encode(choice) for choice in parameter.choices])
    there = ~np.isnan(shares[:, :, 0])
    others = (shares.argmax(axis=2) != winner) & there
    count = there.sum(axis=0)
    spread = np.where(count > 1, others.sum(axis=0) / count, np.nan)
    return codes[winner], spread


def _deviation(values: Floats) -> Floats:
    """The standard deviation over the schedules that are there; NaN for a single one."""
    count = (~np.isnan(values)).sum(axis=0)
    squares = np.nansum((values - np.nanmean(values, axis=0)) ** 2, axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
