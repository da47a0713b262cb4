"""The shapes that people give to schedules, as functions of the step and as a line of Python.

A curve knows its numbers and where training ends. How it is fitted, and to what, it does not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from heredity.analysis.records import Floats


class Curve(ABC):
    """A value for each step. Final subclasses are frozen dataclasses."""

    shape: ClassVar[str]

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers of it are free, and so taken from what it is fitted to: the price of a
        closer fit."""

    @abstractmethod
    def at(self, steps: Floats) -> NDArray[Any]:
        """Its values at these steps, the first step of training being 0."""

    @property
    @abstractmethod
    def code(self) -> str:
        """It as an expression of Python in `step`, to six digits; `cos` and `pi` are of `math`."""


@final
@dataclass(frozen=True)
class Constant(Curve):
    """One value from beginning to end."""

    level: Any

    shape = "constant"
    numbers = 1

    def at(self, steps: Floats) -> NDArray[Any]:
        return np.full(len(steps), self.level, dtype=object)

    @property
    def code(self) -> str:
        return _shown(self.level)


@final
@dataclass(frozen=True)
class Step(Curve):
    """Levels: the first until `edges[0]`, the next from there until `edges[1]`, and so on.

    A place to change is the best of many, so that each edge counts as two numbers: Zhang and
    Siegmund (2007).
    """

    levels: tuple[Any, ...]
    edges: tuple[int, ...]

    shape = "step"

    @property
    def numbers(self) -> int:
        return len(self.levels) + 2 * len(self.edges)

    def at(self, steps: Floats) -> NDArray[Any]:
        levels = np.array(self.levels, dtype=object)
        return levels[np.searchsorted(self.edges, steps, side="right")]

    @property
    def code(self) -> str:
        parts = [
            f"{_shown(level)} if step < {edge}"
            for level, edge in zip(self.levels, self.edges, strict=False)
        ]
        return " else ".join([*parts, _shown(self.levels[-1])])


@dataclass(frozen=True)
class Ramp(Curve):
    """From `first` at step 0 monotonously to `last` at the step `stop`, where training ends."""

    first: float
    last: float
    stop: int

    numbers = 2


@final
@dataclass(frozen=True)
class Linear(Ramp):
    """A straight line."""

    shape = "linear"

    def at(self, steps: Floats) -> Floats:
        return self.first + (self.last - self.first) * (steps / self.stop)

    @property
    def code(self) -> str:
        first, last = _shown(self.first), _shown(self.last)
        return f"{first} + ({last} - {first}) * step / {self.stop}"


@final
@dataclass(frozen=True)
class Cosine(Ramp):
    """Half a period of a cosine, as Loshchilov and Hutter (2017) anneal learning rates."""

    shape = "cosine"

    def at(self, steps: Floats) -> Floats:
        fall: Floats = (1 + np.cos(np.pi * steps / self.stop)) / 2
        return self.last + (self.first - self.last) * fall

    @property
    def code(self) -> str:
        first, last = _shown(self.first), _shown(self.last)
        return f"{last} + ({first} - {last}) * (1 + cos(pi * step / {self.stop})) / 2"


@final
@dataclass(frozen=True)
class Exponential(Ramp):
    """The distance from `origin`, 0 or 1, changes by the same factor every step.

    Of values below an origin of 1, such as momentum, 1 − x changes so.
    """

    origin: float = 0.0

    shape = "exponential"

    def at(self, steps: Floats) -> Floats:
        first, last = abs(self.first - self.origin), abs(self.last - self.origin)
        logs = np.log(first) + (np.log(last) - np.log(first)) * (steps / self.stop)
        distance: Floats = np.exp(logs)
        return self.origin - distance if self.origin else distance

    @property
    def code(self) -> str:
        first, last = (_shown(abs(end - self.origin)) for end in (self.first, self.last))
        factor = f"{first} * ({last} / {first}) ** (step / {self.stop})"
        return f"{self.origin:g} - {factor}" if self.origin else factor


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
