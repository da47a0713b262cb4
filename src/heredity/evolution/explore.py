"""How hparams that were taken over are changed (Jaderberg et al. 2017, `explore`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heredity.errors import UsageError
from heredity.space import Keep, Move, Resample, Space


class Explore(ABC):
    """Changes hparams within their bounds. Subclasses are frozen dataclasses."""

    @abstractmethod
    def explore(
        self, space: Space, hparams: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """New hparams, of which at least one differs; those that are part of the weights stay."""


@dataclass(frozen=True)
class Perturb(Explore):
    """Every hparam moves by its own move; with probability `resample` it is drawn afresh instead.

    A probability of 0.25 is common; 1.0 is a random search around inherited weights.
    """

    resample: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.resample <= 1:
            raise UsageError(f"Perturb(resample=…) is a probability, not {self.resample!r}")

    def explore(
        self, space: Space, hparams: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        redrawn = rng.random(len(space)) < self.resample
        free = [name for name in space.names if name not in space.kept]
        moves = {
            n: Resample() for n, r in zip(space.names, redrawn, strict=True) if r and n in free
        }
        return space.mutate(hparams, rng, moves=moves)


@dataclass(frozen=True)
class MoveAll(Explore):
    """Every hparam that may change makes the same move, whatever its own is.

    `PBT(explore=hd.Resample())` means `MoveAll(hd.Resample())`.
    """

    move: Move[Any]

    def explore(
        self, space: Space, hparams: Mapping[str, Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        moves = {name: self.move for name in space.names if name not in space.kept}
        return space.mutate(hparams, rng, moves=moves)


def as_explore(explore: Explore | Move[Any] | None) -> Explore | None:
    """An explore rule from a rule, a move for all hparams, or None for no exploring."""
    if isinstance(explore, Keep) or explore is None:
        return None
    if isinstance(explore, Move):
        return MoveAll(explore)
    if isinstance(explore, Explore):
        return explore
    raise UsageError(
        f"explore is hd.Perturb(…), a move such as hd.Resample(), or None; got {explore!r}"
    )
