"""The driver: `tick` and the loop around it.

    tick    read → fold → decide → append
    loop    tick; launch; wait; record

The log is the only truth: what a driver holds beyond it (who runs what) dies with the driver and is
found again from the log by the next one. A driver may lose any race against another writer; it then
reads on and decides again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

from heredity.checkpoints.base import CheckpointStore
from heredity.crash import crash_point
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Executor, Failed, Measured, Report
from heredity.log import Log
from heredity.outcomes import as_event, finite
from heredity.pulse import EVERY_S, Pulse
from heredity.settings import Settings
from heredity.stores.base import Lease, Point
from heredity.upkeep import Upkeep, sweep

WAIT_S = 1.0
"""The longest wait for a report before the driver looks around."""

LEASE_S = 60.0
"""A worker that is not heard of for so long is gone."""


def tick(
    log: Log,
    definition: Definition,
    free: Callable[[Population], int],
    seconds: float,
    finals: Finals,
    obstacle: Callable[[], str | None] = lambda: None,
    worker: str = "",
) -> Sequence[ev.Event]:
    """Decide once, give the free slots their trials, and append both as one block; again whenever
    another writer was first. Returns what was appended, in which trials issued again start first.

    Args:
        free: how many trials may start in this state.
        obstacle: asked before anything starts: a reason to pause the study instead, or None.
        worker: who is given the trials, if that is known beforehand.
    """

    def block(population: Population) -> list[ev.Event]:
        slots, waiting = free(population), len(population.waiting)
        decided = next_events(population, definition, max(0, slots - waiting), seconds, finals)
        started = _started(population, decided, slots, worker)
        if started and (reason := obstacle()):
            return [ev.StudyPaused(reason)]
        return [*decided, *started]

    return log.append_after_others(block)


def started(events: Sequence[ev.Event]) -> list[int]:
    """The trials that a tick started."""
    return [event.trial for event in events if isinstance(event, ev.TrialStarted)]


def paused(events: Sequence[ev.Event]) -> bool:
    """Whether a tick paused the study."""
    return any(isinstance(event, ev.StudyPaused) for event in events)


def _started(
    population: Population, decided: Sequence[ev.Event], free: int, worker: str
) -> list[ev.TrialStarted]:
    """The starts of the first `free` trials that wait, or were decided on just now."""
    if population.status not in ("running", "stopping") or paused(decided):
        return []
    new = [event.trial for event in decided if isinstance(event, ev.TrialProposed)]
    again = [ev.TrialStarted(t, population.attempt_of(t) + 1, worker) for t in population.waiting]
    return [*again, *(ev.TrialStarted(trial, 0, worker) for trial in new)][: max(0, free)]


class Driver:
    """Drives one study on one executor until it ends, pauses itself or is asked to stop. While a
    person has it paused, the driver waits.

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
        self._upkeep = Upkeep(log, definition, checkpoints, settings, new_best)
        self._flying: dict[int, str] = {}
        self._asked: set[int] = set()
        self._unlimited: set[int] = set()
        self._gave_up = False
        self._pulse = Pulse(log.store, log.study)

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Go on from the log until the study ends or pauses itself, or `stop` is called and all
        that runs is recorded."""
        self._recover()
        while True:
            self._launch()
            self._pass_on_stops()
            self._release()  # after the workers have got their next trials
            self._upkeep.mark_best()
            self._show(self)
            if not self._flying and (self.stopping or not self._can_go_on()):
                self._pulse.beat()
                return
            self._record(self._wait())
            self._look_around()

    def stop(self) -> None:
        """Start nothing new; `run` returns when what runs is recorded."""
        self.stopping = True

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._pulse.seconds

    def _can_go_on(self) -> bool:
        return self.log.population.status != "ended" and not self._gave_up

    def _wait(self) -> Sequence[Report]:
        """What workers report; with nothing running, it is for others to do something."""
        if self._flying:
            return self.executor.wait(WAIT_S)
        time.sleep(EVERY_S)
        return []

    @property
    def _is_paused(self) -> bool:
        return self.log.population.status == "paused"

    # ------------------------------------------------------------------ launching

    def _launch(self) -> None:
        """Tick, and hand the trials that were started to the executor."""
        if self.stopping:
            return
        slots, finals = self.executor.slots, self.settings.finals
        free = slots - len(self._flying)
        problem = functools.partial(self._upkeep.disk_problem, slots)
        events = tick(self.log, self.definition, lambda _: free, self.seconds, finals, problem)
        self._gave_up = paused(events) or (self._gave_up and self._is_paused)
        if trials := started(events):
            crash_point("launch.before")
            for trial in trials:
                self._flying[trial] = self.executor.submit(self._upkeep.task(trial))
            if self._upkeep.timeout_s is None:
                self._unlimited.update(trials)
            crash_point("launch.after")

    def _pass_on_stops(self) -> None:
        """Ask running trials to end early, once each, where an algorithm or a person wants that."""
        wanted = self.log.population.stops & self._flying.keys()
        for trial in sorted(wanted - self._asked):
            self.executor.request_stop(trial)
        self._asked = wanted

    # ------------------------------------------------------------------ recording

    def _record(self, reports: Sequence[Report]) -> None:
        """Append what workers reported; first of all, since a result must never be lost."""
        measured = [r for r in reports if isinstance(r, Measured)]
        if points := [Point(r.trial, r.step, finite(r.metrics)) for r in measured]:
            self.log.store.record(self.log.study, points)
        for report in reports:
            self._record_one(report)
        if self._upkeep.urgent:
            self._release()  # before anybody else begins from it

    def _record_one(self, report: Report) -> None:
        if not isinstance(report, Measured):
            worker = self._flying.pop(report.trial, "")
        elif self.definition.algorithm.watches:
            worker = ""
        else:
            return
        record(self.log, report, self.definition.objectives[0].name, worker)
        if isinstance(report, Completed):
            self._upkeep.took(report.elapsed_s)
            self.unverified = report.unverified
        elif isinstance(report, Failed):
            self._upkeep.clean_up(report.trial, lambda attempt: attempt == report.attempt)
            self._upkeep.after_failure(report)

    def _release(self) -> None:
        self._upkeep.release()
        self._upkeep.delete()

    def _look_around(self) -> None:
        """Now and then: leave a sign of life, and read what others appended."""
        if self._pulse.due:
            self._pulse.beat()
            self.log.refresh()
            self.log.save_snapshot()
            self._limit_the_first()

    def _limit_the_first(self) -> None:
        """Trials that began before any had ended get their time limit once there is a median."""
        timeout_s = self._upkeep.timeout_s
        if timeout_s is not None:
            for trial in sorted(self._unlimited & self._flying.keys()):
                self.executor.limit(trial, timeout_s)
            self._unlimited.clear()

    # ------------------------------------------------------------------ recovering

    def _recover(self) -> None:
        """Take over from a driver that is gone: what it had running is lost, and files that no
        event names are garbage."""
        self.log.append_after_others(
            lambda population: [lost_with_driver(population, t) for t in running(population)]
        )
        sweep(self.log, self.checkpoints)
        self._upkeep.mark_best()


def record(log: Log, report: Report, metric: str, worker: str) -> bool:
    """Append what a worker reported if it counts: a completion of any attempt as long as the trial
    is unfinished, all else of the running attempt only. False if it does not count."""

    def event(population: Population) -> list[ev.Event]:
        if not _counts(population, report):
            return []
        return [as_event(report, population.trial(report.trial), metric, worker)]

    return bool(log.append_after_others(event))


def _counts(population: Population, report: Report) -> bool:
    if isinstance(report, Completed):
        return population.is_open(report.trial)
    runs = population.status_of(report.trial) == "running"
    return runs and population.attempt_of(report.trial) == report.attempt


def running(population: Population) -> list[int]:
    """The trials that somebody runs, or ran when last heard of."""
    return [t for t in sorted(population.open) if population.status_of(t) == "running"]


def lost_with_driver(population: Population, trial: int) -> ev.TrialFailed:
    """What is recorded of a trial that ran when its driver ended: it will be issued again."""
    attempt, worker = population.attempt_of(trial), worker_of(population, trial)
    why = f"worker {worker} was silent" if worker else "the driver ended while the trial ran"
    return ev.TrialFailed(trial, attempt, "lost", why)


def worker_of(population: Population, trial: int) -> str:
    """Who asked for a running trial; nobody did where a driver hands trials to its own workers."""
    return "" if population.vectorized else population.workers[trial]


def attended(log: Log) -> list[Lease]:
    """The leases of trials that workers run now who asked for them. One that is missing begins
    here: its worker may have been given the trial just now."""
    store, study = log.store, log.study
    known = {(lease.trial, lease.attempt): lease for lease in store.leases(study)}
    log.refresh()
    live: list[Lease] = []
    for trial in running(log.population):
        attempt, worker = log.population.attempt_of(trial), worker_of(log.population, trial)
        if worker and (trial, attempt) not in known:
            store.lease(study, trial, attempt, worker, LEASE_S)
            known[trial, attempt] = Lease(trial, attempt, worker, LEASE_S)
        if worker and known[trial, attempt].left_s > 0:
            live.append(known[trial, attempt])
    return live
