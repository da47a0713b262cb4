"""A worker: pulls trials from a service, runs them on an executor of its own, and reports.

    talk      deliver reports, then ask for a trial for every idle slot
    wait      for what the executor reports

The service decides. What a worker holds dies with it, and its trials are issued again: to the same
name at once, to others when its leases end. Nothing here waits for a service that is away, so
trials go on running meanwhile. It knows no store and no event.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from heredity.errors import HeredityError
from heredity.evolution.trial import Trial
from heredity.executors.base import Completed, Executor, Failed, Measured, Report
from heredity.service.beats import Beats, Unwanted
from heredity.service.client import PATIENCE_S, Client, Refused, Unreachable, waits

WAIT_S = 1.0
"""The longest wait for a report before the worker looks around."""

FIRST_PAUSE_S = 0.02
"""How long a slot without a trial waits before it asks again; then twice as long each time."""

SHORT_CHARACTERS = 200
"""What is left of an error whose report was refused."""


@dataclass
class Slot:
    """A place for one trial, under a name by which the service knows it.

    Attributes:
        trial: what it runs, until the report of it is delivered.
        report: what came of that.
        lost: the trial is no longer this worker's; it counts only if it runs to its end.
        ask_at: when it may ask for a trial again.
        pause_s: how long it waited last.
    """

    name: str
    trial: Trial | None = None
    report: Completed | Failed | None = None
    lost: bool = False
    ask_at: float = 0.0
    pause_s: float = 0.0

    def runs(self, trial: int, attempt: int) -> bool:
        return self.trial is not None and (self.trial.id, self.trial.attempt) == (trial, attempt)


class PullWorker:
    """Runs one study's trials on an open executor until the study ends.

    Args:
        name: stable over restarts; the slots are `name/0`, `name/1`, …
        beat_s: how often the service hears of a trial that runs.
        say: told what a person may want to know.
        patience_s: how long to go on while the service is away.

    Attributes:
        trials: how many it has reported, without those whose report was refused.
        status: the study's, as last heard.
        stopping: set by `stop`.
    """

    def __init__(
        self,
        client: Client,
        study: str,
        name: str,
        executor: Executor,
        *,
        beat_s: float,
        say: Callable[[str], None] = lambda text: None,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trials = 0
        self.status = ""
        self._client = client.impatient()
        self._study = study
        self._executor = executor
        self._say = say
        self._clock = clock
        self.stopping = False
        self._told = threading.Event()
        self._beats = Beats(client, study, beat_s)
        self._absence = Absence(patience_s, clock)
        self._slots = [Slot(f"{name}/{number}") for number in range(executor.slots)]

    def run(self) -> None:
        """Pull and run trials until the study ends, or `stop` is called and what runs is reported.

        Raises `Unreachable` when the service stays away.
        """
        with self._beats:
            while True:
                self._talk()
                if self._over:
                    return
                for report in self._wait():
                    self._take(report)
                for unwanted in self._beats.unwanted():
                    self._end_early(unwanted)

    def stop(self) -> None:
        """Ask for no more trials; `run` returns when what runs is reported."""
        self.stopping = True
        self._told.set()

    @property
    def _over(self) -> bool:
        idle = all(slot.trial is None for slot in self._slots)
        return idle and (self.stopping or self.status == "ended")

    # ------------------------------------------------------------------ talking

    def _talk(self) -> None:
        """Say and ask what there is to; later, while the service is away."""
        if self._absence.lasts:
            return
        try:
            for slot in self._slots:
                self._deliver(slot)
                self._ask(slot)
        except Unreachable as error:
            if self._absence.noticed(error):
                self._say(f"{error}; trying again")
        else:
            self._absence.is_over()

    def _deliver(self, slot: Slot) -> None:
        if slot.report is None:
            return
        try:
            self._send(slot.name, slot.report)
            self.trials += 1
        except Unreachable:
            raise
        except HeredityError as error:
            self._say(f"trial {slot.report.trial}: {error}")
            self._give_up(slot.name, slot.report, error)
        slot.trial = slot.report = None

    def _send(self, worker: str, report: Completed | Failed) -> None:
        if isinstance(report, Completed):
            self._client.complete(self._study, worker, report)
        else:
            self._client.fail(self._study, worker, report)

    def _give_up(self, worker: str, report: Completed | Failed, error: HeredityError) -> None:
        """The service takes no such report; unless the trial is over, it has failed.

        That it failed has to arrive, for the service would give the trial back to this name again
        and again: an error here ends the worker.
        """
        if isinstance(error, Refused):
            return
        if isinstance(report, Failed):
            why = f"{report.error[:SHORT_CHARACTERS]} (its report was refused: {error})"
            self._send(worker, Failed(report.trial, report.attempt, report.failure, why))
        else:
            self._send(worker, Failed(report.trial, report.attempt, "error", str(error)))

    def _ask(self, slot: Slot) -> None:
        if slot.trial is not None or self.stopping or self.status == "ended":
            return
        if slot.ask_at > self._clock():
            return
        answer = self._client.suggest(self._study, slot.name)
        self._note(answer.status)
        if answer.tasks:
            task = answer.tasks[0]
            slot.trial, slot.lost, slot.pause_s = task.trial, False, 0.0
            self._beats.begin(slot.name, (task.trial.id, task.trial.attempt))
            self._executor.submit(task)
        else:
            slot.pause_s = min(answer.wait_s, max(FIRST_PAUSE_S, 2 * slot.pause_s))
            slot.ask_at = self._clock() + slot.pause_s

    def _note(self, status: str) -> None:
        if status != self.status and (self.status or status != "running"):
            self._say(f"study {self._study} is {status}")
        self.status = status

    # ------------------------------------------------------------------ waiting

    def _wait(self) -> Sequence[Report]:
        """What the executor reports, or nothing, when it is time to talk again."""
        if any(slot.trial is not None and slot.report is None for slot in self._slots):
            return self._executor.wait(self._wait_s())
        self._told.wait(self._wait_s())
        return ()

    def _wait_s(self) -> float:
        """How long reports may be waited for: until there is something to say or to ask."""
        if self._absence.lasts:
            return min(WAIT_S, self._absence.left_s)
        if any(slot.report for slot in self._slots):
            return 0.0
        asking = [slot.ask_at for slot in self._slots if slot.trial is None]
        if not asking or self.stopping or self.status == "ended":
            return WAIT_S
        return max(0.0, min(WAIT_S, min(asking) - self._clock()))

    def _take(self, report: Report) -> None:
        if isinstance(report, Measured):
            self._beats.measured(report)
            return
        self._beats.end((report.trial, report.attempt))
        for slot in self._slots:
            if slot.runs(report.trial, report.attempt):
                slot.report = (
                    _cut_short(report) if slot.lost and _is_early(slot, report) else report
                )

    def _end_early(self, unwanted: Unwanted) -> None:
        trial, attempt = unwanted.run
        for slot in self._slots:
            if slot.runs(trial, attempt) and slot.report is None:
                slot.lost = slot.lost or unwanted.lost
                self._executor.request_stop(trial)


def _is_early(slot: Slot, report: Completed | Failed) -> bool:
    assert slot.trial is not None
    return isinstance(report, Completed) and report.reached < slot.trial.stop


def _cut_short(report: Completed | Failed) -> Failed:
    """An attempt that was ended since it was another's: not a trial that was stopped early."""
    why = "it was given to another worker"
    return Failed(report.trial, report.attempt, "lost", why, elapsed_s=report.elapsed_s)


@dataclass
class Absence:
    """How long the service has been away, and when to try it again."""

    patience_s: float
    clock: Callable[[], float]
    since: float | None = field(default=None, init=False)
    again_at: float = field(default=0.0, init=False)
    waits: Iterator[float] = field(default_factory=waits, init=False)

    @property
    def lasts(self) -> bool:
        """Whether it is too early to try again."""
        return self.since is not None and self.clock() < self.again_at

    @property
    def left_s(self) -> float:
        """How long until then."""
        return max(0.0, self.again_at - self.clock())

    def noticed(self, error: Unreachable) -> bool:
        """It is away; whether that is news. Raises `error` when patience is at its end."""
        now, news = self.clock(), self.since is None
        self.since = now if self.since is None else self.since
        if now - self.since > self.patience_s:
            error.add_note(
                f"It has been away for {now - self.since:.0f} s. Start it, then the same worker "
                f"again: nothing is lost"
            )
            raise error
        self.again_at = now + next(self.waits)
        return news

    def is_over(self) -> None:
        """It answers."""
        if self.since is not None:
            self.since, self.waits = None, waits()
