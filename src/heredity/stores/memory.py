"""A store in this process's memory: for trying things out, for tests and for simulations.

It keeps the same rows of text as a database, so what is refused and what is read back is the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from heredity.errors import Conflict, NotFound, UsageError, did_you_mean
from heredity.evolution.events import Event
from heredity.stores.base import Lease, Point
from heredity.stores.codec import Row, check_finite, decode, encode


@dataclass(slots=True)
class _Study:
    rows: list[Row]
    snapshot: tuple[int, bytes] | None = None
    points: dict[tuple[int, int], Point] = field(default_factory=dict)
    alive_s: dict[str, float] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    """By trial; `left_s` counts from the clock's zero."""
    locked: bool = False


class MemoryStore:
    """A Store that lives as long as the object. Threads of one process may share it.

    `clock` gives the time in seconds by which leases end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._studies: dict[str, _Study] = {}
        self._mutex = threading.Lock()

    def create(self, study: str, events: Sequence[Event]) -> int:
        """Begin a study with its first events; `Conflict` if the name is taken."""
        rows = [encode(event) for event in events]
        with self._mutex:
            if study in self._studies:
                raise Conflict(f"there is already a study {study!r}")
            self._studies[study] = _Study(rows)
            return len(rows)

    def append(self, study: str, events: Sequence[Event], expected: int) -> int:
        """Append a block; `Conflict` if the log's last seq is not `expected`."""
        rows = [encode(event) for event in events]
        with self._mutex:
            log = self._study(study).rows
            if len(log) != expected:
                raise Conflict(f"study {study!r} stands at event {len(log)}, not {expected}")
            log.extend(rows)
            return len(log)

    def read(self, study: str, after: int = 0) -> Sequence[Event]:
        """The events with seq > `after`, in order."""
        with self._mutex:
            rows = self._study(study).rows[after:]
        return decode(rows, after + 1)

    def studies(self) -> Sequence[str]:
        """The names of all studies, oldest first."""
        with self._mutex:
            return list(self._studies)

    def remove(self, study: str) -> None:
        """Forget a study whole."""
        with self._mutex:
            self._study(study)
            del self._studies[study]

    def snapshot(self, study: str) -> tuple[int, bytes] | None:
        """The cached fold as (seq, bytes), or None."""
        with self._mutex:
            return self._study(study).snapshot

    def save_snapshot(self, study: str, seq: int, data: bytes) -> None:
        """Replace the cached fold."""
        with self._mutex:
            self._study(study).snapshot = (seq, data)

    def record(self, study: str, points: Sequence[Point]) -> None:
        """Add points to learning curves; one of the same trial and step replaces the earlier."""
        for point in points:
            check_finite(point.metrics, f"point of trial {point.trial} at step {point.step}")
        with self._mutex:
            kept = self._study(study).points
            kept.update(
                ((p.trial, p.step), Point(p.trial, p.step, dict(p.metrics))) for p in points
            )

    def curve(self, study: str, trial: int) -> Sequence[Point]:
        """The recorded points of a trial, by step."""
        with self._mutex:
            points = self._study(study).points.values()
            return sorted((p for p in points if p.trial == trial), key=lambda point: point.step)

    def heartbeat(self, study: str, driver: str, alive_s: float) -> None:
        """Note that a driver has been alive for `alive_s` seconds."""
        with self._mutex:
            self._study(study).alive_s[driver] = alive_s

    def alive_s(self, study: str) -> float:
        """Seconds that drivers have been alive, over all runs of the study."""
        with self._mutex:
            return sum(self._study(study).alive_s.values())

    def lease(self, study: str, trial: int, attempt: int, worker: str, for_s: float) -> None:
        """Begin or renew the lease of a trial."""
        with self._mutex:
            until_s = self._clock() + for_s
            self._study(study).leases[trial] = Lease(trial, attempt, worker, until_s)

    def leases(self, study: str) -> Sequence[Lease]:
        """The leases that nobody has ended, by trial."""
        with self._mutex:
            kept = sorted(self._study(study).leases.items())
            now_s = self._clock()
        return [replace(lease, left_s=lease.left_s - now_s) for _, lease in kept]

    def end_lease(self, study: str, trial: int) -> None:
        """Forget the lease of a trial, if there is one."""
        with self._mutex:
            self._study(study).leases.pop(trial, None)

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Hold the study against other drivers of this store."""
        with self._mutex:
            held = self._study(study)
            if held.locked:
                raise UsageError(f"study {study!r} is being run by another driver of this process")
            held.locked = True
        try:
            yield
        finally:
            held.locked = False

    def holder(self, study: str) -> str | None:
        """This process, while one of its drivers holds the lock."""
        with self._mutex:
            return f"pid {os.getpid()}" if self._study(study).locked else None

    def close(self) -> None:
        """Nothing to let go of; the studies stay readable."""

    def _study(self, name: str) -> _Study:
        if name not in self._studies:
            raise NotFound(f"there is no study {name!r}.{did_you_mean(name, self._studies)}")
        return self._studies[name]
