"""Signals while a study runs: the first asks to finish, the second stops now.

Ctrl-C, SIGTERM and SIGUSR1 (sent by batch systems before they take a machine away) mean the same.
It knows nothing of what is asked to finish.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def graceful(finish: Callable[[], None]) -> Iterator[None]:
    """Within the block the first signal calls `finish`, the second raises KeyboardInterrupt.

    Outside the main thread Python delivers no signals, and the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print(
            "\nFinishing the trials that run; once more to stop now. Run the same command again "
            "to go on.",
            file=sys.stderr,
        )
        finish()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
