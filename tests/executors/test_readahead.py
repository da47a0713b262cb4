"""Reading a user's iterator a round ahead: in order, once, and waiting for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from heredity.errors import TrainingError
from heredity.executors.readahead import END, ReadAhead, UserIterator


def numbers(end: int = 1_000) -> Any:
    return lambda start: iter(range(start, end))


def ahead(source: UserIterator) -> ReadAhead[list[int]]:
    def read(step: int, count: int, stopped: Event) -> tuple[list[int], int]:
        found: list[int] = []
        while len(found) < count and not stopped.is_set():
            if (batch := source.batch(step + len(found))) is END:
                break
            found.append(batch)
        return found, len(found)

    return ReadAhead(read)


def test_what_was_read_ahead_is_what_is_taken() -> None:
    reading = ahead(UserIterator(numbers()))
    assert reading.take(0, 3) == [0, 1, 2]
    reading.begin(3, 4)
    assert reading.take(3, 4) == [3, 4, 5, 6]
    reading.begin(7, 4)
    assert reading.take(7, 2)[:2] == [7, 8]
    assert reading.take(9, 2) == [9, 10], "read further than was wanted, and gone back"


def test_what_was_read_ahead_in_vain_is_read_anew() -> None:
    reading = ahead(UserIterator(numbers()))
    for begun in ((5, 3), (0, 2)):
        reading.begin(*begun)
        assert reading.take(0, 3) == [0, 1, 2]


def test_an_iterator_that_ends_is_an_error_when_more_is_needed() -> None:
    reading = ahead(UserIterator(numbers(5)))
    reading.begin(3, 4)
    assert reading.take(3, 2) == [3, 4]
    with pytest.raises(TrainingError, match="ended at step 5: make it endless"):
        reading.take(3, 3)


def test_the_users_errors_name_the_step_wherever_they_are_raised() -> None:
    def broken(start: int) -> Iterator[int]:
        yield start
        raise OSError("the disk is gone")

    for in_thread in (False, True):
        reading = ahead(UserIterator(broken))
        if in_thread:
            reading.begin(4, 2)
        with pytest.raises(TrainingError, match="failed at step 5: OSError: the disk") as told:
            reading.take(4, 2)
        assert "in broken" in told.value.remote_traceback


def test_closing_waits_for_nobody_and_reads_no_further() -> None:
    reached, go_on, read = Event(), Event(), []

    def blocked(start: int) -> Iterator[int]:
        for step in range(start, 9):
            read.append(step)
            if step == 1:
                reached.set()
                assert go_on.wait(60)
            yield step

    reading = ahead(UserIterator(blocked))
    before = set(threading.enumerate())
    reading.begin(0, 9)
    (thread,) = set(threading.enumerate()) - before
    assert reached.wait(60)
    reading.close()
    go_on.set()
    thread.join(60)
    assert read == [0, 1]
