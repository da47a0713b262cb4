"""The Store protocol: where the event log lives.

A store appends and reads; it never interprets an event. Correctness needs one thing of it: of two
writers that append after the same sequence number, exactly one succeeds. This file knows nothing of
any database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from heredity.evolution.events import Event


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a learning curve. Curves may be lost; the log never is."""

    trial: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's claim to an attempt of a trial, until it ends by the store's own clock.

    `left_s` is what was left when it was read; not above 0 once it has run out.
    """

    trial: int
    attempt: int
    worker: str
    left_s: float


class Store(Protocol):
    """An append-only log of events for each study, and a few tables that may be lost.

    Events of a study are numbered from 1 without gaps: the event's `seq`. Every method raises
    `StoreError` when the medium fails (full, read-only, not a database) and `NotFound` when a named
    study does not exist.
    """

    def create(self, study: str, events: Sequence[Event]) -> int:
        """Begin a study with its first events and return the last seq.

        `Conflict` if the name is taken.
        """

    def append(self, study: str, events: Sequence[Event], expected: int) -> int:
        """Append `events` as one block, all or nothing, and return the last seq.

        `Conflict` if the log's last seq is not `expected`: another writer was first.
        """

    def read(self, study: str, after: int = 0) -> Sequence[Event]:
        """The events with seq > `after`, in order; the first has seq `after` + 1."""

    def studies(self) -> Sequence[str]:
        """The names of all studies, oldest first."""

    def remove(self, study: str) -> None:
        """Forget a study whole: its log and everything beside it."""

    def snapshot(self, study: str) -> tuple[int, bytes] | None:
        """The newest cached fold as (seq, bytes), or None. A cache: it may vanish at any time."""

    def save_snapshot(self, study: str, seq: int, data: bytes) -> None:
        """Replace the cached fold."""

    def record(self, study: str, points: Sequence[Point]) -> None:
        """Add points to learning curves."""

    def curve(self, study: str, trial: int) -> Sequence[Point]:
        """The recorded points of a trial, by step."""

    def heartbeat(self, study: str, driver: str, alive_s: float) -> None:
        """Note that a driver (a name unique to one run) has been alive for `alive_s` seconds."""

    def alive_s(self, study: str) -> float:
        """Seconds that drivers have been alive, over all runs of the study."""

    def lease(self, study: str, trial: int, attempt: int, worker: str, for_s: float) -> None:
        """Begin or renew the lease of a trial: `for_s` seconds from now, whoever had it before.

        The clock is the store's, one for all who share it, and not that of the caller.
        """

    def leases(self, study: str) -> Sequence[Lease]:
        """The leases that nobody has ended, by trial; also those that have run out."""

    def end_lease(self, study: str, trial: int) -> None:
        """Forget the lease of a trial, if there is one."""

    def lock(self, study: str) -> AbstractContextManager[None]:
        """Hold the study against other drivers, a courtesy that ends with the process.

        Raises `UsageError` naming the holder when another process has it.
        """

    def holder(self, study: str) -> str | None:
        """Who holds the study's lock now, such as "pid 7 on host"; None if nobody does.

        It only looks: a driver that takes the lock meanwhile gets it.
        """

    def close(self) -> None:
        """Let go of files and connections."""
