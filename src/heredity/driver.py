"""The driver: `tick` and the loop around it.

    tick    read → fold → decide → append
    loop    tick; launch; wait; record

The log is the only truth: what a driver holds beyond it (who runs what) dies with the driver and is
found again from the log by the next one. A driver may lose any race against another writer; it then
reads on and decides again.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence

from heredity.checkpoints.base import CheckpointStore
from heredity.crash import crash_point
from heredity.errors import Conflict
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals
from heredity.evolution.collect import expected_checkpoints, releasable
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import ENDED, Checkpoint
from heredity.evolution.view import View
from heredity.executors.base import Completed, Executor, Failed, Measured, Report, Task
from heredity.forecast import disk_problem, size
from heredity.log import Log
from heredity.outcomes import as_event, finite
from heredity.pulse import Pulse
from heredity.settings import Settings
from heredity.stores.base import Point

WAIT_S = 1.0
"""The longest wait for a report before the driver looks around."""

TIMEOUT_FACTOR, TIMEOUT_FLOOR_S = 20.0, 600.0
"""A trial may take so many times the median of its study, and never less than the floor."""

MEDIAN_OF = 101
"""The trials whose median that is: the last ones."""


def tick(
    log: Log,
    definition: Definition,
    free: int,
    seconds: float,
    finals: Finals,
    obstacle: Callable[[], str | None] = lambda: None,
) -> list[int]:
    """Decide once, give the free slots their trials, and append both as one block; again whenever
    another writer was first. Returns the trials to launch, those issued again first.

    Args:
        free: how many trials may start now.
        obstacle: asked before anything starts: a reason to pause the study instead, or None.
    """

    def block(population: Population) -> list[ev.Event]:
        waiting = len(population.waiting)
        decided = next_events(population, definition, max(0, free - waiting), seconds, finals)
        started = _started(population, decided, free)
        if started and (reason := obstacle()):
            return [ev.StudyPaused(reason)]
        return [*decided, *started]

    appended = log.append_after_others(block)
    return [event.trial for event in appended if isinstance(event, ev.TrialStarted)]


def _started(
    population: Population, decided: Sequence[ev.Event], free: int
) -> list[ev.TrialStarted]:
    """The starts of the first `free` trials that wait, or were decided on just now."""
    if population.status not in ("running", "stopping"):
        return []
    new = [event.trial for event in decided if isinstance(event, ev.TrialProposed)]
    if len(new) < len(decided) and any(isinstance(e, ev.StudyPaused) for e in decided):
        return []
    again = [ev.TrialStarted(t, population.attempt_of(t) + 1) for t in population.waiting]
    return [*again, *(ev.TrialStarted(trial, 0) for trial in new)][: max(0, free)]


class Driver:
    """Drives one study on one executor until it ends, pauses or is asked to stop.

    Attributes:
        stopping: set by `stop`: nothing new starts, and `run` returns when all is recorded.
        unverified: hparams of which no worker could read back the value in force.
    """

    def __init__(
        self,
        log: Log,
        definition: Definition,
        executor: Executor,
        checkpoints: CheckpointStore,
        settings: Settings = Settings(),
        show: Callable[[Driver], None] = lambda driver: None,
        new_best: Callable[[Checkpoint], None] = lambda checkpoint: None,
    ) -> None:
        self.log = log
        self.definition = definition
        self.executor = executor
        self.checkpoints = checkpoints
        self.settings = settings
        self.stopping = False
        self.unverified: tuple[str, ...] = ()
        self._show = show
        self._new_best = new_best
        self._best: int | None = None
        self._flying: dict[int, str] = {}
        self._asked: set[int] = set()
        self._unlimited: set[int] = set()
        self._foreseen = False
        self._elapsed = deque(_last_elapsed(log.population), maxlen=MEDIAN_OF)
        self._collected_at = 0
        self._corrupt: set[int] = set()
        self._pulse = Pulse(log.store, log.study)

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Go on from the log until the study ends or pauses, or `stop` is called and all that
        runs is recorded."""
        self._recover()
        while True:
            self._launch()
            self._pass_on_stops()
            self._release()  # after the workers have got their next trials
            self._mark_best()
            self._show(self)
            if not self._flying and (self.stopping or not self._can_go_on()):
                self._pulse.beat()
                return
            self._record(self.executor.wait(WAIT_S))
            self._look_around()

    def stop(self) -> None:
        """Start nothing new; `run` returns when what runs is recorded."""
        self.stopping = True

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._pulse.seconds

    def _can_go_on(self) -> bool:
        return self.log.population.status in ("running", "stopping")

    # ------------------------------------------------------------------ launching

    def _launch(self) -> None:
        """Tick, and hand the trials that were started to the executor."""
        if self.stopping:
            return
        free = self.executor.slots - len(self._flying)
        finals, obstacle = self.settings.finals, self._disk_problem
        trials = tick(self.log, self.definition, free, self.seconds, finals, obstacle)
        if trials:
            crash_point("launch.before")
            for trial in trials:
                self._flying[trial] = self.executor.submit(self._task(trial))
            if not self._elapsed:
                self._unlimited.update(trials)
            crash_point("launch.after")

    def _task(self, trial: int) -> Task:
        record = self.log.population.trial(trial)
        source = record.weights_from
        restore = None if source is None else self.log.population.trial(source).checkpoint
        return Task(record, restore, self._timeout_s())

    def _timeout_s(self) -> float | None:
        if self.settings.timeout_s is not None or not self._elapsed:
            return self.settings.timeout_s
        return max(TIMEOUT_FLOOR_S, TIMEOUT_FACTOR * statistics.median(self._elapsed))

    def _pass_on_stops(self) -> None:
        """Ask running trials to end early, once each, where an algorithm or a person wants that."""
        wanted = self.log.population.stops & self._flying.keys()
        for trial in sorted(wanted - self._asked):
            self.executor.request_stop(trial)
        self._asked = wanted

    # ------------------------------------------------------------------ disk

    def _disk_problem(self) -> str | None:
        """Why nothing may start: the checkpoints take too much, or will."""
        population, limit = self.log.population, self.settings.disk_limit_bytes
        kept, count = population.bytes_kept, len(population.held)
        if reason := over_limit(population, self.settings):
            return reason
        if self._foreseen or not count:
            return None
        self._foreseen = True
        free = self.checkpoints.free_bytes()
        d, keep, finalists = self.definition, self.settings.keep, self.settings.finals.count
        slots = self.executor.slots
        expected = expected_checkpoints(d, population.budget, keep, slots, finalists)
        return disk_problem(expected * kept // count, limit, None if free is None else free + kept)

    # ------------------------------------------------------------------ recording

    def _record(self, reports: Sequence[Report]) -> None:
        """Append what workers reported; first of all, since a result must never be lost."""
        measured = [r for r in reports if isinstance(r, Measured)]
        if points := [Point(r.trial, r.step, finite(r.metrics)) for r in measured]:
            self.log.store.record(self.log.study, points)
        for report in reports:
            self._record_one(report)
        if self._corrupt & self.log.population.held:
            self._release()  # before anybody else begins from it

    def _record_one(self, report: Report) -> None:
        if not isinstance(report, Measured):
            worker = self._flying.pop(report.trial, "")
        elif self.definition.algorithm.watches:
            worker = ""
        else:
            return
        while self.log.population.is_open(report.trial):
            event = as_event(report, self.log.population.trial(report.trial), self._metric, worker)
            if self._append([event]):
                break
        if isinstance(report, Completed):
            self._elapsed.append(report.elapsed_s)
            self.unverified = report.unverified
        elif isinstance(report, Failed):
            self._clean_up(report)
            if report.corrupt and not self.log.population.is_open(report.trial):
                self._corrupt.add(int(self.log.population.source[report.trial]))

    def _clean_up(self, failed: Failed) -> None:
        """Delete what an attempt left behind if its worker died while, or just after, saving."""
        mine = (failed.trial, failed.attempt)
        self.checkpoints.delete(
            stored.uri
            for stored in list(self.checkpoints.list())
            if (stored.trial, stored.attempt) == mine
        )

    @property
    def _metric(self) -> str:
        return self.definition.objectives[0].name

    def _append(self, events: Sequence[ev.Event]) -> bool:
        """Append a block; False if another writer was first and the state is now another."""
        try:
            self.log.append(events)
        except Conflict:
            return False
        return True

    def _mark_best(self) -> None:
        best = self.log.population.best
        if best is not None and best != self._best:
            checkpoint = self.log.population.trial(best).checkpoint
            if checkpoint is not None:
                self._new_best(checkpoint)
            self._best = best

    def _look_around(self) -> None:
        """Now and then: leave a sign of life, and read what others appended."""
        if self._pulse.due:
            self._pulse.beat()
            self.log.refresh()
            self.log.save_snapshot()
            self._limit_the_first()

    def _limit_the_first(self) -> None:
        """Trials that began before any had ended get their time limit once there is a median."""
        timeout_s = self._timeout_s()
        if timeout_s is not None:
            for trial in sorted(self._unlimited & self._flying.keys()):
                self.executor.limit(trial, timeout_s)
            self._unlimited.clear()

    # ------------------------------------------------------------------ releasing

    def _release(self) -> None:
        """Release what nothing will want, now and then: after a sixteenth of the population, or
        when a checkpoint turned out to be damaged, which nobody else should try."""
        population = self.log.population
        since = population.ended_count - self._collected_at
        due = since >= max(1, population.lanes // 16) or bool(self._corrupt & population.held)
        trials = self._unneeded() if due else ()
        if due:
            self._collected_at = population.ended_count
        if not trials:
            return
        uris = [c.uri for t in trials if (c := population.trial(t).checkpoint)]
        crash_point("release.before")
        if self._append([ev.CheckpointsReleased(trials)]):
            crash_point("release.after")
            self._mark_best()  # before its predecessor goes
            self.checkpoints.delete(uris)

    def _unneeded(self) -> tuple[int, ...]:
        population, settings = self.log.population, self.settings
        view = View(population, self.definition)
        algorithm, finalists = self.definition.algorithm, settings.finals.count
        trials = set(releasable(population, view, algorithm, settings.keep, finalists))
        trials |= {t for t in self._corrupt & population.held if not population.is_source(t)}
        return tuple(sorted(trials - population.pins))

    # ------------------------------------------------------------------ recovering

    def _recover(self) -> None:
        """Take over from a driver that is gone: what it had running is lost, and files that no
        event names are garbage."""
        while True:
            population = self.log.population
            lost = [t for t in sorted(population.open) if population.status_of(t) == "running"]
            if self._append([lost_with_driver(population, trial) for trial in lost]):
                break
        sweep(self.log, self.checkpoints)
        self._mark_best()


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


def lost_with_driver(population: Population, trial: int) -> ev.TrialFailed:
    """What is recorded of a trial that ran when its driver ended: it will be issued again."""
    attempt = population.attempt_of(trial)
    return ev.TrialFailed(trial, attempt, "lost", "the driver ended while the trial ran")


def sweep(log: Log, checkpoints: CheckpointStore) -> int:
    """Delete the files that no event names; nothing may be running. Returns the bytes freed."""
    population = log.population
    held = {c.uri for t in population.held if (c := population.trial(t).checkpoint)}
    garbage = [stored for stored in checkpoints.list() if stored.partial or stored.uri not in held]
    checkpoints.delete(stored.uri for stored in garbage)
    return sum(stored.size_bytes for stored in garbage)
