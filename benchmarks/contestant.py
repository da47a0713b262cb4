"""What every contestant of the throughput benchmark is told, and what it answers.

A contestant is a script that takes its `Load` as JSON in its first argument, does the work and
writes its `Outcome` as JSON to the path in its second.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """The work: `members` × `trials` × `interval` steps, an evaluation after each interval.

    Attributes:
        data: the file of digits.
        folder: an empty folder on the disk that is measured.
        workers: how many processes train at once.
        seed: of the hparams and of training.
    """

    members: int
    trials: int
    interval: int
    data: str
    folder: str
    workers: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What it took: seconds from the first trial's start to the last one's record.

    Attributes:
        accuracy: the best held-out accuracy at the end.
        evaluations: how many intervals were trained and measured, to be held against the load.
        versions: of what the contestant rests on.
    """

    seconds: float
    accuracy: float
    evaluations: int
    versions: dict[str, str]


def told() -> Load:
    """The load of this process."""
    return Load(**json.loads(sys.argv[1]))


def answer(outcome: Outcome) -> None:
    """Hand in the outcome of this process."""
    Path(sys.argv[2]).write_text(json.dumps(asdict(outcome)))
