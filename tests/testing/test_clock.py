"""A clock that jumps."""

from heredity.testing.clock import FakeClock


def test_it_stands_still_until_told_to_jump() -> None:
    clock = FakeClock(10.0)
    assert [clock(), clock()] == [10.0, 10.0]
    clock.advance(5.0)
    clock.advance(-20.0)
    assert clock() == -5.0
