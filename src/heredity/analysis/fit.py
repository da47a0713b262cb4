"""Simple shapes fitted to a schedule: what a person would write instead, and what that leaves out.

Residuals are taken where a parameter lives, so that those of learning rates are relative errors.
Each segment counts at its middle, with its steps as its weight: in a schedule as it was found, a
segment is a trial, and so a chance to change. It knows a schedule and the space, and no study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.analysis.curves import Constant, Cosine, Curve, Exponential, Linear, Ramp, Step
from heredity.analysis.records import Floats
from heredity.analysis.schedule import Schedule, Segment
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
    segments = [segment for segment in schedule if segment.stop > segment.start]
    if not segments:
        raise UsageError("there is nothing to fit: the schedule has no steps")
    return {
        name: _ranked(name, _Series(segments, name, parameter))
        for name, parameter in space.items()
        if isinstance(parameter, (Numeric, Ordinal))
    }


class _Series:
    """The schedule of one hparam as points with weights, on the parameter's scale."""

    def __init__(
        self, segments: Sequence[Segment], name: str, parameter: Numeric | Ordinal
    ) -> None:
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
        return np.array([scale(value) for value in values], dtype=np.float64)

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
        residuals: Floats = np.sqrt(self.weights) * (self.scaled(values) - self.points)
        return residuals


def _inner(domain: tuple[float, float]) -> tuple[float, float]:
    """The smallest and the largest float within an open interval."""
    low, high = domain
    return math.nextafter(low, high), math.nextafter(high, low)


def _ranked(name: str, series: _Series) -> list[Fit]:
    if np.ptp(series.points) == 0:
        return [_fit(name, series, Constant(series.values[0]))]
    enough = [c for c in _curves(series) if _affordable(c, series)]
    best: dict[str, Fit] = {}
    for fit in sorted((_fit(name, series, curve) for curve in enough), key=lambda fit: fit.bic):
        best.setdefault(fit.shape, fit)
    return list(best.values())


def _affordable(curve: Curve, series: _Series) -> bool:
    return curve.numbers == 1 or len(series) >= SEGMENTS_PER_NUMBER * curve.numbers


def _curves(series: _Series) -> Iterator[Curve]:
    yield Constant(series.level(series.mean))
    yield from _steps(series)
    if isinstance(series.parameter, Numeric):
        yield from _ramps(series, series.parameter)


def _fit(name: str, series: _Series, curve: Curve) -> Fit:
    squares = float(np.sum(series.residuals(curve) ** 2))
    left = squares / series.variance if series.variance else 0.0
    n = len(series)
    bic = n * math.log(max(left, _NOTHING)) + curve.numbers * math.log(n)
    whole = isinstance(series.parameter, Numeric) and series.parameter.margin
    code = f"round({curve.code})" if whole and isinstance(curve, Ramp) else curve.code
    return Fit(curve, max(0.0, 1.0 - left), bic, f"{name} = {code}")


# Steps -------------------------------------------------------------------------------------------


def _steps(series: _Series) -> Iterator[Step]:
    """The best with one change of level, with two, and so on.

    Exact, by dynamic programming over the segments: Fisher (1958), "On grouping for maximum
    homogeneity".
    """
    n = len(series)
    cuts = np.unique(np.linspace(0, n, min(n, MOST_CUTS) + 1).round().astype(int))
    cost = _costs(series, cuts)
    best, choices = cost[0], []
    for changes in range(1, min(MOST_CHANGES, len(cuts) - 2) + 1):
        ways = best[:, None] + cost
        choices.append(ways.argmin(axis=0))
        best = ways.min(axis=0)
        yield _step(series, cuts[_path(choices, changes)])


def _costs(series: _Series, cuts: NDArray[Any]) -> Floats:
    """The weighted squares about their mean of the segments from one cut to another."""
    w, y = series.weights, series.points - series.mean
    s0, s1, s2 = (np.concatenate([[0.0], np.cumsum(w * y**k)])[cuts] for k in range(3))
    weight, total, squares = (s[None, :] - s[:, None] for s in (s0, s1, s2))
    forward = np.triu(np.ones(weight.shape, dtype=bool), k=1)
    cost = squares - total**2 / np.where(forward, weight, 1.0)
    known: Floats = np.where(forward, np.maximum(cost, 0.0), np.inf)
    return known


def _path(choices: list[NDArray[Any]], changes: int) -> list[int]:
    """The cuts that were chosen, from the end back to the beginning."""
    at, path = -1, []
    for choice in reversed(choices[:changes]):
        at = int(choice[at])
        path.append(at)
    return path[::-1]


def _step(series: _Series, cuts: NDArray[Any]) -> Step:
    parts = zip(np.split(series.weights, cuts), np.split(series.points, cuts), strict=True)
    levels = tuple(series.level(float(w @ y / w.sum())) for w, y in parts)
    return Step(levels, tuple(series.starts[cut] for cut in cuts))


# Ramps -------------------------------------------------------------------------------------------


def _ramps(series: _Series, parameter: Numeric) -> Iterator[Ramp]:
    axis = parameter.axis
    within = axis.warp(parameter.bounds[0]), axis.warp(parameter.bounds[1])
    for shape in (Linear, Cosine):
        yield _ramp(series, shape, series.points, within, axis.unwarp)
    side, origin = _side(parameter), parameter.origin
    distances = side * (np.array(series.values, dtype=float) - origin)
    if (distances > 0).all():
        yield _exponential(series, parameter, distances)


def _side(parameter: Numeric) -> float:
    """On which side of the parameter's origin its values are: above 0, or below 1."""
    return -1.0 if parameter.origin else 1.0


def _exponential(series: _Series, parameter: Numeric, distances: Floats) -> Ramp:
    side, origin = _side(parameter), parameter.origin
    nearest, farthest = sorted(side * (bound - origin) for bound in parameter.bounds)
    if nearest <= 0:  # the origin itself is allowed, and has no logarithm
        nearest = distances.min() ** 2 / distances.max()
    within = math.log(nearest), math.log(farthest)

    def value(log: float) -> float:
        return origin + side * math.exp(log)

    shape = partial(Exponential, origin=origin)
    return _ramp(series, shape, np.log(distances), within, value)


def _ramp(
    series: _Series,
    shape: Callable[[float, float, int], Ramp],
    points: Floats,
    within: tuple[float, float],
    value: Callable[[float], float],
) -> Ramp:
    """The ramp of least squares. Its ends are sought on the scale of `points`, from which `value`
    leads back, and `within` two of it."""

    def curve(ends: Floats) -> Ramp:
        return shape(value(float(ends[0])), value(float(ends[1])), series.stop)

    roots, s = np.sqrt(series.weights), series.middles / series.stop
    design = roots[:, None] * np.stack([1 - s, s], axis=1)
    start = np.linalg.lstsq(design, roots * points)[0]
    return curve(_least_squares(lambda ends: series.residuals(curve(ends)), start, *within))


def _least_squares(
    residuals: Callable[[Floats], Floats], start: Floats, low: float, high: float
) -> Floats:
    """Where the squares of the residuals add up to least, all coordinates from `low` to `high`.

    Marquardt's method (1963): Gauss and Newton's, with shorter steps where these do not help.
    """
    at = np.clip(start, low, high)
    r, damping = residuals(at), 1e-3
    for _ in range(100):
        slopes = _slopes(residuals, at, (high - low) * 1e-6)
        # What is at an end of its range, and would go further, stays while the rest moves.
        fall = -slopes.T @ r
        slopes[:, ((at <= low) & (fall < 0)) | ((at >= high) & (fall > 0))] = 0.0
        curvature = slopes.T @ slopes
        damped = curvature + damping * np.diag(curvature.diagonal() + curvature.trace() * 1e-9)
        there = np.clip(at - np.linalg.lstsq(damped, slopes.T @ r)[0], low, high)
        new = residuals(there)
        gain = r @ r - new @ new
        if gain <= 0:
            damping *= 10
            if damping > 1e6:
                break
            continue
        at, r, damping = there, new, damping / 10
        if gain <= 1e-12 * (new @ new):
            break
    return at


def _slopes(residuals: Callable[[Floats], Floats], at: Floats, by: float) -> Floats:
    """The derivative of the residuals in each coordinate, of shape (residuals, coordinates)."""
    return np.stack(
        [(residuals(at + step) - residuals(at - step)) / (2 * by) for step in by * np.eye(len(at))],
        axis=1,
    )
