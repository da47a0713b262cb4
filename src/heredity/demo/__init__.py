"""The demo: PBT on a real problem, and random search with as many members and steps beside it.

It owns the two studies and when they begin afresh. It prints nothing. It imports JAX, so it is
imported only for the demo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heredity.errors import MissingExtra, NotFound, UsageError

try:
    import optax as _optax  # noqa: F401  # asked first, for a message that names the remedy
    import sklearn as _sklearn  # noqa: F401

    from heredity.demo.digits import digits
except ImportError as error:
    raise MissingExtra("demo", "the demo", error.name) from error

from heredity.evolution.algorithm import Algorithm
from heredity.evolution.budget import Steps
from heredity.evolution.definition import Definition
from heredity.evolution.objective import maximize
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.result import Result
from heredity.settings import Live
from heredity.space import LogUniform, Space, Uniform
from heredity.stores import shown
from heredity.study import Study
from heredity.study import open as open_study
from heredity.tidy import remove
from heredity.workshop import AnyExecutor

SPACE = Space(
    lr=LogUniform(1e-4, 1.0),
    momentum=Uniform(0.0, 0.99),
    weight_decay=LogUniform(1e-6, 1e-1),
    dropout=Uniform(0.0, 0.6),
    distortion=Uniform(0.0, 2.0),
)


@dataclass(frozen=True)
class Kind:
    """What is trained on one kind of executor. No study can go on on another, so each has names of
    its own.

    Attributes:
        name: of the study; that of random search ends in "-random".
        population: members of each study.
        interval: steps between evaluations.
        intervals: evaluations of each member.
    """

    name: str
    population: int
    interval: int = 40
    intervals: int = 30


ONE_PROGRAM, PROCESSES = Kind("demo", 64), Kind("demo-processes", 16)
"""Each takes about half a minute on two cores."""


@dataclass(frozen=True)
class Demo:
    """The two studies: `pbt`, and `random` with the same members, steps and seed."""

    pbt: Study
    random: Study

    @classmethod
    def of(cls, storage: str | Path = "runs", seed: int = 0, kind: Kind = ONE_PROGRAM) -> Demo:
        """The demo in a storage folder. Smaller than by default it proves little, sooner."""
        trainable = digits()

        def study(name: str, algorithm: Algorithm) -> Study:
            return Study(
                trainable,
                SPACE,
                objective=maximize("accuracy"),
                population=kind.population,
                interval=kind.interval,
                budget=Steps(kind.interval * kind.intervals),
                algorithm=algorithm,
                name=name,
                storage=storage,
                seed=seed,
            )

        return cls(study(kind.name, PBT()), study(f"{kind.name}-random", RandomSearch()))

    def begin(self) -> bool:
        """Make room: remove an earlier demo that has ended or was another one. True if one that was
        interrupted stays, to be gone on with."""
        earlier = {study.name: found for study in self.studies if (found := _earlier(study))}
        going_on = any(found.status != "ended" for found in earlier.values())
        same = all(
            earlier[study.name].population.definition == study.definition.as_json()
            for study in self.studies
            if study.name in earlier
        )
        both = len(earlier) == len(self.studies)
        for found in earlier.values():
            found.close()
        if same and (going_on or not both):
            return bool(earlier)
        for study in self.studies:
            if study.name in earlier:
                remove(study.name, study.storage)
        return False

    @property
    def studies(self) -> tuple[Study, Study]:
        """Both, in the order in which they run."""
        return self.pbt, self.random

    def run(
        self,
        executor: AnyExecutor | None = None,
        live: Live = "auto",
    ) -> tuple[Result, Result | None]:
        """Run both and return what each found; no second one if the first was interrupted."""
        first = self.pbt.run(executor, live=live)
        return first, self.random.run(executor, live=live) if first.status == "ended" else None


def _earlier(study: Study) -> Result | None:
    """The study of this name that is there already, which must be one of the demo's."""
    try:
        found = open_study(study.name, study.storage)
    except NotFound:
        return None
    if set(Definition.from_json(found.population.definition).space) != set(SPACE):
        raise UsageError(
            f"{shown(study.storage)!r} holds a study {study.name!r} that is not the demo's: choose "
            f"another folder with --storage"
        )
    return found
