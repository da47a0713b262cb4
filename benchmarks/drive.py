"""The driver's own work per asynchronous trial: deciding, appending, collecting, and the rest.

The real driver runs on a real log in SQLite on disk; only the trials take no time, and what the
executor does is left out.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toy import Counting, Instant, creation, definition_of

import heredity as hd
import heredity.driver
from heredity.checkpoints.base import CheckpointStore
from heredity.checkpoints.local import LocalCheckpoints
from heredity.driver import Driver
from heredity.evolution.events import Event
from heredity.log import Log
from heredity.stores import open_store

SLOTS = 8
COUNTED = 2_000
"""Trials that are timed, after as many as there are members."""


def drive(population: int, folder: Path, local: bool) -> dict[str, float]:
    """Milliseconds per trial by part, and the median over trials of the whole."""
    checkpoints: CheckpointStore = LocalCheckpoints(folder / "c") if local else Counting()
    definition, store = definition_of(population), open_store(folder)
    store.create("toy", [creation(definition, hd.Trials(population + COUNTED))])
    watch = Watch(skip=population)
    executor = Instant(SLOTS, checkpoints, watch.aside)
    with watch.on(heredity.driver, "next_events"):
        driver = TimedDriver(
            TimedLog(store, "toy", watch), definition, executor, checkpoints, watch
        )
        driver.run()
    store.close()
    return watch.figures()


class Watch:
    """Splits the time from one trial's report to the next. Of parts within parts the outer counts.

    The first `skip` trials are not counted.
    """

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._since = time.perf_counter()
        self._inside = False
        self._now: dict[str, float] = defaultdict(float)
        self._parts: dict[str, float] = defaultdict(float)
        self._trials: list[float] = []

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens inside is not the driver's; one trial's time ends, the next one's begins."""
        self._note(time.perf_counter() - self._since)
        yield
        self._since = time.perf_counter()

    def _note(self, seconds: float) -> None:
        if self._skip > 0:
            self._skip -= 1
        else:
            self._trials.append(seconds)
            for part, of_it in self._now.items():
                self._parts[part] += of_it
        self._now.clear()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens inside is this part's."""
        if self._inside:
            yield
            return
        self._inside, began = True, time.perf_counter()
        try:
            yield
        finally:
            self._now[name] += time.perf_counter() - began
            self._inside = False

    @contextmanager
    def on(self, module: Any, name: str) -> Iterator[None]:
        """Time a function of a module, by its name."""
        function: Callable[..., Any] = getattr(module, name)

        def timed(*args: Any) -> Any:
            with self.part(name):
                return function(*args)

        setattr(module, name, timed)
        try:
            yield
        finally:
            setattr(module, name, function)

    def figures(self) -> dict[str, float]:
        """Milliseconds per trial: the mean of each part, the mean and the median of the whole."""
        count = len(self._trials)
        parts = {part: 1e3 * seconds / count for part, seconds in self._parts.items()}
        mean = 1e3 * sum(self._trials) / count
        median = 1e3 * statistics.median(self._trials)
        return {**parts, "rest": mean - sum(parts.values()), "mean": mean, "median": median}


class TimedLog(Log):
    """A log whose appends are timed."""

    def __init__(self, store: Any, study: str, watch: Watch) -> None:
        super().__init__(store, study)
        self._watch = watch

    def append(self, events: Sequence[Event]) -> None:
        with self._watch.part("append"):
            super().append(events)


class TimedDriver(Driver):
    """A driver whose collection is timed, with its append and the removal of files."""

    def __init__(self, log: Log, definition: Any, executor: Any, files: Any, watch: Watch) -> None:
        super().__init__(log, definition, executor, files)
        self._watch = watch

    def _release(self) -> None:
        with self._watch.part("release"):
            super()._release()
