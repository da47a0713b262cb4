"""What every logger does: read what the log holds, follow events, write in the background.

    study ──► inbox ──► [thread] story ──► points ──► begin a member's run, write; member by member

The study waits for a logger at its end only. The log is the only truth: what could not be written,
or was written just before a crash, is settled by asking the target how far a member's run tells
already, and by reading the log again. It knows no logger's library.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, ClassVar, final

from heredity.errors import HeredityError, MissingExtra, UsageError
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.integrations.story import Point, Story, Summary, summary
from heredity.result import Result
from heredity.study import Study

RESTS = (ev.StudyPaused, ev.StudyEnded)
"""Events after which `Study.run` returns, or waits: by then all is written, the summary too."""


class Logger(ABC):
    """Tells one study's events to a target: `study.run(on_event=logger)`, or `logger.backfill()`.

    Each member has one run there, the same through exploits and restarts. It begins with what the
    study's log holds and the member's run does not tell yet.

    Args:
        study: the study; or a result of `heredity.open`, to `backfill` from.
    """

    # One thread for all loggers of a kind: one that was left behind, as by Ctrl-C in a notebook, is
    # done before the next asks how far the runs tell. Before the interpreter exits, all are done.
    _pool: ClassVar[ThreadPoolExecutor]

    def __init_subclass__(cls) -> None:
        cls._pool = ThreadPoolExecutor(1, thread_name_prefix="heredity-logger")

    def __init__(self, study: Study | Result) -> None:
        self.study = study
        self.name: str = study.name
        self._trials = -1
        self._inbox: list[Population | ev.Event] = []
        self._busy = False
        self._problem: Exception | None = None
        self._lock = threading.Lock()
        self._writing: Future[None] | None = None
        # From here on the thread's own.
        self._story: Story
        self._points: list[Point] = []
        self._told: dict[int, int] = {}

    # ------------------------------------------------------------------ what a target implements

    @abstractmethod
    def _begin(self, member: int) -> int:
        """Go on with a member's run, or create it; the last trial that it tells of, or −1. Asked
        again after an error."""

    @abstractmethod
    def _write(self, member: int, points: Sequence[Point]) -> None:
        """Add points to the run of a member that was begun, in this order."""

    @abstractmethod
    def _summarise(self, study: Summary) -> None:
        """Tell of the study as a whole, in place of what was told before."""

    @abstractmethod
    def _finish(self) -> None:
        """The study ended: close the runs. Members that have more to tell later begin again."""

    @abstractmethod
    def _place(self) -> str:
        """Where the runs are, for people."""

    # ------------------------------------------------------------------ what users call

    @final
    def __call__(self, event: ev.Event) -> None:
        """Take note of an event, and return at once; at the study's end, when all is written.

        What cannot be written is a warning, and tried again with the next event; it never stops the
        study. `UsageError` if the runs are those of another study.
        """
        if isinstance(event, RESTS) or self._missed(event):
            self._catch_up()
        else:
            self._put(event)
        if isinstance(event, RESTS):
            self._wait()
        self._complain()

    @final
    def backfill(self) -> None:
        """Write what the study's log holds and the runs do not, and return when all is there.

        For studies that ran without a logger: on the command line, behind a service, by ask and
        tell. While such a study runs, it may be called now and then. Raises what the target raised.
        """
        self._catch_up()
        self._wait()
        if (problem := self._take_problem()) is not None:
            raise problem

    # ------------------------------------------------------------------ in the caller's thread

    def _missed(self, event: ev.Event) -> bool:
        """Whether the log may hold trials before this event's that nobody told: at the beginning,
        and when another process drove the study since the last event."""
        first, count = _numbers(event)
        missed = self._trials < first or self._trials < 0
        self._trials = max(self._trials, first + count)
        return missed

    def _catch_up(self) -> None:
        self._wait()  # a result changes when it is refreshed
        result = self.study.refresh() if isinstance(self.study, Result) else self.study.result
        self._trials = len(result.population)
        self._put(result.population)

    def _put(self, item: Population | ev.Event) -> None:
        with self._lock:
            self._inbox.append(item)
            if not self._busy:
                self._busy = True
                self._writing = self._pool.submit(self._work)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _complain(self) -> None:
        """Say what went wrong in the background where it is seen: in the caller's thread."""
        problem = self._take_problem()
        if isinstance(problem, HeredityError):
            raise problem
        if problem is not None:
            warnings.warn(
                f"{type(self).__module__} could not write: {problem!r}. The study goes on; what is "
                f"missing is written with the next event, or by backfill()",
                RuntimeWarning,
                stacklevel=2,
            )

    def _take_problem(self) -> Exception | None:
        with self._lock:
            problem, self._problem = self._problem, None
        return problem

    # ------------------------------------------------------------------ in the background

    def _work(self) -> None:
        """Read and write until nothing is in the inbox, or something goes wrong."""
        try:
            while items := self._take():
                study = self._read(items)
                self._write_points()
                if study is not None:
                    self._summarise(study)
                    if study.ended:
                        self._told.clear()
                        self._finish()
        except Exception as error:
            with self._lock:
                self._problem, self._busy = error, False

    def _take(self) -> list[Population | ev.Event]:
        """All that is in the inbox; if nothing is, the thread is free."""
        with self._lock:
            items, self._inbox = self._inbox, []
            self._busy = bool(items)
        return items

    def _read(self, items: Sequence[Population | ev.Event]) -> Summary | None:
        """Turn all into points; of the log as a whole, a summary too."""
        study = None
        for item in items:
            if isinstance(item, Population):
                self._story = Story(item)
                self._points = list(self._story.past())  # what was waiting is among them
                study = summary(item)
            else:
                self._points += self._story.read(item)
        return study

    def _write_points(self) -> None:
        """Each member's in one go, so that few calls catch up with much. After an error all wait;
        what was written is left out the next time."""
        self._points.sort(key=lambda point: (point.member, point.trial))
        for member, group in groupby(self._points, lambda point: point.member):
            try:
                self._write_member(member, list(group))
            except Exception:
                self._told.pop(member, None)  # to be asked again: some may have been written
                raise
        self._points = []

    def _write_member(self, member: int, points: list[Point]) -> None:
        if member not in self._told:
            told = self._begin(member)
            self._require_ours(member, told)
            self._told[member] = told
        new = [point for point in points if point.trial > self._told[member]]
        if new:
            self._write(member, new)
            self._told[member] = new[-1].trial

    def _require_ours(self, member: int, told: int) -> None:
        if told >= 0 and not self._story.had(member, told):
            raise UsageError(
                f"the run of member {member} in {self._place()} tells of trial {told}, which study "
                f"{self.name!r} does not have: it is of another study of this name. Give this one "
                f"another place, or remove that run"
            )


def require(module: str, extra: str) -> Any:
    """A module of the logger's library. `MissingExtra` if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        purpose = f"heredity.integrations.{extra}"
        raise MissingExtra(extra, purpose, error.name or module) from error


def _numbers(event: ev.Event) -> tuple[int, int]:
    """The first trial that an event brings, and how many."""
    if isinstance(event, ev.RoundFinished):
        return event.first, event.count
    return (event.trial, 1) if isinstance(event, ev.TrialProposed) else (0, 0)
