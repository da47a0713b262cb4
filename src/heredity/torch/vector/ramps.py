"""Hparams as a program's arrays, and on their way between two values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.executors.program import Round, traced
from heredity.space import (
    Constant,
    Integer,
    LogInteger,
    LogUniform,
    Ordinal,
    ReverseLogUniform,
    Space,
    Uniform,
)


def constants_of(space: Space) -> dict[str, Any]:
    """The plain values of the hparams that are no arrays."""
    return {name: p.value for name, p in space.items() if isinstance(p, Constant)}


def columns_of(space: Space, hparams: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Members' hparams as arrays with one entry a member; constants are left out."""
    return {
        name: traced(space, name, [values[name] for values in hparams])
        for name in space
        if not isinstance(space[name], Constant)
    }


class Ramp:
    """The way of a group of rows from their old hparams to their new ones, on each parameter's own
    scale as `Space.interpolate` goes it. Computed for all rows at once.

    Attributes:
        steps: how many steps of the round the longest takes.
    """

    def __init__(self, space: Space, round: Round, rows: slice) -> None:
        lengths = np.zeros(1) if round.ramp_steps is None else round.ramp_steps[rows]
        self.steps = int(lengths.max())
        self._lengths = np.maximum(lengths, 1)
        self._new = {name: values[rows] for name, values in round.hparams.items()}
        self._ways: dict[str, _Way] = {}
        if round.ramp_from is not None and self.steps:
            for name in (name for name in self._new if space[name].kind != "categorical"):
                old, new = round.ramp_from[name][rows], self._new[name]
                self._ways[name] = _Way.between(space[name], old, new)

    def at(self, step: int) -> dict[str, NDArray[Any]]:
        """The hparams in force at a step of the round, counted from 0.

        A ramp of n steps trains its first with 1/n of the change, and its last with all of it.
        """
        fraction = np.minimum((step + 1) / self._lengths, 1.0)
        between = dict(self._new)
        for name, way in self._ways.items():
            new = self._new[name]
            arrived = (fraction >= 1.0) | (way.start == way.end)
            between[name] = np.where(arrived, new, way.at(fraction).astype(new.dtype))
        return between


@dataclass(frozen=True)
class _Way:
    """A parameter's way between two places on its scale, for each row.

    Attributes:
        codes: what a program is given for each of its choices; None if it has none.
    """

    parameter: Any
    codes: NDArray[Any] | None
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    @classmethod
    def between(cls, parameter: Any, old: NDArray[Any], new: NDArray[Any]) -> _Way:
        codes = _codes(parameter) if isinstance(parameter, Ordinal) else None
        return cls(parameter, codes, *(_places(parameter, codes, ends) for ends in (old, new)))

    def at(self, fraction: NDArray[np.float64]) -> NDArray[Any]:
        """The values at this part of the way; whole numbers and choices round."""
        place, parameter = self.start + fraction * (self.end - self.start), self.parameter
        if self.codes is not None:
            return np.asarray(self.codes[np.floor(place + 0.5).astype(np.int64)])
        value = _UNWARP[type(parameter)](place)
        low, high = parameter.bounds
        return np.asarray(np.clip(np.floor(value + 0.5) if parameter.margin else value, low, high))


def _places(
    parameter: Any, codes: NDArray[Any] | None, values: NDArray[Any]
) -> NDArray[np.float64]:
    """Where values lie on their parameter's scale; ordered choices by their index."""
    if codes is not None:
        return np.asarray((values[:, None] == codes).argmax(axis=1), np.float64)
    clipped = np.clip(values.astype(np.float64), *parameter.bounds)
    return np.asarray(_WARP[type(parameter)](clipped))


def _codes(parameter: Ordinal) -> NDArray[Any]:
    return traced(Space(choice=parameter), "choice", parameter.choices)


_WARP: dict[type, Any] = {
    Uniform: np.positive,
    Integer: np.positive,
    LogUniform: np.log,
    LogInteger: np.log,
    ReverseLogUniform: lambda value: -np.log1p(-value),
}

_UNWARP: dict[type, Any] = {
    Uniform: np.positive,
    Integer: np.positive,
    LogUniform: np.exp,
    LogInteger: np.exp,
    ReverseLogUniform: lambda place: -np.expm1(-place),
}
