"""What every contestant of the vectorized benchmark is told, what it answers, and how it is timed.

A contestant is a script that takes its `Work` as JSON in its first argument, does it and writes its
`Figures` as JSON to the path in its second. This file knows no framework.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

STATE_BYTES = 2 * 4 * (64 * 128 + 128 + 128 * 10 + 10)
"""Of one member: weights and momentum of the MLP 64-128-10 in float32."""

FRACTION = 0.2
"""The worst fifth takes over the best fifth."""

FACTORS = (0.8, 1.2)
"""What hparams that were taken over are multiplied by."""


@dataclass(frozen=True)
class Work:
    """Train `members` for about `seconds`, evaluating all of them after every `interval` steps.

    Attributes:
        variant: which of the script's contestants it is.
        data: the file of digits.
        folder: an empty folder on the disk that is measured.
        device: "cpu" or "gpu".
        seed: of the hparams and of training.
    """

    variant: str
    members: int
    interval: int
    seconds: float
    data: str
    folder: str
    device: str
    seed: int = 0


@dataclass(frozen=True)
class Figures:
    """What it took. The first round, which compiles, stands apart.

    Attributes:
        rounds, seconds: that were timed.
        first_round_s: from nothing to the first round's scores, compilation included, imports not.
        accuracy: the best held-out accuracy.
        peak_bytes: memory at its peak, state included; None where nobody can tell.
        idle_s: of the seconds, how long the device waited for the host between rounds; None where
            nobody looked.
        device: its name.
        versions: of what the contestant rests on.
    """

    rounds: int
    seconds: float
    first_round_s: float
    accuracy: float
    peak_bytes: int | None
    idle_s: float | None
    device: str
    versions: dict[str, str]


def told() -> Work:
    """The work of this process."""
    return Work(**json.loads(sys.argv[1]))


def answer(figures: Figures) -> None:
    """Hand in the figures of this process."""
    Path(sys.argv[2]).write_text(json.dumps(asdict(figures)))


def timed(rounds: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """Time as many rounds as take about `seconds`; how many, and how long they took.

    `rounds(n)` does n rounds and waits for the last one only. A few are tried out before.
    """
    count, elapsed = 1, _seconds_of(rounds, 1)
    while elapsed < seconds / 20:
        count *= 2
        elapsed = _seconds_of(rounds, count)
    count = math.ceil(seconds / elapsed * count)
    return count, _seconds_of(rounds, count)


def _seconds_of(rounds: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    rounds(count)
    return time.perf_counter() - began


def resident_bytes() -> int:
    """The largest this process has been, so far, on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
