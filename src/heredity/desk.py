"""The desk: where trials are handed to whoever asks, and their reports are taken.

A service's request, ask and tell, and one turn of the driver's loop are the same `tick`. A desk is
stateless: what it holds beyond the log is when it last looked around. Several desks on one store
serve one study, and any call may go to any of them; where another was first, it decides again.

Who runs what is in the log, `TrialStarted(worker=…)`. A lease says until when to believe it, by the
store's clock; one that is missing begins when it is missed, so leases may be lost, and trials that
end sooner than anybody looks need none. The desk knows no network and starts no worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from heredity.checkpoints.base import CheckpointStore
from heredity.driver import LEASE_S, record, running, started, tick
from heredity.errors import NotFound, UsageError, did_you_mean
from heredity.evolution import events as ev
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint, Failure
from heredity.executors.base import Completed, Failed, Measured, Task
from heredity.log import Log
from heredity.outcomes import finite
from heredity.pulse import Pulse
from heredity.settings import Settings
from heredity.stores.base import Lease, Point
from heredity.trainables.session import MEASUREMENTS
from heredity.upkeep import Upkeep, sweep_closed

Answer = Literal["recorded", "already done"]
"""Of a report: whether this one counts. A report that is sent again does no harm."""

DELETED_AT_ONCE = 8
"""Checkpoints, so that no worker waits until hundreds are gone."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat.

    Attributes:
        stop: the attempt should end early: measure, save and complete.
        lost: it is no longer this worker's; what it completes may still count.
    """

    stop: bool
    lost: bool


class Run(NamedTuple):
    """An attempt of a trial, and who runs it; a driver's own workers have no name."""

    trial: int
    attempt: int
    worker: str


class Desk:
    """Hands out one study's trials and takes their reports. Threads may share one.

    Args:
        lease_s: how long a worker may be silent, from its last sign of life.
        new_best: called with the checkpoint of each new best trial.
        clock: the time in seconds, for what only this desk sees: how long trials have been running.
    """

    def __init__(
        self,
        log: Log,
        definition: Definition,
        checkpoints: CheckpointStore,
        settings: Settings = Settings(),
        lease_s: float = LEASE_S,
        new_best: Callable[[Checkpoint], None] = lambda checkpoint: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self.definition = definition
        self.checkpoints = checkpoints
        self.settings = settings
        self.lease_s = lease_s
        self._upkeep = Upkeep(log, definition, checkpoints, settings, new_best)
        self._pulse = Pulse(log.store, log.study, lease_s, clock)
        self._clock = clock
        self._mutex = threading.RLock()
        self._since: dict[Run, float] = {}
        sweep_closed(log, checkpoints)
        self._look_around()

    @property
    def status(self) -> str:
        """running, paused, stopping or ended, as far as this desk has read."""
        return str(self.log.population.status)

    # ------------------------------------------------------------------ what workers ask

    def suggest(self, worker: str, count: int = 1) -> list[Task]:
        """Up to `count` trials for this worker to run: those that it was given and has not ended
        come first, then new ones. Fewer, or none, if no more can start now: see `status`."""
        with self._mutex:
            self._look_around_if_due()
            if self._held_by(worker):
                self.refresh()  # what it holds may have ended at another desk
            if len(trials := self._given(worker, count)) < count and self.refresh():
                trials = self._given(worker, count)
            return [self._upkeep.task(trial) for trial in trials]

    def heartbeat(
        self, worker: str, trial: int, attempt: int, measured: Sequence[Measured] = ()
    ) -> Beat:
        """Renew the lease of an attempt, and take note of what was measured meanwhile.

        Raises `NotFound` if there is no such trial.
        """
        with self._mutex:
            self._look_around_if_due()
            self._require(trial)
            run = Run(trial, attempt, worker)
            if not self._is_running(run) and not (self.refresh() and self._is_running(run)):
                return Beat(stop=True, lost=True)
            self._lease(run)
            self._note(trial, [m for m in measured if (m.trial, m.attempt) == (trial, attempt)])
            return Beat(stop=trial in self.log.population.stops, lost=False)

    def complete(self, worker: str, report: Completed) -> Answer:
        """Record that an attempt ran to its end. Any attempt's counts, also one that was given up
        for lost, as long as the trial is unfinished.

        Raises `NotFound` if there is no such trial, and `UsageError` for a report that cannot be
        its end; then nothing is recorded.
        """
        with self._mutex:
            self._require(report.trial)
            self._require_sensible(report)
            if not self._record(report, worker):
                return self._too_late(report)
            self._upkeep.took(report.elapsed_s)
            self._upkeep.mark_best()
            self._tidy(report.trial)
            self._look_around_if_due()
            return "recorded"

    def fail(self, worker: str, report: Failed) -> Answer:
        """Record that an attempt ended without a result. Only the attempt that is running can
        fail. `NotFound` if there is no such trial."""
        with self._mutex:
            self._require(report.trial)
            if not self._record(report, worker):
                return self._too_late(report)
            self._upkeep.after_failure(report)
            self._tidy(report.trial)
            self._look_around_if_due()
            return "recorded"

    def refresh(self) -> bool:
        """Read what others appended; whether there was anything."""
        with self._mutex:
            before = self.log.population.seq
            self.log.refresh()
            return self.log.population.seq > before

    # ------------------------------------------------------------------ handing out

    def _given(self, worker: str, count: int) -> list[int]:
        """The worker's unfinished trials, whose leases begin anew, and new ones up to `count`."""
        mine: list[Run] = []

        def free(population: Population) -> int:
            mine[:] = self._held_by(worker)
            return count - len(mine)

        new = self._tick(free, worker)
        for run in mine:
            self._lease(run)
        return [*(run.trial for run in mine), *new][:count]

    def _held_by(self, worker: str) -> list[Run]:
        return [run for run in _runs(self.log.population) if run.worker == worker]

    def _tick(self, free: Callable[[Population], int], worker: str = "") -> list[int]:
        finals, seconds = self.settings.finals, self._pulse.seconds
        events = tick(self.log, self.definition, free, seconds, finals, self._obstacle, worker)
        if self.status == "ended":
            self._upkeep.delete()
        return started(events)

    def _obstacle(self) -> str | None:
        return self._upkeep.disk_problem(len(self.log.population.open) + 1)

    # ------------------------------------------------------------------ taking reports

    def _require(self, trial: int) -> None:
        population = self.log.population
        if not 0 <= trial < len(population):
            self.refresh()
            population.trial(trial)  # raises
        if population.attempt_of(trial) < 0:
            self.refresh()
            if population.attempt_of(trial) < 0:
                raise NotFound(f"trial {trial} was given to nobody yet")

    def _require_sensible(self, report: Completed) -> None:
        p = self.log.population.proposal_of(report.trial)
        if not p.start <= report.reached <= p.stop:
            raise UsageError(
                f"trial {report.trial} goes from step {p.start} to {p.stop}; it cannot have "
                f"reached step {report.reached}"
            )
        cut_short = report.reached < p.stop and not report.metrics  # before it was measured
        if p.evaluations and self._metric not in report.metrics and not cut_short:
            raise UsageError(
                f"trial {report.trial} was completed without `{self._metric}`, which is the "
                f"objective.{did_you_mean(self._metric, report.metrics)}"
            )

    def _record(self, report: Completed | Failed, worker: str) -> bool:
        """Whether the report counts: asked twice, since another desk may have given the trial."""
        log, metric = self.log, self._metric
        return record(log, report, metric, worker) or (
            self.refresh() and record(log, report, metric, worker)
        )

    def _too_late(self, report: Completed | Failed) -> Answer:
        """A report that does not count; once the trial is closed, nor does what it saved."""
        population = self.log.population
        if not population.is_open(report.trial) and report.attempt != self._saved(report.trial):
            self._upkeep.clean_up(report.trial, lambda attempt: attempt == report.attempt)
        return "already done"

    def _tidy(self, trial: int) -> None:
        """Files that nothing will want. A trial's attempts may all still complete until it is
        closed; then the others' go."""
        population = self.log.population
        if not population.is_open(trial) and population.attempt_of(trial) > 0:
            saved = self._saved(trial)
            self._upkeep.clean_up(trial, lambda attempt: attempt != saved)
        self._upkeep.release()
        self._upkeep.delete(DELETED_AT_ONCE)

    def _saved(self, trial: int) -> int | None:
        """The attempt of a closed trial that gave its result, if one did."""
        outcome = self.log.population.outcomes[trial]
        return None if outcome is None or isinstance(outcome, ev.TrialFailed) else outcome.attempt

    def _note(self, trial: int, measured: Sequence[Measured]) -> None:
        """Add to the learning curve; where the algorithm watches, decide at once."""
        points = [Point(m.trial, m.step, finite(m.metrics)) for m in measured]
        if not points:
            return
        self.log.store.record(self.log.study, points)
        if self.definition.algorithm.watches:
            for report in measured:
                if not self._is_known(report):
                    record(self.log, report, self._metric, "")
            self._tick(lambda population: 0)

    def _is_known(self, report: Measured) -> bool:
        """Whether a measurement is in the log, or would be one too many."""
        known = self.log.population.measured.get(report.trial, [])
        return len(known) >= MEASUREMENTS or any(m.step == report.step for m in known)

    def _is_running(self, run: Run) -> bool:
        population, trial = self.log.population, run.trial
        now = population.attempt_of(trial), population.workers[trial]
        return population.status_of(trial) == "running" and now == (run.attempt, run.worker)

    @property
    def _metric(self) -> str:
        return self.definition.objectives[0].name

    # ------------------------------------------------------------------ looking around

    def _look_around_if_due(self) -> None:
        if self._pulse.due:
            self._look_around()

    def _look_around(self) -> None:
        """Now and then: read what others appended, give trials up whose workers are silent, and
        decide what needs no worker, such as a stop or the end."""
        self._pulse.beat()
        leases = self.log.store.leases(self.log.study)  # first: each is of a trial in the log
        self.log.refresh()
        self._mind(leases)
        self._tick(lambda population: 0)
        self._upkeep.mark_best()
        self._upkeep.delete(DELETED_AT_ONCE)
        self.log.save_snapshot()

    def _mind(self, leases: Sequence[Lease]) -> None:
        """Hold what runs against the leases."""
        store, study = self.log.store, self.log.study
        runs, known = _runs(self.log.population), {lease.trial: lease for lease in leases}
        driven = store.holder(study) is not None
        for run in runs:
            lease = known.pop(run.trial, None)
            if lease is not None and lease.attempt == run.attempt:
                self._check_lease(run, lease)
            elif run.worker and not driven:
                self._lease(run)
            elif not driven:
                self._give_up(run, "lost", "the driver ended while the trial ran")
        for trial in known:
            store.end_lease(study, trial)
        self._end_overdue(runs)

    def _check_lease(self, run: Run, lease: Lease) -> None:
        if lease.left_s <= 0:
            silent_s = self.lease_s - lease.left_s
            self._give_up(run, "lost", f"{run.worker} was silent for {silent_s:.0f} s")
            self.log.store.end_lease(self.log.study, run.trial)

    def _lease(self, run: Run) -> None:
        store, study = self.log.store, self.log.study
        store.lease(study, run.trial, run.attempt, run.worker, self.lease_s)

    def _end_overdue(self, runs: Sequence[Run]) -> None:
        """Give up trials that take too long, as far as this desk has seen."""
        now, timeout_s = self._clock(), self._upkeep.timeout_s
        self._since = {run: self._since.get(run, now) for run in runs if run.worker}
        if timeout_s is None:
            return
        for run, since in self._since.items():
            if now - since > timeout_s:
                self._give_up(run, "timeout", f"it took longer than {timeout_s:g} s")

    def _give_up(self, run: Run, failure: Failure, why: str) -> None:
        """The trial will be issued again, unless it was too often."""
        report = Failed(run.trial, run.attempt, failure, why)
        if record(self.log, report, self._metric, run.worker):
            self._tidy(run.trial)


def _runs(population: Population) -> list[Run]:
    attempts, workers = population.attempts, population.workers
    return [Run(trial, attempts[trial], workers[trial]) for trial in running(population)]
