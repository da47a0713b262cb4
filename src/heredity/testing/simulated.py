"""An executor in simulated time: workers of uneven speed, and no waiting.

What a trial yields is the caller's to say; this file only decides when it is done. The same
submissions always give the same reports in the same order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heredity.errors import UsageError
from heredity.executors.base import Completed, Failed, Report, Task, Workload
from heredity.testing.clock import FakeClock

Run = Callable[[Task], Completed | Failed]


@dataclass
class Simulated:
    """Workers that take (steps ÷ speed) simulated seconds for a trial.

    Attributes:
        speeds: each worker's steps per second, by its number.
        run: what a task ends with; its `elapsed_s` is replaced by the simulated time.
        clock: is moved on by `wait`, to where the next trial ends.
    """

    speeds: Mapping[int, float]
    run: Run
    clock: FakeClock = field(default_factory=FakeClock)
    _running: list[tuple[float, int, Task]] = field(default_factory=list, init=False, repr=False)

    @property
    def slots(self) -> int:
        """One for each speed."""
        return len(self.speeds)

    def open(self, workload: Workload) -> None:
        """Nothing to get ready."""

    def submit(self, task: Task) -> str:
        """Start a task on the fastest idle worker."""
        busy = {worker for _, worker, _ in self._running}
        idle = [worker for worker in self.speeds if worker not in busy]
        if not idle:
            raise UsageError(f"no free slot for trial {task.trial.id}: {len(busy)} trials run")
        worker = max(idle, key=lambda worker: (self.speeds[worker], -worker))
        ends = self.clock() + task.trial.steps / self.speeds[worker]
        heapq.heappush(self._running, (ends, worker, task))
        return f"simulated-{worker}"

    def wait(self, timeout_s: float = 0.0) -> Sequence[Report]:
        """Jump to where the next trial ends, however far, and return its report.

        With nothing running, `timeout_s` passes.
        """
        if not self._running:
            self.clock.advance(timeout_s)
            return []
        ends, worker, task = heapq.heappop(self._running)
        self.clock.advance(max(0.0, ends - self.clock()))
        elapsed_s = task.trial.steps / self.speeds[worker]
        return [replace(self.run(task), elapsed_s=elapsed_s)]

    def request_stop(self, trial: int) -> None:
        """Simulated trials finish as usual."""

    def limit(self, trial: int, timeout_s: float) -> None:
        """Simulated trials take no time."""

    def close(self) -> None:
        """Forget what runs."""
        self._running.clear()
