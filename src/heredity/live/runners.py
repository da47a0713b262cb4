"""Who runs a study at this moment, as far as its store can tell. It asks no process, no worker."""

from __future__ import annotations

from dataclasses import dataclass

from heredity.driver import running
from heredity.log import Log


@dataclass(frozen=True, slots=True)
class Runners:
    """Who runs a study.

    Attributes:
        driver: the process that drives it, such as "pid 7 on host"; None if there is none.
        workers: the names of those who have trials of it and are not overdue: workers of a
            service, whichever of their slots, or who asked. One that has just ended may still be
            named.
    """

    driver: str | None
    workers: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anybody runs it."""
        return self.driver is not None or bool(self.workers)

    def __str__(self) -> str:
        if self.driver is not None:
            return self.driver
        if len(self.workers) == 1:
            return f"worker {self.workers[0]}"
        return f"{len(self.workers)} workers" if self.workers else "nobody"


def runners_of(log: Log) -> Runners:
    """Who runs the study of this log."""
    population, store = log.population, log.store
    silent = {lease.trial for lease in store.leases(log.study) if lease.left_s <= 0}
    names = [population.workers[t] for t in running(population) if t not in silent]
    workers = dict.fromkeys(name.partition("/")[0] for name in names if name)
    return Runners(store.holder(log.study), tuple(workers))
