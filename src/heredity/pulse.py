"""The time a driver has been alive, which a budget of seconds counts.

Noted in the store now and then, in a table that may be lost; it knows no event and decides nothing.
"""

from __future__ import annotations

import os
import socket
import time

from heredity.stores.base import Store

EVERY_S = 1.0
"""How often a driver leaves a sign of life, and looks for what others appended."""


class Pulse:
    """One driver's signs of life in one study."""

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self._study = study
        self._name = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        self._before_s = store.alive_s(study)
        self._began = time.monotonic()
        self._noted_s = 0.0

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._before_s + self._alive_s

    @property
    def due(self) -> bool:
        """Whether the last sign of life is `EVERY_S` old."""
        return self._alive_s - self._noted_s >= EVERY_S

    def beat(self) -> None:
        """Leave a sign of life now."""
        self._noted_s = self._alive_s
        self._store.heartbeat(self._study, self._name, self._noted_s)

    @property
    def _alive_s(self) -> float:
        return time.monotonic() - self._began
