"""The Worker: runs one trial after another with one live object, and reports.

What every executor shares: restoring, the checks at the end, saving, and turning whatever user code
does into a report. It decides nothing, stores no event and knows no process.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heredity.errors import CheckpointCorrupt, TrainingError
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Failed, Measured, Task, Workload
from heredity.trainables.session import Session
from heredity.trainables.traces import one_line, user_frames
from heredity.trainables.trainable import Trainable

Emit = Callable[[Measured], None]
StopRequested = Callable[[], bool]


@dataclass(frozen=True)
class Held:
    """What the live object holds: exactly these weights, trained with these hparams."""

    checkpoint: Checkpoint
    hparams: Mapping[str, Any]


class _NotKept(Exception):
    """Leaves `CheckpointStore.save` with nothing published."""


class Worker:
    """Runs trials one at a time. It keeps its object alive so that a member can simply continue.

    Attributes:
        name: fit to be recorded, for example "worker 1".
        device: where the object trains.
        held: what the live object holds, if it may be continued.
    """

    def __init__(self, workload: Workload, name: str = "inline", device: str = "cpu") -> None:
        self.workload = workload
        self.name = name
        self.device = device
        self.held: Held | None = None
        self._trainable: Trainable | None = None

    def run(
        self, task: Task, emit: Emit, stop_requested: StopRequested = lambda: False
    ) -> Completed | Failed:
        """Run one attempt of a trial to its end.

        Whatever user code raises becomes a `Failed`, and the live object is dropped with it: nobody
        knows its state. KeyboardInterrupt drops the object and passes through.
        """
        began = time.perf_counter()
        try:
            session, checkpoint = self._attempt(task, emit, stop_requested)
        except (Exception, SystemExit) as error:
            message, frames = one_line(error), user_frames(error)
            corrupt = isinstance(error, CheckpointCorrupt)
        except BaseException:
            self._drop()
            raise
        else:
            return _completed(task, session, checkpoint, time.perf_counter() - began)
        self._drop()
        elapsed_s = time.perf_counter() - began
        trial = task.trial
        return Failed(trial.id, trial.attempt, "error", message, frames, elapsed_s, corrupt)

    def _drop(self) -> None:
        """Let go of the object, and of the device memory that cycles through it may hold."""
        self._trainable = self.held = None
        gc.collect()

    def _attempt(
        self, task: Task, emit: Emit, stop_requested: StopRequested
    ) -> tuple[Session, Checkpoint | None]:
        _check_possible(task)
        trainable = self._live()
        continues = self._continues(task)
        self.held = None
        with self._restored(task, continues) as restore:
            session = self._session(task, restore, continues, emit, stop_requested)
            checkpoint = self._perform(task, session, trainable)
        if trainable.resident and (holds := checkpoint or _measured_again(task)):
            self.held = Held(holds, dict(task.trial.hparams))
        return session, checkpoint

    def _live(self) -> Trainable:
        """The live object, made and prepared on first use and after a failure."""
        if self._trainable is None:
            trainable = self.workload.trainable()
            trainable.device = self.device
            trainable.prepare()
            self._trainable = trainable
        return self._trainable

    def _continues(self, task: Task) -> bool:
        trial = task.trial
        return (
            self.held is not None
            and task.restore is not None
            and self.held == Held(task.restore, dict(trial.hparams))
            and trial.ramp_from is None
        )

    def _restored(self, task: Task, continues: bool) -> AbstractContextManager[Path | None]:
        if task.restore is None or continues:
            return nullcontext()
        return self.workload.checkpoints.open(task.restore)

    def _session(
        self,
        task: Task,
        restore: Path | None,
        continues: bool,
        emit: Emit,
        stop_requested: StopRequested,
    ) -> Session:
        trial = task.trial

        def measured(step: int, metrics: Mapping[str, float]) -> None:
            emit(Measured(trial.id, trial.attempt, step, metrics))

        return Session(
            trial,
            metric=self.workload.metric,
            restore=restore,
            device=self.device,
            continues=continues,
            measured=measured,
            stop_requested=stop_requested,
            interpolate=self.workload.interpolate,
        )

    def _perform(self, task: Task, session: Session, trainable: Trainable) -> Checkpoint | None:
        """Run the trial inside the store's `save`, so that functions write to its folder itself."""

        def write(folder: Path) -> None:
            session.save = folder
            trainable.run(session)
            session.require_consumed(self.workload.names)
            if not session.keeps:
                raise _NotKept

        save = self.workload.checkpoints.save if session.kind == "train" else _save_nowhere
        try:
            return save(task.trial.id, task.trial.attempt, write)
        except _NotKept:
            return None


def _check_possible(task: Task) -> None:
    trial = task.trial
    if trial.weights_from is not None and task.restore is None:
        raise TrainingError(f"trial {trial.id} came without the checkpoint of {trial.weights_from}")
    if trial.transform is not None:
        raise TrainingError(
            f'transform "{trial.transform}" is not possible: a Trainable loads weights as they are'
        )


def _measured_again(task: Task) -> Checkpoint | None:
    """An evaluation leaves the object with the weights it restored."""
    return task.restore if task.trial.kind == "evaluate" else None


def _save_nowhere(trial: int, attempt: int, write: Callable[[Path], None]) -> None:
    """Stands in for `CheckpointStore.save` where nothing is to be kept."""
    with tempfile.TemporaryDirectory(prefix="heredity-") as folder:
        write(Path(folder))


def _completed(
    task: Task, session: Session, checkpoint: Checkpoint | None, elapsed_s: float
) -> Completed:
    return Completed(
        trial=task.trial.id,
        attempt=task.trial.attempt,
        reached=session.reached,
        metrics=session.result,
        checkpoint=checkpoint,
        elapsed_s=elapsed_s,
        unverified=session.unverified,
    )
