"""The Processes executor: resident worker processes on this machine.

Describes how many there are and what share of the machine each gets; the live part is the pool.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from heredity.errors import HeredityError, UsageError
from heredity.executors import hardware
from heredity.executors.base import Report, Task, Workload
from heredity.executors.child import Child
from heredity.executors.pool import Pool
from heredity.executors.shipping import pack

START_TIMEOUT_S = 300.0
"""Importing a large framework from a cold network disk takes minutes."""


@dataclass
class Processes:
    """Run trials in worker processes that stay alive from trial to trial.

    Each worker gets an equal share of the cores, told to the numeric libraries before they are
    imported, and one GPU, round-robin. A worker that dies fails the trial it ran and is replaced.
    Workers end with this process, however it ends, and so does whatever they started.

    Attributes:
        workers: how many; by default one for each GPU or, without any, one for each core.
        threads: threads for each worker's numeric libraries; by default cores ÷ workers, unless
            the environment says otherwise (`OMP_NUM_THREADS` …).
        start_timeout_s: how long a worker may take to start and to import the trainable.
    """

    workers: int | None = None
    threads: int | None = field(default=None, kw_only=True)
    start_timeout_s: float = field(default=START_TIMEOUT_S, kw_only=True)
    _pool: Pool | None = field(default=None, init=False, repr=False, compare=False)
    _opened: ExitStack = field(default_factory=ExitStack, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("workers", "threads"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"Processes: {name} must be a whole number from 1, not {value!r}")

    @functools.cached_property
    def slots(self) -> int:
        """The number of workers."""
        return self.workers or len(self._gpus) or hardware.cores()

    @functools.cached_property
    def _gpus(self) -> tuple[str, ...]:
        return hardware.gpus()

    def open(self, workload: Workload) -> None:
        """Start the workers, side by side, and wait until each has imported the trainable.

        Raises `UsageError` if the trainable cannot be sent or imported, and `HeredityError` if
        workers die or take too long while they start.
        """
        if self._pool is not None:
            raise UsageError("this executor is open already: close it first")
        packed = pack(workload)
        with ExitStack() as stack:
            payload = stack.enter_context(tempfile.TemporaryFile())
            payload.write(packed)
            payload.flush()
            if workload.logs is not None:
                workload.logs.mkdir(parents=True, exist_ok=True)

            def hire(number: int) -> Child:
                name = f"worker-{number}"
                return Child(
                    payload=payload,
                    variables=hardware.share(number, self.slots, self.threads, self._gpus),
                    log=workload.logs and workload.logs / f"{name}.log",
                    name=name,
                    device="cuda:0" if self._gpus else "cpu",
                )

            pool = Pool(hire, start_timeout_s=self.start_timeout_s, logs=workload.logs)
            stack.callback(pool.close)
            pool.start(self.slots)
            self._pool, self._opened = pool, stack.pop_all()

    @property
    def _live(self) -> Pool:
        if self._pool is None:
            raise HeredityError("this executor is not open")
        return self._pool

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the workers, by number; each leads a process group."""
        return tuple(seat.child.pid for seat in self._live.seats)

    def submit(self, task: Task) -> str:
        """Start a task on a free worker, preferably the one that holds its member live."""
        return self._live.submit(task)

    def wait(self, timeout_s: float) -> Sequence[Report]:
        """Reports that arrived, waiting at most `timeout_s` for the first.

        Raises `HeredityError` once workers die without ever running anything.
        """
        return self._live.wait(timeout_s)

    def request_stop(self, trial: int) -> None:
        """Ask a running trial to end early."""
        self._live.request_stop(trial)

    def limit(self, trial: int, timeout_s: float) -> None:
        """Give a running trial a time limit, counted from its start."""
        self._live.limit(trial, timeout_s)

    def close(self) -> None:
        """End all workers now, and all they started. Safe to call twice."""
        self._pool = None
        self._opened.close()
