"""Simple shapes fitted to a schedule: what a person would write instead, and what that leaves out.

Residuals are taken where a parameter lives, so that those of learning rates are relative errors.
Each segment counts at its middle, with its steps as its weight: in a schedule as it was found, a
segment is a trial, and so a chance to change. It knows a schedule and the space, and no study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.analysis.curves import Constant, Cosine, Curve, Exponential, Linear, Ramp, Step
from heredity.analysis.records import Floats
from heredity.analysis.schedule import Schedule
from heredity.errors import UsageError
from heredity.space import Space
from heredity.space.numeric import Numeric
from heredity.space.parameters import Ordinal

MOST_CHANGES = 3
"""So many times a step shape changes its level, at most."""

MOST_CUTS = 500
"""So many segments are looked at, at most, for where a step shape may change."""

SEGMENTS_PER_NUMBER = 2
"""A shape is fitted where there are so many segments for each of its free numbers."""

# Of the variance: what is below comes from rounding, and says nothing for one shape or another.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Fit:
    """A curve fitted to the schedule of one hparam.

    Attributes:
        curve: gives its values by step.
        explained: the part of the schedule's variance over the steps that it explains, from 0 to 1:
            R² on the parameter's scale. 1 for a schedule that never changes.
        bic: Schwarz's information criterion (1978), up to a constant of the schedule: how badly it
            fits, with a penalty for each free number. The lowest is best.
        code: it as a line of Python.
    """

    curve: Curve
    explained: float
    bic: float
    code: str

    @property
    def shape(self) -> str:
        """constant, linear, cosine, exponential or step."""
        return self.curve.shape


def fits(schedule: Schedule, space: Space) -> dict[str, list[Fit]]:
    """By hparam the shapes fitted to its schedule, the best first; of those that have an order.

    An hparam that never changes is constant, and nothing else is tried. Otherwise `constant`
    explains 0. Ordered choices get levels only, and rising or falling exponentially is for values
    on one side of 0 (or of 1, if the parameter is on a reverse log scale).

    What a shape explains says how close it comes, not how well it would train: neighbouring trials
    are not independent, and one lineage is one draw. Raises `UsageError` for an empty schedule.
    """
    if not len(schedule):
        raise UsageError("there is nothing to fit: the schedule has no segments")
    return {
        name: _ranked(name, _Series(schedule, name, parameter))
        for name, parameter in space.items()
        if isinstance(parameter, (Numeric, Ordinal))
    }


class _Series:
    """The schedule of one hparam as points with weights, on the parameter's scale."""

    def __init__(self, schedule: Schedule, name: str, parameter: Numeric | Ordinal) -> None:
        segments = schedule.segments
        self.parameter = parameter
        self.stop = segments[-1].stop
        self.starts = [segment.start for segment in segments]
        self.middles = np.array([(s.start + s.stop - 1) / 2 for s in segments])
        steps = np.array([s.stop - s.start for s in segments], dtype=float)
        self.weights = steps / steps.sum()
        self.values = [segment.hparams[name] for segment in segments]
        self.points = self.scaled(self.values)

    def __len__(self) -> int:
        return len(self.points)

    def scaled(self, values: list[Any] | NDArray[Any]) -> Floats:
        """Values on the parameter's scale."""
        p = self.parameter
        scale = p.axis.warp if isinstance(p, Numeric) else p.encode
        return np.array([scale(value) for value in values], dtype=float)

    def level(self, point: float) -> Any:
        """The value at a point of the scale, one that the hparam can have."""
        p = self.parameter
        return p.typed(p.axis.unwarp(point)) if isinstance(p, Numeric) else p.decode(point)

    @cached_property
    def mean(self) -> float:
        return float(self.weights @ self.points)

    @cached_property
    def variance(self) -> float:
        return float(self.weights @ (self.points - self.mean) ** 2)

    def residuals(self, curve: Curve) -> Floats:
        """Roots of what each segment adds to the mean square."""
        values = curve.at(self.middles)
        if isinstance(self.parameter, Numeric):
            values = np.clip(values.astype(float), *_inner(self.parameter.axis.domain))
        return np.sqrt(self.weights) * (self.scaled(values) - self.points)


def _inner(domain: tuple[float, float]) -> tuple[float, float]:
    """The smallest and the largest float within an open interval."""
    low, high = domain
    return math.nextafter(low, high), math.nextafter(high, low)


def _ranked(name: str, series: _Series) -> list[Fit]:
    if np.ptp(series.points) == 0:
        return [Fit(Constant(series.values[0]), 1.0, -math.inf, _line(name, series, series.level))]
    found = [_fit(name, series, curve) for curve in _curves(series)]
    return sorted(found, key=lambda fit: fit.bic)
