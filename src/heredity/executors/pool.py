"""Live worker processes, one for each slot, each replaced as soon as it dies.

Owns who runs what: which worker gets a task, what a death or a time limit means for the task it
ran, and when to give up on workers that die without doing anything. It knows nothing of how a
process is started or of what a task is about.
"""

from __future__ import annotations

import math
import os
import selectors
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heredity.errors import HeredityError, UsageError
from heredity.evolution.trial import Checkpoint, Failure
from heredity.executors.base import Completed, Failed, Measured, Report, Task
from heredity.executors.child import Child, end
from heredity.executors.output import tail, trial_log
from heredity.executors.wire import Ready, Refused

PATIENCE = 5
"""How many workers in a row may die in one seat without having run anything."""


Held = tuple[Checkpoint, Mapping[str, Any]]


@dataclass
class Seat:
    """One slot, and the worker that fills it now.

    Attributes:
        since: when it began what it is doing: starting, running its task, or being idle.
        deadline: when that must have ended.
        ready: the worker has started; a task given before waits for that.
        holds: the member the worker holds live, as (its checkpoint, the hparams in force).
        used: the worker has run something.
        barren: how many workers in a row have died here without having run anything.
    """

    number: int
    child: Child
    since: float
    deadline: float
    ready: bool = False
    task: Task | None = None
    holds: Held | None = None
    used: bool = False
    barren: int = 0

    @property
    def name(self) -> str:
        return f"worker-{self.number}"

    def unfit(self, task: Task) -> tuple[bool, bool, bool, float]:
        """How badly this worker suits the task: best is one that holds what the task continues."""
        continues = self.holds is not None and self.holds == (task.restore, task.trial.hparams)
        return (not continues, not self.ready, self.holds is not None, self.since)

    def begin(self, now: float) -> None:
        """The worker begins its task."""
        assert self.task is not None
        self.since, self.used, self.holds = now, True, None
        limit_s = self.task.timeout_s
        self.deadline = math.inf if limit_s is None else now + limit_s

    def rest(self, now: float) -> None:
        """The worker has nothing to do."""
        self.since, self.deadline, self.task = now, math.inf, None


class Pool:
    """Worker processes that run tasks. Its methods belong to one thread."""

    def __init__(
        self, hire: Callable[[int], Child], *, start_timeout_s: float, logs: Path | None = None
    ) -> None:
        """`hire` starts the worker of a slot; `logs`, where they write, is named in messages."""
        self._hire = hire
        self._start_timeout_s = start_timeout_s
        self._logs = logs
        self._selector = selectors.DefaultSelector()
        self._broken: HeredityError | None = None
        self._children: list[Child] = []
        self.seats: list[Seat] = []
        self._finalizer = weakref.finalize(self, _end_own, self._children, os.getpid())

    # What an executor does -------------------------------------------------------------

    def start(self, slots: int) -> None:
        """Start all workers side by side and return once each is ready.

        Raises what keeps one of them from getting ready.
        """
        for number in range(slots):
            now = time.monotonic()
            child = self._start_child(number)
            seat = Seat(number, child, now, now + self._start_timeout_s)
            self.seats.append(seat)
            self._selector.register(child.link, selectors.EVENT_READ, seat)
        while not all(seat.ready for seat in self.seats):
            self._round(math.inf)

    def submit(self, task: Task) -> str:
        """Give the task to the idle worker that suits it best, and return its name."""
        idle = [seat for seat in self.seats if seat.task is None]
        if not idle:
            raise UsageError(
                f"no free slot for trial {task.trial.id}: {len(self.seats)} run already"
            )
        seat = min(idle, key=lambda seat: seat.unfit(task))
        seat.task = task
        try:
            seat.child.send(task)
        except OSError:  # it has died in its sleep: its successor takes the task over
            self._replace(seat)
        else:
            if seat.ready:
                seat.begin(time.monotonic())
        return seat.name

    def wait(self, timeout_s: float) -> list[Report]:
        """Reports that arrived, waiting at most `timeout_s` for the first."""
        until = time.monotonic() + timeout_s
        while not (reports := self._round(until)) and time.monotonic() < until:
            pass
        return reports

    def request_stop(self, trial: int) -> None:
        """Ask a running trial to end early; one that has ended by now needs no asking."""
        for seat in self.seats:
            if seat.task is not None and seat.task.trial.id == trial:
                seat.child.request_stop(trial, seat.task.trial.attempt)

    def limit(self, trial: int, timeout_s: float) -> None:
        """Give a running trial a time limit, counted from its start."""
        for seat in self.seats:
            if seat.task is not None and seat.task.trial.id == trial:
                seat.task = replace(seat.task, timeout_s=timeout_s)
                if seat.ready:
                    seat.deadline = seat.since + timeout_s

    def close(self) -> None:
        """End all workers now. Safe to call twice."""
        self.seats.clear()
        self._finalizer()
        self._selector.close()

    # What happens to workers -----------------------------------------------------------

    def _round(self, until: float) -> list[Report]:
        """Wait once for something to happen, and deal with it. Raises if the pool is broken."""
        if self._broken is not None:
            raise self._broken
        reports: list[Report] = []
        until = min(until, *(seat.deadline for seat in self.seats))
        pause = None if until == math.inf else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(pause):
            self._hear(key.data, reports)
        now = time.monotonic()
        for seat in self.seats:
            if seat.deadline <= now:
                self._end_overdue(seat, reports)
        return reports

    def _hear(self, seat: Seat, reports: list[Report]) -> None:
        try:
            for message in seat.child.receive():
                self._take(seat, message, reports)
        except EOFError:
            self._bury(seat, reports)

    def _take(self, seat: Seat, message: Ready | Refused | Report, reports: list[Report]) -> None:
        now = time.monotonic()
        match message:
            case Ready():
                seat.ready, seat.deadline = True, math.inf
                if seat.task is not None:
                    seat.begin(now)
            case Refused(error):
                self._broken = UsageError(error)
            case Measured():
                reports.append(message)
            case Completed() | Failed():
                seat.holds = _held(seat.task, message)
                seat.rest(now)
                reports.append(message)

    def _bury(self, seat: Seat, reports: list[Report]) -> None:
        """A worker has died: the task it ran has failed, and another worker takes its seat."""
        manner = self._remove(seat)
        doing = "idle" if seat.ready else "starting"
        if seat.ready and seat.task is not None:
            self._fail(seat, "error", f"the worker process died {manner}", reports)
        if not seat.used and seat.barren + 1 >= PATIENCE:
            self._break(
                f"workers die before they run anything: {seat.name} died {manner} while {doing}, "
                f"{PATIENCE} in a row",
                seat.child,
            )
        else:
            self._refill(seat)

    def _end_overdue(self, seat: Seat, reports: list[Report]) -> None:
        """A worker has taken too long: over its task, or over starting."""
        self._remove(seat, kill=True)
        if seat.ready and seat.task is not None:
            limit = f"ran longer than its limit of {seat.task.timeout_s:g} s and was ended"
            self._fail(seat, "timeout", limit, reports)
            self._refill(seat)
        else:
            self._break(
                f"{seat.name} was not ready {self._start_timeout_s:g} s after it was started. If "
                "its imports take that long, raise Processes(start_timeout_s=…)",
                seat.child,
            )

    def _fail(self, seat: Seat, failure: Failure, error: str, reports: list[Report]) -> None:
        assert seat.task is not None
        trial, now = seat.task.trial, time.monotonic()
        log = trial_log(self._logs, trial.id)
        where = f"; its output is in {log}" if log else ""
        reports.append(
            Failed(trial.id, trial.attempt, failure, error + where, tail(log), now - seat.since)
        )
        seat.rest(now)

    def _break(self, error: str, child: Child) -> None:
        """Give up: the next round raises this error."""
        words = child.last_words()
        self._broken = HeredityError(f"{error}. Its last words:\n{words}" if words else error)

    # Filling seats ---------------------------------------------------------------------

    def _start_child(self, number: int) -> Child:
        child = self._hire(number)
        self._children.append(child)
        return child

    def _remove(self, seat: Seat, kill: bool = False) -> str:
        """Take the worker out of its seat, dead, and say how it died."""
        child = seat.child
        self._selector.unregister(child.link)
        manner = end([child])[0] if kill else child.bury()
        self._children.remove(child)
        return manner

    def _replace(self, seat: Seat) -> None:
        self._remove(seat)
        self._refill(seat)

    def _refill(self, seat: Seat) -> None:
        """Start another worker in a seat; a task that the seat still has goes to it."""
        if self._broken is not None:
            seat.deadline = math.inf
            return
        now = time.monotonic()
        child = self._start_child(seat.number)
        seat.barren = 0 if seat.used else seat.barren + 1
        seat.child, seat.ready, seat.used, seat.holds = child, False, False, None
        seat.since, seat.deadline = now, now + self._start_timeout_s
        self._selector.register(child.link, selectors.EVENT_READ, seat)
        if seat.task is not None:
            child.send(seat.task)


def _held(task: Task | None, report: Completed | Failed) -> Held | None:
    """What the worker holds after a trial: the weights it saved or, evaluating, was given."""
    if task is None or isinstance(report, Failed):
        return None
    checkpoint = task.restore if task.trial.kind == "evaluate" else report.checkpoint
    return None if checkpoint is None else (checkpoint, task.trial.hparams)


def _end_own(children: list[Child], owner: int) -> None:
    """End the workers, unless this is a fork of the process that started them."""
    if os.getpid() == owner:
        end(children)
        children.clear()
