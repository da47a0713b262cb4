"""The time that a budget of seconds counts."""

from __future__ import annotations

from heredity.pulse import Pulse
from heredity.stores.memory import MemoryStore
from heredity.testing.clock import FakeClock


def begun() -> tuple[MemoryStore, FakeClock]:
    store = MemoryStore()
    store.create("s", [])
    return store, FakeClock()


def test_time_adds_up_over_drivers_one_after_the_other() -> None:
    store, clock = begun()
    for expected in (10.0, 20.0, 30.0):
        pulse = Pulse(store, "s", clock=clock)
        clock.advance(4.0)
        assert pulse.due
        pulse.beat()
        assert not pulse.due
        clock.advance(6.0)
        assert pulse.seconds == expected
        pulse.beat()
        assert store.alive_s("s") == expected
        clock.advance(1000.0)  # nobody is alive


def test_drivers_at_the_same_time_count_once() -> None:
    store, clock = begun()
    first, second = (Pulse(store, "s", clock=clock) for _ in range(2))
    for _ in range(10):
        for pulse in (first, second):
            clock.advance(0.5)
            pulse.beat()
    assert store.alive_s("s") == 10.0
    for _ in range(10):  # the first is no more
        clock.advance(1.0)
        second.beat()
    assert 19.5 <= store.alive_s("s") <= 20.0


def test_a_long_silence_counts_only_so_much() -> None:
    store, clock = begun()
    pulse = Pulse(store, "s", 60.0, clock)
    clock.advance(3600.0)
    assert pulse.seconds == 60.0
    pulse.beat()
    clock.advance(1.0)
    assert pulse.seconds == 61.0


def test_who_was_silent_for_long_takes_nothing_away() -> None:
    store, clock = begun()
    busy, silent = Pulse(store, "s", 10.0, clock), Pulse(store, "s", 10.0, clock)
    for _ in range(100):
        clock.advance(1.0)
        busy.beat()
    silent.beat()
    assert store.alive_s("s") == silent.seconds == 100.0
