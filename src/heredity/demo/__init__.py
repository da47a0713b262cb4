"""The demo: PBT on a real problem, and random search with as many members and steps beside it.

It owns the two studies and when they begin afresh. It prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from heredity.demo.digits import Digits
from heredity.errors import NotFound, UsageError
from heredity.evolution.algorithm import Algorithm
from heredity.evolution.budget import Steps
from heredity.evolution.objective import maximize
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.executors.base import Executor
from heredity.executors.processes import Processes
from heredity.result import Result
from heredity.settings import Live
from heredity.space import LogUniform, Space, Uniform
from heredity.study import Study
from heredity.study import open as open_study
from heredity.tidy import remove

NAME, BASELINE = "demo", "demo-random"
"""What the studies are called within their storage."""

SPACE = Space(
    lr=LogUniform(1e-4, 1.0),
    momentum=Uniform(0.0, 0.99),
    weight_decay=LogUniform(1e-6, 1e-1),
    dropout=Uniform(0.0, 0.6),
    distortion=Uniform(0.0, 2.0),
)


@dataclass(frozen=True)
class Demo:
    """The two studies: `pbt`, and `random` with the same members, steps and seed."""

    pbt: Study
    random: Study

    @classmethod
    def of(
        cls,
        storage: str | Path = "runs",
        seed: int = 0,
        *,
        population: int = 16,
        interval: int = 50,
        intervals: int = 40,
    ) -> Demo:
        """The demo in a storage folder. Smaller than by default it proves little, sooner."""

        def study(name: str, algorithm: Algorithm) -> Study:
            return Study(
                Digits,
                SPACE,
                objective=maximize("accuracy"),
                population=population,
                interval=interval,
                budget=Steps(interval * intervals),
                algorithm=algorithm,
                name=name,
                storage=storage,
                seed=seed,
            )

        return cls(study(NAME, PBT()), study(BASELINE, RandomSearch()))

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
        executor: Callable[[], Executor] = Processes,
        live: Live = "auto",
    ) -> tuple[Result, Result | None]:
        """Run both and return what each found; no second one if the first was interrupted."""
        first = self.pbt.run(executor(), live=live)
        return first, self.random.run(executor(), live=live) if first.status == "ended" else None


def _earlier(study: Study) -> Result | None:
    """The study of this name that is there already, which must be one of the demo's."""
    try:
        found = open_study(study.name, study.storage)
    except NotFound:
        return None
    if found.population.code.get("trainable") != Digits.__qualname__:
        raise UsageError(
            f"{str(study.storage)!r} holds a study {study.name!r} that is not the demo's: choose "
            f"another folder with --storage"
        )
    return found
