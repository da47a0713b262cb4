"""Ask and tell: trials for a loop that the user owns.

    ask       a session for each trial that can start now, and for those begun and never ended
    tell      session.report, session.complete or session.fail

What is asked for is handed out by a desk, like a request of a service. A thread says now and then
that this process still works on it. It trains nothing and decides nothing.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from heredity.claim import claim
from heredity.desk import Desk
from heredity.errors import CheckpointCorrupt, HeredityError, TrainingError, UsageError
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Failed, Measured, Task
from heredity.trainables.metrics import as_metrics, demand, mean_of
from heredity.trainables.seeds import part_seed
from heredity.trainables.session import Session
from heredity.trainables.traces import one_line, user_frames

LOOK_S = 1.0
"""How old the answer to `stop_requested` may be."""


class Asked(Session):
    """A trial to run in one's own loop: a session that is ended by `complete` or `fail`.

    Restore from the folder `restore` unless it is None, train from step `start` to `stop` with
    `hparams`, write all that training needs to go on into the folder `save`, and complete. Of kind
    "evaluate" there is nothing to train (`steps` is 0) or save: only measure again.
    """

    def __init__(self, held: Held, repeat: int | None = None) -> None:
        record = held.task.trial
        if repeat is not None:
            seed = part_seed(record.seed, "evaluate", repeat)
            record = replace(record, evaluations=1, seed=seed)
        super().__init__(
            record,
            metric=held.asking.metric,
            save=held.save,
            restore=held.restore,
            measured=held.measured,
            stop_requested=held.stop_requested,
            interpolate=held.asking.desk.definition.space.interpolate,
        )
        self._held = held
        self._told = False

    def __repr__(self) -> str:
        return f"<Asked: {self.kind} trial {self.trial}, steps {self.start} to {self.stop}>"

    def complete(
        self,
        metrics: Mapping[str, Any] | float | None = None,
        /,
        step: int | None = None,
        **more: Any,
    ) -> None:
        """End the trial with its result; what was written to `save` is its checkpoint.

        Does nothing if the trial was given up meanwhile, and another attempt has ended it.

        Args:
            metrics: a number, or numbers by name, as keywords too; without any, the last report is
                the result.
            step: where training ended, if that was before `stop`.

        Raises `TrainingError`, and leaves the trial open, if the objective is missing, nothing was
        saved, or something that was handed over was not used: a restored state, an hparam.
        """
        self._require_open()
        values = {**({} if metrics is None else as_metrics(metrics, self.metric)), **more}
        if values:
            self.report(step, **values)
        if step is not None:
            self.conclude(self.result, self.checked_step(step))
        if self.evaluations:
            demand(self.metric, self.result, "complete()")
        self.require_used("the loop")
        self.require_consumed(self._held.asking.names)
        self._held.complete(self)
        self._told = True

    def fail(self, error: BaseException | str) -> None:
        """End this attempt without a result: the trial is tried once more, then its member gets a
        new start."""
        self._require_open()
        self._held.fail(error)
        self._told = True

    def _require_open(self) -> None:
        if self._told:
            raise UsageError(f"this session of trial {self.trial} was completed or failed before")


class Held:
    """One attempt of a trial that this process works on, while a session of it is there."""

    def __init__(self, asking: Asking, task: Task) -> None:
        self.asking = asking
        self.task = task
        self._files = ExitStack()
        self._began = time.monotonic()
        self._heard = time.monotonic()
        self._stop = False
        self._results: list[dict[str, float]] = []
        store, trial = asking.desk.checkpoints, task.trial
        opened = None if task.restore is None else store.open(task.restore)
        self.restore = None if opened is None else self._files.enter_context(opened)
        self.save = _emptied(asking.folder / f"{trial.id}-{trial.attempt}")
        self._files.callback(shutil.rmtree, self.save, ignore_errors=True)

    def sessions(self) -> list[Asked]:
        """One, or for evaluations one for each, with fresh seeds."""
        trial = self.task.trial
        if trial.kind == "train":
            return [Asked(self)]
        return [Asked(self, repeat) for repeat in range(trial.evaluations)]

    # Signs of life -----------------------------------------------------------------------

    def beat(self, *measured: Measured) -> None:
        """Renew the lease, and hear whether to stop."""
        trial, desk = self.task.trial, self.asking.desk
        beat = desk.heartbeat(self.asking.worker, trial.id, trial.attempt, measured)
        self._stop, self._heard = self._stop or beat.stop, time.monotonic()

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass an intermediate measurement on."""
        self.beat(Measured(self.task.trial.id, self.task.trial.attempt, step, metrics))

    def stop_requested(self) -> bool:
        """Whether to end early; also when the trial has ended elsewhere."""
        if not self._stop and time.monotonic() - self._heard >= LOOK_S:
            self.beat()
        return self._stop

    # Ends --------------------------------------------------------------------------------

    def complete(self, session: Asked) -> None:
        """Save and report; of several evaluations, once all have their result."""
        trial = self.task.trial
        results = [*self._results, session.result]
        if trial.kind == "evaluate" and len(results) < trial.evaluations:
            self._results = results
            return
        metrics = mean_of(results)
        checkpoint, elapsed_s = self._saved(session), self._elapsed_s
        done = Completed(trial.id, trial.attempt, session.reached, metrics, checkpoint, elapsed_s)
        self.asking.desk.complete(self.asking.worker, done)
        self.close()

    def fail(self, error: BaseException | str) -> None:
        """Report that the attempt ended without a result."""
        trial, elapsed_s = self.task.trial, self._elapsed_s
        failed = Failed(trial.id, trial.attempt, "error", str(error), elapsed_s=elapsed_s)
        if isinstance(error, BaseException):
            corrupt, frames = isinstance(error, CheckpointCorrupt), user_frames(error)
            failed = replace(failed, error=one_line(error), traceback=frames, corrupt=corrupt)
        self.asking.desk.fail(self.asking.worker, failed)
        self.close()

    def close(self) -> None:
        """Let go of the trial and of its folders."""
        self._files.close()
        self.asking.let_go(self)

    def _saved(self, session: Asked) -> Checkpoint | None:
        if not session.keeps:
            return None
        if not any(self.save.iterdir()):
            raise TrainingError(
                "nothing was saved: write all that training needs to go on into the folder "
                "session.save before session.complete(), or nothing can be inherited"
            )
        trial = self.task.trial
        return self.asking.desk.checkpoints.save(trial.id, trial.attempt, self._copy)

    def _copy(self, folder: Path) -> None:
        shutil.copytree(self.save, folder, symlinks=True, copy_function=_link, dirs_exist_ok=True)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began


class Asking:
    """What one worker, by its name, has asked for and not ended. Threads may share it.

    Args:
        folder: for what the trials save until they are complete.

    Raises `UsageError` if another process asks under this name.
    """

    def __init__(self, desk: Desk, worker: str, folder: Path) -> None:
        self.desk = desk
        self.worker = worker
        self.folder = folder
        self.metric = desk.definition.objectives[0].name
        self.names = desk.definition.space.names
        self._held: WeakValueDictionary[int, Held] = WeakValueDictionary()
        self._ready: deque[Asked] = deque()
        self._mutex = threading.RLock()
        self._heart: threading.Thread | None = None
        self._claim = claim(folder.parent, worker)
        self._sweep()

    def ask(self, count: int) -> list[Asked]:
        """See `Study.ask`."""
        with self._mutex:
            if len(self._ready) < count:
                self._fetch(count - len(self._ready))
            self._keep_alive()
            return [self._ready.popleft() for _ in range(min(count, len(self._ready)))]

    def holds(self, trial: int) -> bool:
        """Whether a session of this trial is still there to be completed."""
        return trial in self._held

    def let_go(self, held: Held) -> None:
        """An attempt has ended."""
        with self._mutex:
            trial = held.task.trial.id
            if self._held.get(trial) is held:
                del self._held[trial]

    def _fetch(self, count: int) -> None:
        """Get sessions ready for as many more trials as the desk has."""
        for task in self.desk.suggest(self.worker, len(self._held) + count):
            trial = task.trial
            held = self._held.get(trial.id)
            if held is None or held.task.trial.attempt != trial.attempt:
                self._hold(task)

    def _hold(self, task: Task) -> None:
        trial = task.trial
        try:
            held = Held(self, task)
        except HeredityError as error:
            corrupt = isinstance(error, CheckpointCorrupt)
            failed = Failed(trial.id, trial.attempt, "error", one_line(error), corrupt=corrupt)
            self.desk.fail(self.worker, failed)
            return
        self._held[trial.id] = held
        self._ready.extend(held.sessions())

    def _sweep(self) -> None:
        """Remove what was being saved for trials that have ended since."""
        population = self.desk.log.population
        for left in self.folder.glob("*-*"):
            number = left.name.partition("-")[0]
            if number.isdigit() and not population.is_open(int(number)):
                shutil.rmtree(left, ignore_errors=True)

    def _keep_alive(self) -> None:
        if self._held and (self._heart is None or not self._heart.is_alive()):
            self._heart = threading.Thread(target=self._beat, name="heredity-asked", daemon=True)
            self._heart.start()

    def _beat(self) -> None:
        """Renew the leases, however long the loop trains, until there is nothing to renew."""
        while True:
            time.sleep(self.desk.lease_s / 3)
            with self._mutex:
                held = list(self._held.values())
                if not held:
                    self._heart = None
                    return
            for one in held:
                with suppress(HeredityError):  # a lease may end: what is completed still counts
                    one.beat()


def _emptied(folder: Path) -> Path:
    """The folder, without what a process that is gone left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _link(source: str, target: str) -> None:
    """The same file at two places, if the system can; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
