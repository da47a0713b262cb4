"""What a person sees while a study runs: a live view in a terminal, plain lines elsewhere.

Everything goes to standard error, so that a script's own output stays clean. A view only reads: it
changes nothing, and costs about `SHARE` of one core whatever the population's size.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from heredity.driver import Driver
from heredity.live.facts import Facts, TimeLeft, facts_of

PERIOD_S = 0.25
"""The shortest time between two pictures."""

SHARE = 0.01
"""What drawing may take of one core: a slow picture is drawn less often."""

LONGEST_PERIOD_S = 2.0
"""One slow picture, the first for example, is no reason to freeze."""


class Screen(Protocol):
    """Where pictures go."""

    def open(self, name: str, doing: str) -> None:
        """Say that the study is getting ready, and what it is doing for that."""

    def draw(self, facts: Facts, left_s: float | None) -> None:
        """Show how the study stands, and the seconds it will go on for as far as is known."""

    def close(self, facts: Facts | None, unverified: tuple[str, ...]) -> None:
        """Show how it stands at the end, and which hparams nobody could read back. No facts if it
        ended before it began."""


class View:
    """Shows a driver's study on a screen, at a bounded cost."""

    def __init__(
        self,
        name: str,
        screen: Screen,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._name = name
        self._screen = screen
        self._clock = clock
        self._due = -1.0
        self._left = TimeLeft()
        self._driver: Driver | None = None

    def open(self, doing: str) -> None:
        """Say that something is about to begin."""
        self._screen.open(self._name, doing)

    def show(self, driver: Driver) -> None:
        """Draw, if that is due. Called at every turn of the loop."""
        began = self._clock()
        if began < self._due:
            return
        self._driver = driver
        facts = self._facts(driver)
        self._screen.draw(facts, self._left.at(facts.progress.fraction, began))
        ended = self._clock()
        pause = max(PERIOD_S, (ended - began) / SHARE)
        self._due = ended + min(pause, LONGEST_PERIOD_S)

    def close(self) -> None:
        """Leave the last state standing."""
        if self._driver is None:
            self._screen.close(None, ())
        else:
            self._screen.close(self._facts(self._driver), self._driver.unverified)

    def _facts(self, driver: Driver) -> Facts:
        return facts_of(self._name, driver.log.population, driver.seconds)


class Dark:
    """A view that shows nothing."""

    def show(self, driver: Driver) -> None:
        """Nothing."""


@contextmanager
def view_of(
    name: str, live: Literal["auto", "off"], doing: str = "starting"
) -> Iterator[View | Dark]:
    """A view of the study `name`: a live view if standard error is a terminal, else plain lines,
    and nothing if `live` is "off". Until there is something to show it says what the study is
    `doing`."""
    if live == "off":
        yield Dark()
        return
    view = View(name, _screen())
    view.open(doing)
    try:
        yield view
    finally:
        view.close()


def _screen() -> Screen:
    if sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb"):
        from heredity.live.terminal import Terminal

        return Terminal()
    from heredity.live.lines import Lines

    return Lines()
