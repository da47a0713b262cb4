"""A clock for tests: it stands still until it is told to jump."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """Call it for the time in seconds, like `time.monotonic`; it moves by `advance` alone.

    >>> clock = FakeClock()
    >>> clock.advance(2.5)
    >>> clock()
    2.5
    """

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Jump; also backwards, as a computer's clock does when it is set."""
        self.now_s += seconds
