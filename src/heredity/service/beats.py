"""Signs of life: tells the service, from a thread of its own, which trials a worker still runs.

It carries what the trials measured meanwhile, and brings back which of them the service wants
ended. A sign of life that gets lost is followed by the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from heredity.errors import HeredityError
from heredity.executors.base import Measured
from heredity.service.client import Client
from heredity.service.wire import MEASURED, Heard

Run = tuple[int, int]
"""A trial and an attempt of it."""


@dataclass
class _Attempt:
    worker: str
    run: Run
    measured: list[Measured] = field(default_factory=list)


@dataclass(frozen=True)
class Unwanted:
    """The service wants this attempt ended early; if `lost`, for it is no longer this worker's."""

    run: Run
    lost: bool


class Beats:
    """The signs of life of one worker, within its `with` block."""

    def __init__(self, client: Client, study: str, every_s: float) -> None:
        self._client = client.impatient()
        self._study = study
        self._every_s = every_s
        self._running: dict[Run, _Attempt] = {}
        self._unwanted: SimpleQueue[Unwanted] = SimpleQueue()
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeats", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def begin(self, worker: str, run: Run) -> None:
        """The worker runs this attempt from now on."""
        with self._mutex:
            self._running[run] = _Attempt(worker, run)

    def measured(self, report: Measured) -> None:
        """Pass this on with the next sign of life."""
        with self._mutex:
            if attempt := self._running.get((report.trial, report.attempt)):
                attempt.measured.append(report)

    def end(self, run: Run) -> None:
        """The attempt is over: pass on what it measured last, and no more signs of life."""
        with self._mutex:
            attempt = self._running.pop(run, None)
        if attempt is not None and attempt.measured:
            self._beat(attempt)

    def unwanted(self) -> Sequence[Unwanted]:
        """What the service wanted ended since this was asked last."""
        found: list[Unwanted] = []
        while True:
            try:
                found.append(self._unwanted.get_nowait())
            except Empty:
                return found

    def _beat_on(self) -> None:
        while not self._over.wait(self._every_s):
            with self._mutex:
                running = list(self._running.values())
            for attempt in running:
                self._beat(attempt)

    def _beat(self, attempt: _Attempt) -> None:
        with self._mutex:
            news, attempt.measured = attempt.measured[:MEASURED], attempt.measured[MEASURED:]
        heard = self._told(attempt, news)
        if heard is None and news:  # too much to tell: that it lives matters more
            heard = self._told(attempt, ())
        if heard is not None and (heard.stop or heard.lost):
            self._unwanted.put(Unwanted(attempt.run, heard.lost))

    def _told(self, attempt: _Attempt, news: Sequence[Measured]) -> Heard | None:
        """What the service answers; None where it is away, or takes no such news."""
        try:
            return self._client.heartbeat(self._study, attempt.worker, *attempt.run, news)
        except HeredityError:
            return None
