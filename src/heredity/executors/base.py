"""The Executor protocol: where trials run.

The driver submits tasks and waits for reports; an executor runs them and decides nothing. It knows
nothing of events, stores or algorithms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heredity.checkpoints.base import CheckpointStore
from heredity.evolution.trial import Checkpoint, Failure, Trial
from heredity.trainables.session import Interpolate
from heredity.trainables.trainable import Trainable


@dataclass(frozen=True)
class Workload:
    """What every worker of a study needs once.

    Attributes:
        trainable: makes the user's object; called once per worker.
        checkpoints: where workers save and restore.
        logs: folder for each trial's output, `<trial>.log`; None lets output through.
        metric: the metric whose finite value ends a trial well: the objective's name.
        names: the declared hparams, each of which something must consume.
        interpolate: hparams between two others, for ramps; `Space.interpolate`.
    """

    trainable: Callable[[], Trainable]
    checkpoints: CheckpointStore
    logs: Path | None
    metric: str
    names: tuple[str, ...]
    interpolate: Interpolate | None = None


@dataclass(frozen=True)
class Task:
    """One attempt of one trial, and the checkpoint it begins from."""

    trial: Trial
    restore: Checkpoint | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Measured:
    """A running trial reported metrics at a step."""

    trial: int
    attempt: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Completed:
    """An attempt ran to its end; `reached` < the trial's stop if it was asked to stop early."""

    trial: int
    attempt: int
    reached: int
    metrics: Mapping[str, float]
    checkpoint: Checkpoint | None
    elapsed_s: float
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """An attempt ended without a result.

    Attributes:
        traceback: the user's own frames.
        corrupt: the checkpoint it was to begin from is damaged; nobody else should try it.
    """

    trial: int
    attempt: int
    failure: Failure
    error: str
    traceback: str = ""
    elapsed_s: float = 0.0
    corrupt: bool = False


Report = Measured | Completed | Failed


class Executor(Protocol):
    """Runs trials. A frozen description until `open`, then live until `close`."""

    @property
    def slots(self) -> int:
        """How many trials run at once."""

    def open(self, workload: Workload) -> None:
        """Get workers ready. Raises `UsageError` when the trainable cannot be given to them."""

    def submit(self, task: Task) -> str:
        """Start a task on a free slot and return the worker's name, fit to be recorded."""

    def wait(self, timeout_s: float) -> Sequence[Report]:
        """Reports that arrived, waiting at most `timeout_s` for the first."""

    def request_stop(self, trial: int) -> None:
        """Ask a running trial to end early; it may finish as usual."""

    def limit(self, trial: int, timeout_s: float) -> None:
        """Give a running trial a time limit, counted from its start. An executor that cannot end
        a trial leaves it running."""

    def close(self) -> None:
        """End all workers now; what runs is lost. Safe to call twice."""
