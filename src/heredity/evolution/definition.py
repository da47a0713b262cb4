"""What a study is: the part that never changes, and the randomness that follows from it.

A definition describes itself as JSON: the log's first event holds it, and two definitions are
compared by it. Settings that may change between runs (budget, workers, limits) are not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from heredity.describe import describe, rebuild
from heredity.errors import UsageError
from heredity.evolution.algorithm import Algorithm
from heredity.evolution.objective import Objective
from heredity.space import Space

PURPOSES = ("train", "sample", "exploit", "explore", "measure", "evaluate")
"""What randomness is for; the position is part of the key, so the order never changes."""


@dataclass(frozen=True)
class Definition:
    """A study's definition.

    Attributes:
        space: the hyperparameters.
        objectives: the first decides; more are for algorithms that use them.
        population: number of members.
        interval: steps per trial.
        algorithm: decides what comes next.
        seed: of all randomness of the study.
        trainable: the kind of trainable, by name; recorded so that a mix-up is noticed.
        initial: known good hparams, given to the first members; missing names are sampled.
        sampling: "independent", or "sobol" for a low-discrepancy first population.
    """

    space: Space
    objectives: tuple[Objective, ...]
    population: int
    interval: int
    algorithm: Algorithm
    seed: int
    trainable: str
    initial: tuple[Mapping[str, Any], ...] = ()
    sampling: Literal["independent", "sobol"] = "independent"

    def check(self) -> None:
        """Raise `UsageError` for what cannot work."""
        _require_integer("population", self.population, 1)
        _require_integer("interval", self.interval, 1)
        _require_integer("seed", self.seed, 0)
        if not isinstance(self.space, Space):
            raise UsageError(f"space is an hd.Space(lr=hd.LogUniform(…), …), not {self.space!r}")
        if not isinstance(self.algorithm, Algorithm):
            raise UsageError(f"algorithm is hd.PBT(…) or another Algorithm, not {self.algorithm!r}")
        if not self.objectives or not all(isinstance(o, Objective) for o in self.objectives):
            raise UsageError(
                f'objective is hd.maximize("metric") or hd.minimize("metric"), not '
                f"{self.objectives!r}"
            )
        if self.sampling not in ("independent", "sobol"):
            raise UsageError(f"sampling is 'independent' or 'sobol', not {self.sampling!r}")
        if len(self.initial) > self.population:
            raise UsageError(
                f"initial gives {len(self.initial)} sets of hparams to a population of "
                f"{self.population}: leave some out, or raise population"
            )
        self.algorithm.check(self)

    def as_json(self) -> dict[str, Any]:
        """The definition as JSON values, from which `from_json` makes an equal one."""
        return {
            "space": describe(self.space),
            "objectives": [{"name": o.name, "direction": o.direction} for o in self.objectives],
            "population": self.population,
            "interval": self.interval,
            "algorithm": describe(self.algorithm),
            "seed": self.seed,
            "trainable": self.trainable,
            "initial": [dict(hparams) for hparams in self.initial],
            "sampling": self.sampling,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Definition:
        """The definition that described itself so. `UsageError` if a class it names is missing."""
        return cls(
            space=rebuild(data["space"]),
            objectives=tuple(Objective(o["name"], o["direction"]) for o in data["objectives"]),
            population=data["population"],
            interval=data["interval"],
            algorithm=rebuild(data["algorithm"]),
            seed=data["seed"],
            trainable=data["trainable"],
            initial=tuple(data["initial"]),
            sampling=data["sampling"],
        )


def generator(seed: int, member: int, turn: int, purpose: str) -> np.random.Generator:
    """The only randomness there is: independent for each (seed, member, turn, purpose), so that no
    draw depends on the order in which trials arrive.

    Philox from a spawned `SeedSequence`: Salmon et al. 2011, "Parallel random numbers: as easy as
    1, 2, 3".
    """
    return np.random.Generator(np.random.Philox(_sequence(seed, member, turn, purpose)))


@lru_cache(8192)
def trial_seed(seed: int, member: int, turn: int, purpose: str = "train") -> int:
    """The seed of a trial's own randomness: 31 bits, which every framework accepts.

    It is remembered, since whoever has the time may ask before it is needed.
    """
    return int(_sequence(seed, member, turn, purpose).generate_state(1)[0]) >> 1


def _require_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is a whole number from {least}, not {value!r}")


def _sequence(seed: int, member: int, turn: int, purpose: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), member, turn))
