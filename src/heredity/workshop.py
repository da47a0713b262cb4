"""A study's workshop: its store, its checkpoints, and the drivers and executors that work on it.

The heavy half of a study, imported when it runs. It writes no event of its own beyond those a
person asks for, and decides nothing about trials.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from heredity import hands, legible
from heredity.asking import Asked, Asking
from heredity.checkpoints.local import LocalCheckpoints, point_best
from heredity.desk import Desk
from heredity.driver import Driver, attended
from heredity.errors import Conflict, HeredityError, TrainingError, UsageError
from heredity.evolution import events as ev
from heredity.evolution.budget import Limit
from heredity.evolution.decide import failure_limit
from heredity.evolution.definition import Definition, generator
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint, Trial
from heredity.executors.base import Executor, Workload
from heredity.executors.processes import Processes
from heredity.executors.program import OutOfMemory, VectorTrainable
from heredity.executors.vectorized import Vectorized
from heredity.forecast import StudyCheck, disk_problem, forecast
from heredity.log import Listener, Log
from heredity.origin import code_facts, compare
from heredity.recipe import recipe_facts
from heredity.result import Result
from heredity.round_driver import RoundDriver
from heredity.settings import Live, Settings
from heredity.signals import graceful
from heredity.stores import folder_of, open_store
from heredity.stores.base import Store
from heredity.trainables.check import check
from heredity.trainables.revive import revive
from heredity.trainables.trainable import Trainable

AnyExecutor = Executor | Vectorized


class Workshop:
    """Where a study is worked on. Opens what it needs when it is needed."""

    def __init__(
        self,
        *,
        name: str,
        storage: str | Path,
        definition: Definition,
        budget: tuple[Limit, ...],
        settings: Settings,
        make: Callable[[], Trainable],
        vector: VectorTrainable | None,
        source: Any,
    ) -> None:
        self.name = name
        self.storage = storage
        self.definition = definition
        self.budget = budget
        self.settings = settings
        self.make = make
        self.vector = vector
        self.source = source
        self._desk: Desk | None = None
        self._asking: dict[str, Asking] = {}
        self._mutex = threading.Lock()

    def run(self, executor: AnyExecutor | None, on_event: Listener | None, live: Live) -> Result:
        """See `Study.run`."""
        self._require_trainable()
        self.begin(on_event)
        with ExitStack() as opened:
            opened.enter_context(self.store.lock(self.name))
            log = self._open_log(on_event, alone=True)
            if log.population.status != "ended":
                log = self._drive(log, executor or self._default_executor(), live, opened)
            self._require_unpaused(log)
            return self._result(log)

    def check(self, steps: int, workers: int | None) -> StudyCheck:
        """See `Study.check`."""
        self._require_trainable()
        d, keep, count = self.definition, self.settings.keep, self.settings.finals.count
        rng = generator(d.seed, 0, 0, "sample")
        hparams = {**d.space.sample(rng), **(d.initial[0] if d.initial else {})}
        changed = d.space.mutate(hparams, rng)
        report = check(self.make, hparams, d.objectives[0].name, steps=steps, changed=changed)
        free_bytes, slots = self.checkpoints.free_bytes(), workers or Processes().slots
        expected = forecast(d, self.budget, keep, count, slots, report, free_bytes)
        limit = self.settings.disk_limit_bytes
        disk = disk_problem(expected.size_bytes, limit, free_bytes)
        return StudyCheck(report, expected, (*report.problems, *([disk] if disk else ())))

    def inject(self, hparams: Mapping[str, Any], weights_from: int | None) -> None:
        """See `Study.inject`."""
        if self.name not in self.store.studies():
            self.definition.space.check(hparams)  # before anything is written
            self.begin()
        hands.inject(self.log(), hparams, weights_from)

    def ask(self, count: int, worker: str) -> list[Asked]:
        """See `Study.ask`."""
        worker = legible.text(worker)
        with self._mutex:  # threads ask for the same one
            desk = self._desk = self._desk or self._open_desk()
            if worker not in self._asking:
                self._asking[worker] = Asking(desk, worker, self.folder / "asked")
        sessions = self._asking[worker].ask(count)
        if not sessions:
            self._require_no_bug(desk.log)
        return sessions

    def _open_desk(self) -> Desk:
        """Where this process asks for trials; the study is set going."""
        self.begin()
        log = self._open_log()
        self._require_kind(log, vectorized=False)
        d, checkpoints = self.definition, self.checkpoints
        return Desk(log, d, checkpoints, self.settings, new_best=self._point_best)

    @property
    def ended(self) -> bool:
        """See `Study.ended`."""
        if self._desk is not None:
            self._desk.refresh()
            return self._desk.status == "ended"
        begun = self.name in self.store.studies()
        return begun and self.log().population.status == "ended"

    def log(self) -> Log:
        """The study's log as it is now, for what a person does to it."""
        return Log(self.store, self.name)

    def _drive(self, log: Log, executor: AnyExecutor, live: Live, opened: ExitStack) -> Log:
        """Drive the study as far as it goes; the log, which may have been opened anew."""
        from heredity.live import view_of

        doing = "compiling" if isinstance(executor, Vectorized) else "starting"
        view = opened.enter_context(view_of(self.name, live, doing))
        opened.callback(self.checkpoints.remove_spares)
        opened.callback(executor.close)
        while True:
            try:
                driver = self._driver(log, executor, view.show)
                with graceful(driver.stop):
                    driver.run()
                break
            except OutOfMemory as error:
                executor.close()
                log = self._in_smaller_chunks(log, error)
        log.save_snapshot()
        return log

    def _in_smaller_chunks(self, log: Log, error: OutOfMemory) -> Log:
        """The log without what was foreseen on the device, and the next smaller chunk in it."""
        if error.chunk is None:
            raise error
        was = log.population.chunk
        why = f"out of memory with {was} members at once" if was else "out of memory at the start"
        chosen = ev.ChunkChosen(error.chunk, why)
        log = Log(self.store, self.name, log.listener)
        log.append_after_others(lambda population: [chosen])
        return log

    def _driver(
        self, log: Log, executor: AnyExecutor, show: Callable[[Any], None]
    ) -> Driver | RoundDriver:
        """The driver for this kind of executor, which it opens."""
        shared = (self.checkpoints, self.settings, show, self._point_best)
        self._require_kind(log, isinstance(executor, Vectorized))
        if isinstance(executor, Vectorized):
            rounds = RoundDriver(log, self.definition, executor, *shared)
            rounds.open(self._require_vector())
            return rounds
        executor.open(self._workload())
        return Driver(log, self.definition, executor, *shared)

    def _require_trainable(self) -> None:
        if self.source is None:
            raise UsageError(
                f"study {self.name!r} was made with None in place of a trainable, so there is "
                f"nothing to run: train what study.ask() gives, or give it a trainable"
            )

    def _require_vector(self) -> VectorTrainable:
        if self.vector is None:
            raise UsageError(
                "hd.Vectorized trains a VectorTrainable of heredity.jax or heredity.torch; this "
                "study's trainable runs on hd.Processes or hd.Inline"
            )
        return self.vector

    def _require_kind(self, log: Log, vectorized: bool) -> None:
        """Checkpoints of one kind of executor cannot be gone on from by the other."""
        was = log.population.vectorized
        if log.population.ended_count and was != vectorized:
            began = "hd.Vectorized" if was else "another executor"
            raise UsageError(
                f"study {self.name!r} was begun on {began}; go on with it there, or give the new "
                f"study another name"
            )

    def _default_executor(self) -> AnyExecutor:
        return Vectorized() if self.vector is not None else Processes()

    def _workload(self) -> Workload:
        space = self.definition.space
        return Workload(
            trainable=self.make,
            checkpoints=self.checkpoints,
            logs=self.folder / "logs",
            metric=self.definition.objectives[0].name,
            names=space.names,
            interpolate=space.interpolate,
        )

    def _require_unpaused(self, log: Log) -> None:
        if log.population.status == "paused":
            self._require_no_bug(log)
            raise HeredityError(f"study {self.name!r} paused: {log.population.reason}")

    def _require_no_bug(self, log: Log) -> None:
        """Raise if the study is paused since trials kept failing."""
        population = log.population
        failures = population.failures_in_a_row
        if population.status != "paused" or len(failures) < failure_limit(population.lanes):
            return
        errors = [failure.error for failure in failures]
        commonest = max(failures, key=lambda failure: errors.count(failure.error))
        raise TrainingError(
            f"study {self.name!r} paused after {population.reason}. The commonest error, in trial "
            f"{commonest.trial}: {commonest.error}\nCorrect the cause and run the same command "
            f"again; nothing that finished is lost.",
            member=int(population.member[commonest.trial]),
            trial=commonest.trial,
            remote_traceback=commonest.traceback,
        )

    # ------------------------------------------------------------------ the log

    @cached_property
    def store(self) -> Store:
        return open_store(self.storage)

    @cached_property
    def folder(self) -> Path:
        """Where the study's checkpoints and logs lie."""
        if str(self.storage) == ":memory:":
            return Path(tempfile.mkdtemp(prefix="heredity-")) / self.name
        return folder_of(self.name, self.storage)

    @cached_property
    def checkpoints(self) -> LocalCheckpoints:
        """Where the study's checkpoints lie."""
        checkpoints = LocalCheckpoints(self.folder / "checkpoints")
        if str(self.storage) == ":memory:":  # as long as anybody, a result for example, has them
            weakref.finalize(checkpoints, shutil.rmtree, self.folder.parent, ignore_errors=True)
        return checkpoints

    def begin(self, listener: Listener | None = None) -> None:
        """Begin the study unless it has begun."""
        if self.name in self.store.studies():
            return
        code = code_facts(self.source) | recipe_facts(self.source, self.settings)
        created = ev.StudyCreated(self.definition.as_json(), self.budget, code)
        with suppress(Conflict):
            self.store.create(self.name, [created])
            if listener is not None:
                listener(created)

    def enter(self) -> None:
        """See `Study.begin`."""
        self.begin()
        self._open_log()

    def _open_log(self, listener: Listener | None = None, alone: bool = False) -> Log:
        """The study's log, checked against this definition, and set going again; where a driver is
        to hand out the trials `alone`, only if no worker has any."""
        log = Log(self.store, self.name, listener)
        population = log.population
        stored = Definition.from_json(population.definition)
        compare(self.name, stored, self.definition, self.storage)
        if alone:
            self._require_alone(log)
        log.append_after_others(self._going)
        return log

    def _require_alone(self, log: Log) -> None:
        """Raise if workers of a service or loops that asked for trials are at work on some."""
        mine = self._asking
        live = [a for a in attended(log) if a.worker not in mine or mine[a.worker].holds(a.trial)]
        if not live:
            return
        if all(lease.worker in mine for lease in live):
            trials = ", ".join(str(lease.trial) for lease in live)
            raise UsageError(
                f"study {self.name!r} is at work on what study.ask() gave here: complete or fail "
                f"trial {trials} before study.run()"
            )
        last = {lease.worker: lease.left_s for lease in sorted(live, key=lambda a: a.left_s)}
        listed = ", ".join(f"{worker} (for {left_s:.0f} s yet)" for worker, left_s in last.items())
        raise UsageError(
            f"study {self.name!r} is being trained by workers that ask for its trials, and hold "
            f"some until they are silent for long enough: {listed}. Stop them and their service, "
            f"or leave the study to them; then run it again once these times have passed"
        )

    def _going(self, population: Population) -> list[ev.Event]:
        """What sets a study going that is paused, was stopped, or has another budget."""
        stopped = population.status == "ended" and population.stopped
        events: list[ev.Event] = []
        if population.status == "paused" or stopped:
            events.append(ev.StudyResumed())
        if population.budget != self.budget:
            events.append(ev.BudgetChanged(self.budget))
        return events

    def _result(self, log: Log) -> Result:
        return Result(log, self.checkpoints, self._load)

    def _load(self, trial: Trial, folder: Path) -> Any:
        """A trained member from its saved state: for `Result`."""
        row = trial.checkpoint.row if trial.checkpoint else None
        if row is None:
            return revive(self.make, trial, folder, self.definition.objectives[0].name)
        program = self._require_vector().program("auto", None)
        return program.member(folder, row, trial.hparams, self.definition.space)

    def _point_best(self, checkpoint: Checkpoint) -> None:
        point_best(self.folder / "best", self.checkpoints.root / checkpoint.uri)

    @property
    def result(self) -> Result:
        """See `Study.result`."""
        return self._result(self.log())


def open_result(name: str, storage: str | Path) -> Result:
    """See `heredity.open`."""
    store = open_store(storage, read_only=True)
    checkpoints = LocalCheckpoints(folder_of(name, storage) / "checkpoints")
    return Result(Log(store, name), checkpoints)
