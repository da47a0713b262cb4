"""Moves: how one hyperparameter mutates when a member takes over another's.

Promise: *always in bounds, always moving*. Whatever a move proposes, the new value lies inside the
parameter's bounds and differs from the old one; `Keep` and parameters with a single value are the
only exceptions. A value outside the bounds (they were narrowed) is brought inside first; at a bound
a move goes inward.

A move sees one parameter, one value and a random generator. It knows nothing of the other
hyperparameters, of scores or of populations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

from heredity.errors import SpaceError

if TYPE_CHECKING:
    from numpy.random import Generator

    from heredity.space.numeric import Numeric
    from heredity.space.parameters import Kind, Ordinal, Parameter, Value

P = TypeVar("P", bound="Parameter", contravariant=True)

# `Scale` over a range that contains its origin takes steps of at least this part of the range:
# multiplying alone could never leave the origin, nor cross it.
LEAST_FRACTION = 0.01

_SUITABLE: dict[Kind, str] = {
    "real": "Scale(), Shift(...), Resample() or Keep()",
    "integer": "Scale(), Shift(...), Neighbour(), Resample() or Keep()",
    "ordinal": "Neighbour(), Resample() or Keep()",
    "categorical": "Resample() or Keep()",
    "constant": "Keep(), or leave `move` out",
}


class Move(ABC, Generic[P]):
    """How one hyperparameter mutates. A subclass says where to go, in `propose`.

    `kinds` are the kinds of parameter a move understands, all by default. `keeps` marks a move
    that leaves the value as it is, because it is part of the weights.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset(_SUITABLE)
    keeps: ClassVar[bool] = False

    @abstractmethod
    def propose(self, parameter: P, value: Any, rng: Generator) -> Value:
        """Another value. The one given is inside the bounds, and is not the only one there."""

    @final
    def move(self, parameter: P, value: Value, rng: Generator) -> Value:
        """The value after one move: inside the bounds, and another one wherever there is another.

        >>> import numpy as np
        >>> from heredity.space import LogUniform
        >>> rng = np.random.Generator(np.random.Philox(0))
        >>> Scale().move(LogUniform(1e-4, 1.0), 1.0, rng)  # at the upper bound: goes inward
        0.8
        """
        if self.keeps:
            return value
        value = parameter.clip(value)
        if parameter.single:
            return value
        return parameter.clip(self.propose(parameter, value, rng))


def require_move(move: object, parameter: Parameter) -> None:
    """Raise SpaceError unless `move` is a move that understands `parameter`."""
    suitable = _SUITABLE[parameter.kind]
    if not isinstance(move, Move):
        raise SpaceError(f"expected a move, {suitable}; got {move!r}")
    if parameter.kind not in move.kinds:
        raise SpaceError(f"{move!r} cannot move {type(parameter).__name__}: use {suitable}")


@final
@dataclass(frozen=True)
class Scale(Move["Numeric"]):
    """Multiply by one of the factors, drawn uniformly: × 0.8 or × 1.2 (Jaderberg et al. 2017).

    `ReverseLogUniform` scales the distance 1 − x. Integers round at random so that rounding adds no
    drift, and move at least one step. Over a range that contains 0, a step is at least 1 % of the
    range and may cross 0, so nothing is absorbed there.

    The paper's factors leave the mean where it is; on a log scale they drift down by 2 % a move.
    `Scale((0.8, 1.25))` has no drift on a log scale.
    """

    factors: tuple[float, ...] = (0.8, 1.2)

    kinds = frozenset({"real", "integer"})

    def __post_init__(self) -> None:
        given: Any = self.factors
        if not isinstance(given, (tuple, list)) or not given:
            raise SpaceError(f"Scale takes factors such as (0.8, 1.2), not {given!r}")
        factors = tuple(_positive("a factor of Scale", factor) for factor in given)
        if 1.0 in factors or not min(factors) < 1.0 < max(factors):
            raise SpaceError(
                f"Scale needs factors below and above 1, and none of 1, to move both ways: "
                f"for example (0.8, 1.2), not {factors}"
            )
        object.__setattr__(self, "factors", factors)

    def propose(self, parameter: Numeric, value: float, rng: Generator) -> Value:
        offset = value - parameter.origin
        steps = [offset * (factor - 1.0) for factor in self.factors]
        least = LEAST_FRACTION * parameter.width if parameter.contains_origin else 0.0
        return _take_one(parameter, value, steps, rng, least)


@final
@dataclass(frozen=True, repr=False)
class Shift(Move["Numeric"]):
    """Add or subtract `amount`, or a `fraction` of the range on the parameter's own scale.

    `Shift(0.2)` is ± 0.2 in the parameter's own units. `Shift(fraction=0.1)` is ± a tenth of the
    range, which on a log scale is a tenth of its decades. Integers round at random, without drift,
    and move at least one step.
    """

    amount: float | None = None
    fraction: float | None = None

    kinds = frozenset({"real", "integer"})

    def __post_init__(self) -> None:
        if (self.amount is None) == (self.fraction is None):
            raise SpaceError(
                "Shift needs either an amount, Shift(0.2), or a fraction of the range, "
                "Shift(fraction=0.1)"
            )
        name = "amount" if self.fraction is None else "fraction"
        size = _positive(f"the {name} of Shift", getattr(self, name))
        if name == "fraction" and size > 1.0:
            raise SpaceError(f"the fraction of Shift is at most 1 (the whole range), not {size!r}")
        object.__setattr__(self, name, size)

    def __repr__(self) -> str:
        if self.fraction is None:
            return f"Shift({self.amount!r})"
        return f"Shift(fraction={self.fraction!r})"

    def propose(self, parameter: Numeric, value: float, rng: Generator) -> Value:
        return _take_one(parameter, value, self._steps(parameter, value), rng)

    def _steps(self, parameter: Numeric, value: float) -> tuple[float, float]:
        if self.amount is not None:
            return -self.amount, self.amount
        assert self.fraction is not None
        here = parameter.encode(value)
        down = parameter.at(here - self.fraction) - value
        up = parameter.at(here + self.fraction) - value
        return -abs(down), abs(up)  # rounding may turn the sign of a step that has no room


@final
@dataclass(frozen=True, repr=False)
class Neighbour(Move["Numeric | Ordinal"]):
    """The next lower or higher value, or the one `steps` away, equally likely (Li et al. 2019)."""

    steps: int = 1

    kinds = frozenset({"integer", "ordinal"})

    def __post_init__(self) -> None:
        if type(self.steps) is not int or self.steps < 1:
            raise SpaceError(
                f"Neighbour needs a whole number of steps from 1 up; got {self.steps!r}"
            )

    def __repr__(self) -> str:
        return "Neighbour()" if self.steps == 1 else f"Neighbour({self.steps})"

    def propose(self, parameter: Numeric | Ordinal, value: Any, rng: Generator) -> Value:
        return _take_one(parameter, value, (-self.steps, self.steps), rng)


@final
@dataclass(frozen=True)
class Resample(Move["Parameter"]):
    """A new draw from the prior that excludes the current value.

    A prior of a single value gives way to a uniform draw within the bounds, on the parameter's
    own scale.
    """

    kinds = frozenset({"real", "integer", "ordinal", "categorical"})

    def propose(self, parameter: Parameter, value: Any, rng: Generator) -> Value:
        varies = parameter.quantile(0.0) != parameter.quantile(1.0)
        draw = parameter.quantile if varies else parameter.decode
        fresh: Value = value
        while fresh == value:
            fresh = draw(rng.random())
        return fresh


@final
@dataclass(frozen=True)
class Keep(Move["Parameter"]):
    """Never move: for hyperparameters that are part of the weights, such as width and depth.

    Such a value always comes with the weights: whoever takes these over takes it over too.
    """

    keeps = True

    def propose(self, parameter: Parameter, value: Any, rng: Generator) -> Value:
        return value  # type: ignore[no-any-return]


def _take_one(
    parameter: Numeric | Ordinal,
    value: Any,
    steps: Iterable[float],
    rng: Generator,
    least: float = 0.0,
) -> Value:
    """Take one of the signed steps, equally likely among those that have room.

    Every step is at least `least` long, and ends on the bound rather than beyond it or closer than
    `least` to it. A step of size zero still has a direction, the sign of its zero.
    """
    below, above = parameter.room(value)
    possible = []
    for step in steps:
        room = above if math.copysign(1.0, step) > 0.0 else below
        size = max(abs(step), least)
        if room > 0.0 and room >= least:
            size = room if room - size < least else size
            possible.append(math.copysign(size, step))
    return parameter.moved(value, possible[int(rng.random() * len(possible))], rng)


def _positive(what: str, number: Any) -> float:
    """`number` as a float; SpaceError unless it is positive and finite."""
    valid = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not valid or not 0.0 < number < math.inf:
        raise SpaceError(f"{what} must be a positive number, not {number!r}")
    return float(number)
