"""What crosses between the service and its workers, as JSON: requests, answers and their limits.

The records themselves (`Task`, `Completed`, `Trial`, …) are those of the library; here are only the
envelopes around them. Nothing in this file knows HTTP, and nothing that crosses is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from heredity import legible
from heredity.executors.base import Completed, Failed, Measured, Task

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$")]
"""A worker's name: letters, digits and `._:/@-`."""

Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""The number of a trial, an attempt, an event or a page."""

Hparam = float | int | str | bool | None
"""The value of one hparam."""

MEDIA = "application/x-tar"
"""What a checkpoint travels as."""

DIGEST = "heredity-digest"
"""The header that holds a checkpoint's digest."""

MEASURED = 1000
"""Measurements that one heartbeat may carry."""


def _numbers(report: Any) -> Any:
    """A report whose metrics are no booleans: `true` would count as 1.0, and is no measurement."""
    metrics = report.get("metrics") if isinstance(report, Mapping) else None
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(value, bool):
            raise ValueError(f"metric `{name}` must be a number, not {value}")
    return report


Measurement = Annotated[Measured, BeforeValidator(_numbers)]
Completion = Annotated[Completed, BeforeValidator(_numbers)]

StudyStatus = Literal["running", "paused", "stopping", "ended"]
Outcome = Literal["recorded", "already done"]


@dataclass(frozen=True)
class Suggest:
    """A worker asks for trials: those it was given and never ended come first."""

    worker: Name
    count: Annotated[int, Field(ge=1, le=64)] = 1


@dataclass(frozen=True)
class Suggested:
    """The trials to run, maybe none for now.

    Attributes:
        status: once this is "ended" there will be no more.
        wait_s: ask again after so many seconds if there was nothing.
    """

    tasks: tuple[Task, ...]
    status: StudyStatus
    wait_s: float


@dataclass(frozen=True)
class Heartbeat:
    """A worker still runs an attempt, and may pass on what was measured meanwhile."""

    worker: Name
    trial: Number
    attempt: Number
    measured: Annotated[tuple[Measurement, ...], Field(max_length=MEASURED)] = ()


@dataclass(frozen=True)
class Heard:
    """The answer to a heartbeat.

    Attributes:
        stop: the attempt should end early.
        lost: it is nobody's any more: the trial has ended, or another attempt runs.
    """

    stop: bool
    lost: bool


@dataclass(frozen=True)
class Complete:
    """A worker ran an attempt to its end."""

    worker: Name
    report: Completion


@dataclass(frozen=True)
class Fail:
    """A worker's attempt ended without a result."""

    worker: Name
    report: Failed


@dataclass(frozen=True)
class Recorded:
    """Whether a report counted, or the trial had ended before."""

    outcome: Outcome


@dataclass(frozen=True)
class Problem:
    """Every answer that is an error: its kind, and what to do."""

    error: str
    message: str


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know of a study before its first trial.

    Attributes:
        workload: how to train: see `heredity.recipe`.
        metric: the objective's name.
        space: the space, as it describes itself.
        folder: where the service keeps the study's files, for workers that share its disk.
        proof: a file in that folder, and what it says: who reads the same there shares the disk.
        beat_s: how often the service wants to hear of a trial that runs.
    """

    workload: Mapping[str, Any]
    metric: str
    space: Mapping[str, Any]
    folder: str
    proof: Mapping[str, str]
    beat_s: float


def to_json(message: Any) -> bytes:
    """A request as strict JSON: a metric that is not finite becomes a string, "nan" or "inf", and
    text is made `legible`, that of a failure short enough for any body."""
    return json.dumps(_strict(asdict(legible.record(message))), allow_nan=False).encode()


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value
