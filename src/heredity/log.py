"""A study's log, opened: the store's events and the population folded from them, kept in step.

The only place where events are both appended and folded. A block is checked, then written, then
folded: what is illegal is never written, what was not written is never folded. It decides nothing
and knows no executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from heredity import legible
from heredity.errors import Conflict, NotFound, did_you_mean
from heredity.evolution.check import check
from heredity.evolution.events import Event
from heredity.evolution.population import Population
from heredity.stores.base import Store

SNAPSHOT_EVERY = 10_000
"""Events between snapshots: folding so many takes a few hundredths of a second."""

Listener = Callable[[Event], None]


class Log:
    """One study's events in a store, and its population. `listener` is told every event that is
    written from now on, whoever writes it.

    Opening folds the log, from the store's snapshot on if there is one. Raises `NotFound` if there
    is no such study.
    """

    def __init__(self, store: Store, study: str, listener: Listener | None = None) -> None:
        self.store = store
        self.study = study
        self.listener = listener
        if study not in store.studies():
            known = store.studies()
            raise NotFound(f"there is no study {study!r} here.{did_you_mean(study, known)}")
        self.population = self._cached() or Population()
        self._snapshot_seq = self.population.seq
        self.population.replay(self.store.read(study, self.population.seq))

    def refresh(self) -> None:
        """Fold what other writers appended since, and tell the listener."""
        events = self.store.read(self.study, self.population.seq)
        self.population.replay(events)
        self._tell(events)

    def append(self, events: Sequence[Event]) -> None:
        """Check, append and fold a block, all or nothing; the text in it is made `legible`.

        Raises `IllegalEvent` if it cannot follow; `Conflict` if another writer was first, and
        `StoreError` if the medium failed. The population always holds what is written.
        """
        if not events:
            return
        events = [legible.record(event) for event in events]
        check(self.population, events)
        try:
            self.store.append(self.study, events, expected=self.population.seq)
        except Conflict:
            self.refresh()
            raise
        self.population.apply(events, checked=True)
        self._tell(events)

    def written(self, events: Sequence[Event]) -> None:
        """Take note of events that were foreseen, fold by fold, and are now in the store."""
        self.population.wrote(events)
        if self.listener is not None:
            for event in events:
                self.listener(event)

    def append_after_others(
        self, events: Callable[[Population], Sequence[Event]]
    ) -> Sequence[Event]:
        """Append what `events` makes of the state, again from the newer state whenever another
        writer was first. Returns what was appended."""
        while True:
            block = events(self.population)
            try:
                self.append(block)
            except Conflict:
                continue
            return block

    def _tell(self, events: Iterable[Event]) -> None:
        if self.listener is not None:
            for event in events:
                self.listener(event)

    def save_snapshot(self) -> None:
        """Cache the fold, if enough was appended since the last time to make it worth it."""
        if self.population.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
            from heredity.snapshot import dump

            self.store.save_snapshot(self.study, self.population.seq, dump(self.population))
            self._snapshot_seq = self.population.seq

    def _cached(self) -> Population | None:
        cached = self.store.snapshot(self.study)
        if cached is None:
            return None
        from heredity.snapshot import load

        population = load(cached[1])
        if population is None or not self.store.read(self.study, population.seq - 1):
            return None  # of another version, or ahead of a log that was put back
        return population
