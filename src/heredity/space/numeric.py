"""Numeric parameters: a prior, bounds and a scale (linear, log or reverse log), real or whole.

The *prior* (`low`, `high`) is where members begin; the *bounds* are how far moves may go. Knows
nothing of names, other parameters, or how a move chooses its step.
"""

from __future__ import annotations

import math
import numbers
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, final

from heredity.errors import HparamsError, SpaceError
from heredity.space.moves import Move, Scale
from heredity.space.parameters import Parameter, unit

if TYPE_CHECKING:
    from numpy.random import Generator

# Whole numbers up to here come back exactly from their encoding, also on a log scale.
_LARGEST_INTEGER = 2**40

# A narrower range, relative to where it lies, cannot be told apart from a point by its encoding.
_LEAST_RELATIVE_WIDTH = 1e-12


@dataclass(frozen=True)
class _Axis:
    """The scale a parameter lives on: a monotone map, and the open interval where it exists."""

    warp: Callable[[float], float]
    unwarp: Callable[[float], float]
    origin: float
    domain: tuple[float, float] = (-math.inf, math.inf)


def _identity(x: float) -> float:
    return x


def _reverse_log(x: float) -> float:
    return -math.log1p(-x)


def _reverse_exp(t: float) -> float:
    return -math.expm1(-t)


_LINEAR = _Axis(_identity, _identity, origin=0.0)
_LOG = _Axis(math.log, math.exp, origin=0.0, domain=(0.0, math.inf))
_REVERSE_LOG = _Axis(_reverse_log, _reverse_exp, origin=1.0, domain=(-math.inf, 1.0))


@dataclass(frozen=True, init=False, repr=False)
class Numeric(Parameter):
    """A number with a prior from `low` to `high`, both included, and bounds that contain it.

    `bounds` defaults to the prior, `move` to `Scale()`. Raises SpaceError where they make no sense.
    """

    low: float
    high: float
    bounds: tuple[float, float]
    move: Move[Any]

    default_move = Scale()
    axis: ClassVar[_Axis]
    # What a value occupies on each side: half a step for integers, so that each one gets its share.
    margin: ClassVar[float]

    def __init__(
        self,
        low: float,
        high: float,
        bounds: tuple[float, float] | None = None,
        move: Move[Any] | None = None,
        when: object = None,
    ) -> None:
        low, high = self._ends("the prior", (low, high))
        lower, upper = (low, high) if bounds is None else self._ends("bounds", bounds)
        if not lower <= low <= high <= upper:
            raise SpaceError(
                f"{type(self).__name__}: bounds {lower!r} to {upper!r} must contain the prior, "
                f"{low!r} to {high!r}: widen `bounds` or narrow the prior"
            )
        self._settle(move, when, low=low, high=high, bounds=(lower, upper))

    def __repr__(self) -> str:
        parts = [repr(self.low), repr(self.high)]
        if self.bounds != (self.low, self.high):
            parts.append(f"bounds={self.bounds!r}")
        if self.move != self.default_move:
            parts.append(f"move={self.move!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @abstractmethod
    def typed(self, number: float) -> float:
        """`number` as a float or, rounded, as an int."""

    @abstractmethod
    def moved(self, value: float, step: float, rng: Generator) -> float:
        """`value` plus the signed `step`, for which there is room; never the same value again."""

    @property
    def single(self) -> bool:
        return self.bounds[0] == self.bounds[1]

    @property
    def width(self) -> float:
        """The distance between the bounds."""
        return self.bounds[1] - self.bounds[0]

    @property
    def origin(self) -> float:
        """The point from which `Scale` measures distances: 0, or 1 on the reverse log scale."""
        return self.axis.origin

    @property
    def contains_origin(self) -> bool:
        """Whether the origin lies within the bounds."""
        return self.bounds[0] <= self.origin <= self.bounds[1]

    def quantile(self, u: float) -> float:
        return self._inside(self._point(u, self.low, self.high), self.low, self.high)

    def encode(self, value: float) -> float:
        if self.single:
            return 0.5
        start, end = self._span(*self.bounds)
        u = (self.axis.warp(self.clip(value)) - start) / (end - start)
        return min(max(u, 0.0), 1.0)

    def decode(self, u: float) -> float:
        return self.clip(self.at(u))

    def at(self, u: float) -> float:
        """As `decode`, but not rounded to a whole number; `u` outside [0, 1] counts as an end."""
        return self._point(u, *self.bounds)

    def clip(self, value: float) -> float:
        return self._inside(value, *self.bounds)

    def room(self, value: float) -> tuple[float, float]:
        """The distances from `value` to the lower and to the upper bound."""
        return value - self.bounds[0], self.bounds[1] - value

    def check(self, name: str, value: object) -> float:
        number = _finite(value)
        if number is None or self.typed(number) != number:
            wanted = "a whole number" if self.margin else "a finite number"
            raise HparamsError(f"{name} must be {wanted}, not {value!r}")
        lower, upper = self.bounds
        if not lower <= number <= upper:
            raise HparamsError(
                f"{name} is {number!r}, outside its bounds {lower!r} to {upper!r}: "
                "choose a value inside, or declare wider `bounds`"
            )
        return self.typed(number)

    def rebounded(self, low: float, high: float) -> Numeric:
        """The same parameter within other bounds. The prior is cut to them; where nothing of it
        is left, the bounds become the prior.
        """
        lower, upper = self._ends("bounds", (low, high))
        prior = max(self.low, lower), min(self.high, upper)
        if prior[0] > prior[1]:
            prior = lower, upper
        return type(self)(*prior, bounds=(lower, upper), move=self.move)

    def _point(self, u: float, low: float, high: float) -> float:
        start, end = self._span(low, high)
        return self.axis.unwarp(start + unit(u) * (end - start))

    def _span(self, low: float, high: float) -> tuple[float, float]:
        return self.axis.warp(low - self.margin), self.axis.warp(high + self.margin)

    def _inside(self, number: float, low: float, high: float) -> float:
        return self.typed(min(max(number, low), high))

    def _ends(self, what: str, ends: Sequence[float]) -> tuple[float, float]:
        """A pair of numbers in this parameter's type, in order and on its scale, or SpaceError."""
        if not isinstance(ends, (tuple, list)) or len(ends) != 2:
            self._refuse(f"{what} takes a pair, such as (0.1, 0.5), not {ends!r}")
        low, high = (self._end(what, end) for end in ends)
        if low > high:
            self._refuse(f"{what} goes from the lower to the upper end, not {ends!r}")
        if not math.isfinite(high - low):
            self._refuse(f"{what} from {low!r} to {high!r} is too wide for floating point")
        if low < high:
            start, end = self._span(low, high)
            if end - start <= _LEAST_RELATIVE_WIDTH * max(abs(start), abs(end)):
                self._refuse(
                    f"{what} from {low!r} to {high!r} is too narrow to tell its values apart: "
                    "widen it, or use Constant"
                )
        return low, high

    def _end(self, what: str, end: object) -> float:
        number = _finite(end)
        if number is None or self.typed(number) != number:
            self._refuse(
                f"{what} needs {'whole' if self.margin else 'finite'} numbers, not {end!r}"
            )
        above, below = self.axis.domain
        if not above < number < below:
            side = f"above {above:g}" if number <= above else f"below {below:g}"
            self._refuse(
                f"{what} must lie {side} on this scale, not at {number:g}: choose an end "
                f"that does, or use {'Integer' if self.margin else 'Uniform'}"
            )
        if self.margin and abs(number) > _LARGEST_INTEGER:
            self._refuse(f"{what} must stay within ± 2**40, not {number!r}")
        return self.typed(number)

    def _refuse(self, problem: str) -> NoReturn:
        raise SpaceError(f"{type(self).__name__}: {problem}")


class _Real(Numeric):
    """A number with a fraction."""

    kind = "real"
    margin = 0.0

    def typed(self, number: float) -> float:
        return float(number)

    def moved(self, value: float, step: float, rng: Generator) -> float:
        target = value + step
        if target == value:  # the step is lost in rounding
            target = math.nextafter(value, math.copysign(math.inf, step))
        return target


class _Whole(Numeric):
    """A whole number."""

    kind = "integer"
    margin = 0.5

    def typed(self, number: float) -> int:
        return math.floor(number + 0.5)

    def moved(self, value: float, step: float, rng: Generator) -> float:
        """Rounds the step's size at random, so that its mean is exact, and to at least 1."""
        size = abs(step)
        whole = math.floor(size)
        whole += rng.random() < size - whole
        return value + math.copysign(max(whole, 1), step)


@final
class Uniform(_Real):
    """A float, uniform from `low` to `high`.

    >>> Uniform(0.0, 0.5).quantile(0.5)
    0.25
    """

    axis = _LINEAR


@final
class LogUniform(_Real):
    """A positive float, uniform on a log scale: learning rates, weight decay.

    >>> LogUniform(1e-4, 1e-1, bounds=(1e-6, 1.0))
    LogUniform(0.0001, 0.1, bounds=(1e-06, 1.0))
    >>> LogUniform(1e-4, 1.0).encode(1e-2)
    0.5
    """

    axis = _LOG


@final
class ReverseLogUniform(_Real):
    """A float below 1, with 1 − x uniform on a log scale: discounts, betas, momentum.

    >>> round(ReverseLogUniform(0.9, 0.9999).quantile(1 / 3), 6)
    0.99
    """

    axis = _REVERSE_LOG


@final
class Integer(_Whole):
    """A whole number, each from `low` to `high` equally likely.

    >>> [Integer(1, 4).quantile(u) for u in (0.0, 0.3, 0.6, 1.0)]
    [1, 2, 3, 4]
    """

    axis = _LINEAR


@final
class LogInteger(_Whole):
    """A whole number from 1 up, uniform on a log scale: widths, numbers of steps.

    >>> LogInteger(1, 1024).quantile(0.5)
    23
    """

    axis = _LOG


def _finite(value: object) -> float | None:
    """`value` as a float, or None where it is no finite real number. A boolean is no number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
