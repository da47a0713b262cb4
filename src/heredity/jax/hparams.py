"""Hparams as user functions get them: arrays that differ between members, and plain constants.

Also their ramps: hparams on their way from old to new during a round's first steps, interpolated
on each parameter's own scale as `Space.interpolate` does. This file knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from heredity.errors import UsageError
from heredity.executors.program import Round, traced
from heredity.space import (
    Integer,
    LogInteger,
    LogUniform,
    Ordinal,
    ReverseLogUniform,
    Space,
    Uniform,
)

Values = dict[str, Any]
"""Of traced hparams, by name: of one member, or of all with the members first."""


@dataclass(frozen=True)
class Hparams:
    """The hparams of a space: which are traced, in which dtype, and how they ramp."""

    space: Space

    @cached_property
    def constants(self) -> dict[str, Any]:
        """Those with one value for all, which user functions get as it was written."""
        return {name: p.quantile(0.5) for name, p in self.space.items() if p.kind == "constant"}

    @cached_property
    def dtypes(self) -> dict[str, Any]:
        """Of the traced ones: the default float dtype, or the default one of whole numbers."""
        found = {}
        for name, parameter in self.space.items():
            if name not in self.constants:
                example = traced(self.space, name, [parameter.quantile(0.5)])
                found[name] = jax.dtypes.canonicalize_dtype(example.dtype)
        return found

    def require_traceable(self) -> None:
        """Raise `UsageError` for hparams that come with the weights: one program has one shape."""
        for name in self.dtypes:
            if name in self.space.kept:
                raise UsageError(
                    f"`{name}` is part of the weights ({self.space[name]!r}) and so would give "
                    "members of different shapes, which cannot train as one program: declare it "
                    "hd.Constant(…), or train with hd.Processes()"
                )

    def require_exact(self) -> None:
        """Raise `UsageError` for whole numbers that are too large for their dtype."""
        for name, dtype in self.dtypes.items():
            if dtype.kind != "i":
                continue
            limits = np.iinfo(dtype)
            if far := [v for v in self._ends(name) if not limits.min <= v <= limits.max]:
                raise UsageError(
                    f"`{name}` may be {far[-1]}, but JAX computes with {dtype} ({limits.min} to "
                    f"{limits.max}), in which it would be another number: use smaller ones, or "
                    'enable 64 bits with jax.config.update("jax_enable_x64", True)'
                )

    def _ends(self, name: str) -> NDArray[Any]:
        """Of a traced hparam that is a whole number: all choices, or the bounds."""
        parameter: Any = self.space[name]
        return traced(self.space, name, getattr(parameter, "choices", None) or parameter.bounds)

    def shapes(self) -> Values:
        """Stand-ins of one member's traced hparams, to trace functions with."""
        return {name: jax.ShapeDtypeStruct((), dtype) for name, dtype in self.dtypes.items()}

    def given(self, values: Values) -> Values:
        """What a user function gets: traced values and constants, in declared order."""
        return {
            name: self.constants[name] if name in self.constants else values[name]
            for name in self.space
        }

    def example(self, name: str) -> Any:
        """One plain Python value, as a user function would get it if it were not traced."""
        return traced(self.space, name, [self.space[name].quantile(0.5)])[0].item()

    def choice(self, name: str) -> Any:
        """One value as it was declared, which user functions get the index of if it is a choice."""
        return self.space[name].quantile(0.5)

    def cast(self, values: Mapping[str, Any]) -> Values:
        """The values of a round in the device's precision."""
        return {name: np.asarray(values[name], dtype) for name, dtype in self.dtypes.items()}

    def of_one(self, hparams: Mapping[str, Any]) -> Values:
        """A member's plain hparams as a round of a population of one gives them."""
        return {name: traced(self.space, name, [hparams[name]]) for name in self.dtypes}

    # Ramps ------------------------------------------------------------------------------

    @cached_property
    def _ramped(self) -> tuple[str, ...]:
        names = (name for name in self.dtypes if name not in self.space.kept)
        return tuple(name for name in names if self.space[name].kind != "categorical")

    def ramp(self, round: Round) -> dict[str, Any]:
        """What `at` needs of a round: for each ramped hparam its two ends on its own scale."""
        population = len(round.sources)
        steps = np.zeros(population) if round.ramp_steps is None else round.ramp_steps
        before = round.hparams if round.ramp_from is None else round.ramp_from
        return {"steps": np.asarray(steps, np.int32)} | {
            name: tuple(self._places(name, ends[name]) for ends in (before, round.hparams))
            for name in self._ramped
        }

    def at(self, values: Values, ramp: Mapping[str, Any], step: Any) -> Values:
        """One member's hparams in a round's `step`, traced; the ramp ends with its last step."""
        fraction = jnp.minimum((step + 1) / jnp.maximum(ramp["steps"], 1), 1.0)
        between = dict(values)
        for name in self._ramped:
            start, end = ramp[name]
            there = (fraction >= 1.0) | (start == end)
            way = _value(self.space[name], start + fraction * (end - start))
            between[name] = jnp.where(there, values[name], way.astype(self.dtypes[name]))
        return between

    def _places(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        places = _places(self.space[name], np.asarray(values))
        return np.asarray(places, jax.dtypes.canonicalize_dtype(float))


def _places(parameter: Any, values: NDArray[Any]) -> Any:
    """Where traced values lie on their parameter's scale; ordered choices, by their index."""
    if not isinstance(parameter, Ordinal):
        return _WARP[type(parameter)](np.clip(values, *parameter.bounds))
    if _by_index(parameter):
        return values
    return (values[:, None] == np.array(parameter.choices)).argmax(axis=1)


def _value(parameter: Any, place: Any) -> Any:
    """The inverse of `_places`, for traced places; whole numbers and choices round."""
    if isinstance(parameter, Ordinal):
        index = jnp.floor(place + 0.5).astype(jnp.int32)
        return index if _by_index(parameter) else _table(parameter.choices)[index]
    value = _UNWARP[type(parameter)](place)
    return jnp.clip(jnp.floor(value + 0.5) if parameter.margin else value, *parameter.bounds)


def _by_index(parameter: Ordinal) -> bool:
    return not all(
        isinstance(c, int | float) and not isinstance(c, bool) for c in parameter.choices
    )


def _table(choices: Sequence[Any]) -> Any:
    return jnp.asarray(np.array(choices, np.float64).astype(jax.dtypes.canonicalize_dtype(float)))


def _same(place: Any) -> Any:
    return place


_WARP: dict[type, Any] = {
    Uniform: _same,
    Integer: _same,
    LogUniform: np.log,
    LogInteger: np.log,
    ReverseLogUniform: lambda value: -np.log1p(-value),
}

_UNWARP: dict[type, Any] = {
    Uniform: _same,
    Integer: _same,
    LogUniform: jnp.exp,
    LogInteger: jnp.exp,
    ReverseLogUniform: lambda place: -jnp.expm1(-place),
}
