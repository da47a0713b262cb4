"""The screen for logs and pipes: now and then a plain line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from heredity.live.facts import Facts
from heredity.live.words import duration, number, plural, size

PERIOD_S, STEP = 10.0, 0.1
"""A line comes after so many seconds, or after so much of the whole."""


class Lines:
    """Writes plain lines to standard error."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._said_at: float | None = None
        self._said_part = 0.0

    def open(self, name: str, doing: str) -> None:
        """Nothing: the first line comes when the study is ready."""

    def draw(self, facts: Facts, left_s: float | None) -> None:
        """Write a line if there is something new to say."""
        now, part = self._clock(), facts.progress.fraction or 0.0
        if self._said_at is None:
            self._say(opening(facts))
        elif now - self._said_at < PERIOD_S and part - self._said_part < STEP:
            return
        else:
            self._say(standing(facts, left_s))
        self._said_at, self._said_part = now, part

    def close(self, facts: Facts | None, unverified: tuple[str, ...]) -> None:
        """Write how it ended."""
        if facts is None:
            return
        self._say(closing(facts))
        if remark := not_verified(facts, unverified):
            self._say(remark)

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def opening(facts: Facts) -> str:
    """What begins, or goes on."""
    ended = facts.population.ended_count
    so_far = f", going on after {plural(ended, 'trial')}" if ended else ""
    members = plural(facts.population.lanes, "member")
    return f"{facts.name}: {members}, {facts.progress.text}{so_far}"


def standing(facts: Facts, left_s: float | None) -> str:
    """One line while it runs."""
    left = "" if left_s is None else f", {duration(left_s)} left"
    part = facts.progress.fraction
    percent = "" if part is None else f"{part:.0%}, "
    return f"{facts.name}: {percent}{facts.progress.text}{left}; {tally(facts)}"


def closing(facts: Facts) -> str:
    """How it ended."""
    p = facts.population
    state = "stopped for now" if p.status in ("running", "stopping") else p.status
    why = f" ({p.reason})" if p.reason else ""
    return f"{facts.name}: {state}{why}; {plural(p.ended_count, 'trial')}; {tally(facts)}"


def tally(facts: Facts) -> str:
    """Scores and counts."""
    p = facts.population
    best = number(facts.best_score)
    if facts.best is not None:
        best += f" (member {facts.best_member}, trial {facts.best})"
    counts = f"exploits {p.exploits}, diverged {p.diverged}, failed {p.failures}"
    return f"best {best}, median {number(facts.median_score)}, {counts}, disk {size(p.bytes_kept)}"


def not_verified(facts: Facts, names: tuple[str, ...]) -> str:
    """A remark on hparams whose value in force nobody read back; none where nobody could."""
    kind = facts.population.definition["trainable"]
    if not names or kind == "command":
        return ""
    function = kind == "function"
    remedy = "call session.applied(name=value)" if function else "return them from `in_force`"
    return f"not verified to be in force: {', '.join(names)} ({remedy})"
