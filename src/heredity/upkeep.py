"""What a study needs beside its decisions: room on the disk, a mark on the best, limits of time.

Shared by whoever drives a study. It appends `CheckpointsReleased` and no other event, and knows no
executor and no worker.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable

from heredity.checkpoints.base import CheckpointStore, Stored
from heredity.crash import crash_point
from heredity.errors import Conflict
from heredity.evolution import events as ev
from heredity.evolution.collect import expected_checkpoints, releasable
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import ENDED, Checkpoint
from heredity.evolution.view import View
from heredity.executors.base import Failed, Task
from heredity.forecast import disk_problem, size
from heredity.log import Log
from heredity.settings import Settings

TIMEOUT_FACTOR, TIMEOUT_FLOOR_S = 20.0, 600.0
"""A trial may take so many times the median of its study, and never less than the floor."""

MEDIAN_OF = 101
"""The trials whose median that is: the last ones."""


class Upkeep:
    """Looks after the files and the time limits of one study.

    Args:
        new_best: called with the checkpoint of each new best trial, before the one before it goes.
    """

    def __init__(
        self,
        log: Log,
        definition: Definition,
        checkpoints: CheckpointStore,
        settings: Settings,
        new_best: Callable[[Checkpoint], None] = lambda checkpoint: None,
    ) -> None:
        self.log = log
        self.definition = definition
        self.checkpoints = checkpoints
        self.settings = settings
        self._new_best = new_best
        self._best: int | None = None
        self._foreseen = False
        self._collected_at = 0
        self._corrupt: set[int] = set()
        self._released: deque[str] = deque()
        self._elapsed = deque(_last_elapsed(log.population), maxlen=MEDIAN_OF)

    # ------------------------------------------------------------------ time

    @property
    def timeout_s(self) -> float | None:
        """How long a trial may take; None while nobody knows."""
        if self.settings.timeout_s is not None or not self._elapsed:
            return self.settings.timeout_s
        return max(TIMEOUT_FLOOR_S, TIMEOUT_FACTOR * statistics.median(self._elapsed))

    def took(self, elapsed_s: float) -> None:
        """Take note of how long a trial took."""
        self._elapsed.append(elapsed_s)

    def task(self, trial: int) -> Task:
        """The trial's present attempt, for whoever runs it."""
        record = self.log.population.trial(trial)
        source = record.weights_from
        restore = None if source is None else self.log.population.trial(source).checkpoint
        return Task(record, restore, self.timeout_s)

    # ------------------------------------------------------------------ room on the disk

    def disk_problem(self, slots: int) -> str | None:
        """Why nothing may start: the checkpoints take too much, or will, with so many trials at
        once."""
        population, limit = self.log.population, self.settings.disk_limit_bytes
        kept, count = population.bytes_kept, len(population.held)
        if reason := over_limit(population, self.settings):
            return reason
        if self._foreseen or not count:
            return None
        self._foreseen = True
        free = self.checkpoints.free_bytes()
        d, keep, finalists = self.definition, self.settings.keep, self.settings.finals.count
        expected = expected_checkpoints(d, population.budget, keep, slots, finalists)
        return disk_problem(expected * kept // count, limit, None if free is None else free + kept)

    # ------------------------------------------------------------------ files

    def mark_best(self) -> None:
        """Say so if another trial is the best now."""
        best = self.log.population.best
        if best is not None and best != self._best:
            checkpoint = self.log.population.trial(best).checkpoint
            if checkpoint is not None:
                self._new_best(checkpoint)
            self._best = best

    def clean_up(self, trial: int, of: Callable[[int], bool]) -> None:
        """Delete what those attempts of a trial left behind that nobody will hear of again."""
        self.checkpoints.delete(
            stored.uri
            for stored in list(self.checkpoints.list())
            if stored.trial == trial and of(stored.attempt)
        )

    def after_failure(self, failed: Failed) -> None:
        """Once a trial is given up, nobody else should begin from a checkpoint that is damaged."""
        population = self.log.population
        if failed.corrupt and not population.is_open(failed.trial):
            self._corrupt.add(int(population.source[failed.trial]))

    @property
    def urgent(self) -> bool:
        """Whether a damaged checkpoint is still there to begin from."""
        return bool(self._corrupt & self.log.population.held)

    def release(self) -> None:
        """Release what nothing will want, now and then: after a sixteenth of the population, or
        when a checkpoint turned out to be damaged. `delete` removes the files."""
        population = self.log.population
        since = population.ended_count - self._collected_at
        due = since >= max(1, population.lanes // 16) or self.urgent
        trials = self._unneeded() if due else ()
        if due:
            self._collected_at = population.ended_count
        if not trials:
            return
        uris = [c.uri for t in trials if (c := population.trial(t).checkpoint)]
        crash_point("release.before")
        try:
            self.log.append([ev.CheckpointsReleased(trials)])
        except Conflict:
            return  # the state is another now; there will be a next time
        crash_point("release.after")
        self.mark_best()  # before its predecessor goes
        self._released.extend(uris)

    def delete(self, most: int | None = None) -> None:
        """Remove the files of what was released, at most so many at once."""
        count = len(self._released) if most is None else min(most, len(self._released))
        if count:
            self.checkpoints.delete([self._released.popleft() for _ in range(count)])

    def _unneeded(self) -> tuple[int, ...]:
        population, settings = self.log.population, self.settings
        view = View(population, self.definition)
        algorithm, finalists = self.definition.algorithm, settings.finals.count
        trials = set(releasable(population, view, algorithm, settings.keep, finalists))
        trials |= {t for t in self._corrupt & population.held if not population.is_source(t)}
        return tuple(sorted(trials - population.pins))


def _last_elapsed(population: Population) -> list[float]:
    """How long the last trials took, of those that ended."""
    last = (population.trial(t) for t in range(len(population))[-MEDIAN_OF:])
    return [trial.elapsed_s for trial in last if trial.status in ENDED]


def over_limit(population: Population, settings: Settings) -> str | None:
    """Why the checkpoints take too much, and what to do; None if they do not."""
    limit, kept = settings.disk_limit_bytes, population.bytes_kept
    if limit is None or kept <= limit:
        return None
    return (
        f"{len(population.held)} checkpoints take {size(kept)}, more than the limit of "
        f"{size(limit)}: raise disk_limit_bytes, take pins off, or save less in each"
    )


def sweep(log: Log, checkpoints: CheckpointStore) -> int:
    """Delete the files that no event names; nothing may be running. Returns the bytes freed."""
    return _sweep(log, checkpoints, lambda stored: True)


def sweep_closed(log: Log, checkpoints: CheckpointStore) -> int:
    """Delete the files of closed trials that no event names, whatever runs. Returns the bytes."""
    population = log.population

    def closed(stored: Stored) -> bool:
        return stored.trial < len(population) and not population.is_open(stored.trial)

    return _sweep(log, checkpoints, closed)


def _sweep(log: Log, checkpoints: CheckpointStore, may_go: Callable[[Stored], bool]) -> int:
    population = log.population
    held = {c.uri for t in population.held if (c := population.trial(t).checkpoint)}
    garbage = [
        stored
        for stored in checkpoints.list()
        if (stored.partial or stored.uri not in held) and may_go(stored)
    ]
    checkpoints.delete(stored.uri for stored in garbage)
    return sum(stored.size_bytes for stored in garbage)
