"""Hparams as a program's arrays and back, and between two values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from heredity.executors.program import Round, traced
from heredity.space import Constant, Space


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


def ramped(space: Space, round: Round, rows: Iterable[int], step: int) -> dict[str, NDArray[Any]]:
    """The hparams in force for these rows at a step of the round, counted from 0.

    A ramp of n steps trains its first with 1/n of the change, and its last with all of it.
    """
    assert round.ramp_from is not None
    assert round.ramp_steps is not None
    between = []
    for row in rows:
        new, length = plain(space, round.hparams, row), int(round.ramp_steps[row])
        if step + 1 < length:
            new = space.interpolate(plain(space, round.ramp_from, row), new, (step + 1) / length)
        between.append(new)
    return {name: traced(space, name, [one[name] for one in between]) for name in round.hparams}


def plain(space: Space, arrays: Mapping[str, NDArray[Any]], row: int) -> dict[str, Any]:
    """One row's hparams as the plain values that `traced` was given."""
    hparams = constants_of(space)
    for name, values in arrays.items():
        hparams[name] = _plain(space, name, values[row].item())
    return {name: hparams[name] for name in space}


def _plain(space: Space, name: str, value: Any) -> Any:
    coded = {traced(space, name, [choice])[0]: choice for choice in _choices(space, name)}
    return coded[value] if coded else value


def _choices(space: Space, name: str) -> Sequence[Any]:
    return getattr(space[name], "choices", ())
