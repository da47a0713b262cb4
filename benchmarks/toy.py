"""A study whose trials take no time, so that what is timed is the driver's own work.

This file knows no clock and no log.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import heredity as hd
from heredity.checkpoints.base import CheckpointStore, Stored
from heredity.evolution.budget import Limit
from heredity.evolution.definition import Definition
from heredity.evolution.events import StudyCreated
from heredity.evolution.trial import Checkpoint, Trial
from heredity.executors.base import Completed, Report, Task, Workload

INTERVAL = 10
SIZE_BYTES = 4096


def definition_of(population: int) -> Definition:
    """A usual definition: three hparams, PBT as it comes."""
    return Definition(
        space=hd.Space(
            lr=hd.LogUniform(1e-4, 1.0),
            momentum=hd.Uniform(0.0, 0.99),
            batch_size=hd.Ordinal([32, 64, 128]),
        ),
        objectives=(hd.maximize("score"),),
        population=population,
        interval=INTERVAL,
        algorithm=hd.PBT(),
        seed=0,
        trainable="class",
    )


def creation(definition: Definition, budget: Limit) -> StudyCreated:
    """The first event of such a study."""
    return StudyCreated(definition.as_json(), (budget,))


def outcome(trial: Trial, checkpoint: Checkpoint) -> Completed:
    """What a trial came to: longer training helps, and a learning rate near 0.01."""
    distance = abs(math.log10(trial.hparams["lr"]) + 2)
    score = 1 - 1 / (1 + trial.stop / INTERVAL) - 0.1 * distance + 1e-9 * (trial.seed % 1000)
    metrics = {"score": score, "test_score": score / 2}
    return Completed(trial.id, trial.attempt, trial.stop, metrics, checkpoint, 0.1)


class Instant:
    """An executor whose trials are over when they begin; `wait` reports the oldest one.

    `aside` is entered around what a worker would do.
    """

    def __init__(
        self,
        slots: int,
        checkpoints: CheckpointStore,
        aside: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.slots = slots
        self._checkpoints = checkpoints
        self._aside = aside
        self._tasks: deque[Task] = deque()

    def open(self, workload: Workload) -> None:
        """Nothing to get ready."""

    def submit(self, task: Task) -> str:
        self._tasks.append(task)
        return "worker-0"

    def wait(self, timeout_s: float) -> Sequence[Report]:
        with self._aside():
            return [self._run(self._tasks.popleft())] if self._tasks else []

    def _run(self, task: Task) -> Completed:
        trial = task.trial
        return outcome(trial, self._checkpoints.save(trial.id, trial.attempt, _write))

    def request_stop(self, trial: int) -> None:
        """They are over already."""

    def close(self) -> None:
        """Nothing to end."""


class Counting:
    """A CheckpointStore that keeps nothing and counts what is deleted."""

    def __init__(self) -> None:
        self.deleted = 0

    def save(self, trial: int, attempt: int, write: Callable[[Path], None]) -> Checkpoint:
        return Checkpoint(f"{trial}/{attempt}", SIZE_BYTES, "0" * 64)

    def open(self, checkpoint: Checkpoint) -> AbstractContextManager[Path]:
        raise NotImplementedError

    def delete(self, uris: Iterable[str]) -> None:
        self.deleted += sum(1 for _ in uris)

    def list(self) -> Iterable[Stored]:
        return []

    def free_bytes(self) -> int | None:
        return None


def _write(folder: Path) -> None:
    (folder / "state.bin").write_bytes(bytes(SIZE_BYTES))
