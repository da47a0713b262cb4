"""The time a driver has been alive, which a budget of seconds counts.

Noted in the store now and then, in a table that may be lost; it knows no event and decides nothing.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable

from heredity.stores.base import Store

EVERY_S = 1.0
"""How often a driver leaves a sign of life, and looks for what others appended."""


class Pulse:
    """One driver's signs of life in one study. Time in which several are alive counts once.

    Args:
        most_s: of a longer silence between two signs of life only so much counts.
        clock: the time in seconds, from any beginning.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        most_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._study = study
        self._name = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._most_s = most_s
        self._clock = clock
        self._noted_at = clock()
        self._noted_s = store.alive_s(study)
        self._mine_s = 0.0

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._noted_s + min(self._silent_s, self._most_s)

    @property
    def due(self) -> bool:
        """Whether the last sign of life is `EVERY_S` old."""
        return self._silent_s >= EVERY_S

    def beat(self) -> None:
        """Leave a sign of life now: add what no other driver has noted meanwhile."""
        theirs_s = self._store.alive_s(self._study) - self._mine_s
        self._noted_s = max(theirs_s + self._mine_s, self.seconds)
        self._noted_at = self._clock()
        self._mine_s = self._noted_s - theirs_s
        self._store.heartbeat(self._study, self._name, self._mine_s)

    @property
    def _silent_s(self) -> float:
        return self._clock() - self._noted_at
