"""A user's iterator of batches, read a round ahead in a thread that nobody has to wait for.

Knows iterators and steps. How batches are stacked, and where they are brought, is the framework's.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from heredity.errors import TrainingError
from heredity.trainables.traces import one_line, user_frames

T = TypeVar("T")

LEAVE_S = 2.0
"""How long the end of the interpreter waits for a batch that is being read. A thread that it would
find within a framework, and not blocked in an iterator, could take the process down."""

END = object()
"""What an iterator gives after its last batch."""


class UserIterator:
    """The iterators that the user's `make_iterator(step)` makes, asked step by step."""

    def __init__(self, make_iterator: Callable[[int], Iterator[Any]]) -> None:
        self._make = make_iterator
        self._iterator: Iterator[Any] = iter(())
        self._next_step: int | None = None

    def batch(self, step: int) -> Any:
        """The batch of a step, or `END`. `TrainingError`, with the step, for what the user's code
        raises."""
        if self._next_step != step:
            self._iterator = self._called(step, lambda: iter(self._make(step)))
        batch = self._called(step, lambda: next(self._iterator, END))
        self._next_step = step if batch is END else step + 1
        return batch

    def _called(self, step: int, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:
            self._next_step = None
            raise TrainingError(
                f"the iterator of stream() failed at step {step}: {one_line(error)}",
                remote_traceback=user_frames(error),
            ) from error


class ReadAhead(Generic[T]):
    """Reads in one thread at a time. Whoever closes it or ends the interpreter leaves a thread that
    is held up in the user's iterator behind.

    Args:
        read: stacks the batches of `count` steps from `step`, and says how many there were; it
            ends early, with whatever it has, once the event is set.
    """

    def __init__(self, read: Callable[[int, int, Event], tuple[T, int]]) -> None:
        self._read = read
        self._ahead: _Reading[T] | None = None

    def begin(self, step: int, count: int) -> None:
        """Begin to read what `take` is expected to want next."""
        self._ahead = _Reading(step, count)
        arguments = self._read, self._ahead
        Thread(target=_run, args=arguments, name="heredity-stream", daemon=True).start()

    def take(self, step: int, count: int) -> T:
        """The stacked batches of at least `count` steps: those read ahead if they are what is
        wanted now. `TrainingError` if there are too few."""
        stacked, found = self._taken(step, count)
        if found < count:
            raise TrainingError(
                f"the iterator of stream() ended at step {step + found}: make it endless, for "
                "example with itertools.cycle"
            )
        return stacked

    def close(self) -> None:
        """Read no further than the batch that is being read, which is not waited for."""
        if self._ahead is not None:
            self._ahead.stopped.set()
        self._ahead = None

    def _taken(self, step: int, count: int) -> tuple[T, int]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            try:
                if ahead.step == step and ahead.count >= count:
                    return ahead.result.result()
            finally:
                ahead.stopped.set()  # also when the wait was interrupted
            ahead.result.exception()  # one at a time uses the iterator
        return self._read(step, count, Event())


@dataclass(frozen=True, eq=False)
class _Reading(Generic[T]):
    """Batches on their way: `count` steps from `step`."""

    step: int
    count: int
    result: Future[tuple[T, int]] = field(default_factory=Future)
    stopped: Event = field(default_factory=Event)


_under_way: set[_Reading[Any]] = set()
"""In all threads, also those that were left behind."""


def _run(read: Callable[[int, int, Event], tuple[T, int]], reading: _Reading[T]) -> None:
    _under_way.add(reading)
    try:
        reading.result.set_result(read(reading.step, reading.count, reading.stopped))
    except BaseException as error:  # is the waiting thread's
        reading.result.set_exception(error)
    finally:
        _under_way.remove(reading)


@atexit.register
def _leave() -> None:
    ahead = tuple(_under_way)
    for reading in ahead:
        reading.stopped.set()
    wait([reading.result for reading in ahead], timeout=LEAVE_S)
