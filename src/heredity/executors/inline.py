"""The Inline executor: trials run in this very process, one at a time, inside `wait`.

For debugging (breakpoints work, output is not redirected) and for notebooks. It cannot enforce time
limits, and a trial that takes the process down takes the study down with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heredity.errors import UsageError
from heredity.executors.base import Report, Task, Workload
from heredity.executors.worker import Worker

NAME = "inline"


@dataclass
class Inline:
    """Run trials in this process, one at a time."""

    _worker: Worker | None = field(default=None, init=False, repr=False, compare=False)
    _task: Task | None = field(default=None, init=False, repr=False, compare=False)
    _stopping: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def slots(self) -> int:
        """Always 1."""
        return 1

    def open(self, workload: Workload) -> None:
        """Get ready. The trainable is made when the first trial runs."""
        self._worker = Worker(workload, name=NAME)

    def submit(self, task: Task) -> str:
        """Keep the task until `wait` runs it."""
        if self._task is not None:
            raise UsageError(f"no free slot for trial {task.trial.id}: Inline runs one at a time")
        self._task = task
        return NAME

    def wait(self, timeout_s: float) -> Sequence[Report]:
        """Run the task to its end, however long it takes, and return all its reports."""
        if self._task is None or self._worker is None:
            return []
        task, self._task = self._task, None
        trial = task.trial.id
        reports: list[Report] = []
        try:
            end = self._worker.run(task, reports.append, lambda: trial in self._stopping)
        finally:
            self._stopping.discard(trial)
        return [*reports, end]

    def request_stop(self, trial: int) -> None:
        """Ask the trial to end early: seen if it is asked before or while `wait` runs."""
        if self._task is not None and self._task.trial.id == trial:
            self._stopping.add(trial)

    def limit(self, trial: int, timeout_s: float) -> None:
        """Nothing: a trial cannot be ended from within its own process."""

    def close(self) -> None:
        """Let go of the trainable and of a task that has not begun."""
        self._worker = self._task = None
        self._stopping.clear()
