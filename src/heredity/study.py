"""The Study: what users hold. It checks what it is given, opens what it needs, and runs a driver.

It decides nothing about trials and writes no event of its own beyond those a person asks for.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from heredity.checkpoints.local import LocalCheckpoints, point_best
from heredity.driver import Driver, Settings
from heredity.errors import Conflict, HeredityError, NotFound, TrainingError, UsageError
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Algorithm
from heredity.evolution.budget import Limit, as_budget
from heredity.evolution.collect import KeepRule
from heredity.evolution.decide import Finals, failure_limit
from heredity.evolution.definition import Definition, generator
from heredity.evolution.objective import Objective
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint, Trial
from heredity.evolution.view import bounded
from heredity.executors.base import Executor, Workload
from heredity.executors.processes import Processes
from heredity.executors.program import VectorTrainable, as_vector
from heredity.executors.vectorized import Vectorized
from heredity.forecast import StudyCheck, disk_problem, forecast
from heredity.log import Listener, Log
from heredity.origin import code_facts, compare, study_name, trainable_kind
from heredity.result import Result
from heredity.round_driver import RoundDriver, setting_of
from heredity.signals import graceful
from heredity.space import Space
from heredity.stores import open_store
from heredity.stores.base import Store
from heredity.trainables.check import check
from heredity.trainables.function import as_trainable
from heredity.trainables.revive import revive

Live = Literal["auto", "off"]
AnyExecutor = Executor | Vectorized


class Study:
    """A named run of an algorithm over a space with a budget.

    Making one checks everything and touches nothing on disk. Running the same script again goes on
    where the study stands. A study of the same name with another definition is refused.

    Args:
        trainable: a subclass of `hd.Trainable`, a callable that makes one, `train(session)`, or a
            `VectorTrainable` of `heredity.jax` or `heredity.torch`.
        space: the hyperparameters.
        objective: `hd.maximize("accuracy")` or `hd.minimize("loss")`; several for algorithms that
            use them, the first of which decides here.
        population: number of members; fewer than about 10 make evolution greedy.
        interval: steps per trial, after which a member may exploit.
        budget: `hd.Steps` for each member, `hd.Trials`, `hd.Seconds`, `hd.Target`, or several. It
            may be raised at any run.
        algorithm: `hd.PBT()` or another.
        name: the study's name within its storage.
        storage: a folder, which holds the log and the checkpoints; ":memory:" for a study that
            ends with this object.
        seed: of all randomness.
        initial: known good hparams for the first members; what they leave out is sampled.
        sampling: "independent", or "sobol" for a low-discrepancy first population (needs scipy).
        keep: which checkpoints are kept: those "needed", the "lineage" of all that is needed, or
            "all".
        finalists, final_evaluations: the best ones are measured again so often at the end.
        trial_timeout_s: a trial's time limit; by default 20 × the median, at least 10 minutes.
        disk_limit_bytes: pause the study when its checkpoints take more.

    Raises:
        UsageError: for anything that cannot work, before anything runs.
    """

    def __init__(
        self,
        trainable: Any,
        space: Space,
        *,
        objective: Objective | Sequence[Objective],
        population: int = 16,
        interval: int,
        budget: Limit | Sequence[Limit],
        algorithm: Algorithm | None = None,
        name: str,
        storage: str | Path = "runs",
        seed: int = 0,
        initial: Sequence[Mapping[str, Any]] = (),
        sampling: Literal["independent", "sobol"] = "independent",
        keep: KeepRule = "needed",
        finalists: int = 3,
        final_evaluations: int = 10,
        trial_timeout_s: float | None = None,
        disk_limit_bytes: int | None = None,
    ) -> None:
        self.vector = as_vector(trainable)
        make = None if self.vector else as_trainable(trainable)
        self.name = study_name(name)
        self.storage = storage
        self.budget = as_budget(budget)
        self.definition = Definition(
            space=space,
            objectives=(objective,) if isinstance(objective, Objective) else tuple(objective),
            population=population,
            interval=interval,
            algorithm=PBT() if algorithm is None else algorithm,
            seed=seed,
            trainable=trainable_kind(make) if make else "vector",
            initial=tuple(dict(space.check_partial(hparams)) for hparams in initial),
            sampling=sampling,
        )
        self.definition.check()
        self.make = make or self._require_vector().single(setting_of(self.definition))
        self.settings = Settings(
            keep, Finals(finalists, final_evaluations), trial_timeout_s, disk_limit_bytes
        )
        self._source = trainable

    def __repr__(self) -> str:
        d = self.definition
        return f"<Study {self.name!r}: {d.population} members, {len(d.space)} hparams>"

    # ------------------------------------------------------------------ running

    def run(
        self,
        executor: AnyExecutor | None = None,
        *,
        on_event: Listener | None = None,
        live: Live = "auto",
    ) -> Result:
        """Go on from where the study stands until its budget is used; return what was found.

        The first Ctrl-C lets running trials finish and returns, the second stops at once; either
        way the same call goes on later.

        Args:
            executor: where trials run; by default one device for vector trainables, else a worker
                process per GPU, else per core.
            on_event: called with every event once it is written.
            live: "auto" shows a live view in a terminal and plain lines elsewhere; "off" nothing.

        Raises:
            DefinitionMismatch: a study of this name has another definition.
            TrainingError: the study paused since trials kept failing; holds the commonest cause.
        """
        self._create(on_event)
        with ExitStack() as opened:
            opened.enter_context(self._store.lock(self.name))
            log = self._open_log(on_event)
            if log.population.status != "ended":
                self._drive(log, executor or self._default_executor(), live, opened)
            self._require_unpaused(log)
            return self._result(log)

    def check(self, steps: int = 3, workers: int | None = None) -> StudyCheck:
        """Try the training with a few steps, here and now, before a study is trusted to it.

        Straight training must equal training that is saved, loaded into a fresh object and gone on
        with; every hparam must be used and changed ones in force; the score must be finite. From
        the times and the checkpoint's size follows a forecast. Nothing is added to the study.

        Args:
            steps: how many to train in each part.
            workers: how many the forecast is for; by default what `run` would use.

        Raises `TrainingError` with the user's own frames if the code raises anything.
        """
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

    def _drive(self, log: Log, executor: AnyExecutor, live: Live, opened: ExitStack) -> None:
        from heredity.live import view_of

        view = opened.enter_context(view_of(self.name, live))
        opened.callback(executor.close)
        driver = self._driver(log, executor, view.show)
        with graceful(driver.stop):
            driver.run()
        log.save_snapshot()

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

    def _require_vector(self) -> VectorTrainable:
        if self.vector is None:
            raise UsageError(
                "hd.Vectorized trains a VectorTrainable of heredity.jax or heredity.torch; this "
                "study's trainable runs on hd.Processes or hd.Inline"
            )
        return self.vector

    def _require_kind(self, log: Log, vectorized: bool) -> None:
        """Checkpoints of one kind of executor cannot be gone on from by the other."""
        was = bool(log.population.resident[1])
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
        population = log.population
        if population.status != "paused":
            return
        failures = population.failures_in_a_row
        if len(failures) < failure_limit(population.lanes):
            raise HeredityError(f"study {self.name!r} paused: {population.reason}")
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
    def _store(self) -> Store:
        return open_store(self.storage)

    @cached_property
    def folder(self) -> Path:
        """Where the study's checkpoints and logs lie."""
        if str(self.storage) == ":memory:":
            return Path(tempfile.mkdtemp(prefix="heredity-")) / self.name
        return Path(self.storage).absolute() / self.name

    @cached_property
    def checkpoints(self) -> LocalCheckpoints:
        """Where the study's checkpoints lie."""
        checkpoints = LocalCheckpoints(self.folder / "checkpoints")
        if str(self.storage) == ":memory:":  # as long as anybody, a result for example, has them
            weakref.finalize(checkpoints, shutil.rmtree, self.folder.parent, ignore_errors=True)
        return checkpoints

    def _create(self, listener: Listener | None = None) -> None:
        """Begin the study unless it has begun."""
        if self.name in self._store.studies():
            return
        code = code_facts(self._source)
        created = ev.StudyCreated(self.definition.as_json(), self.budget, code)
        with suppress(Conflict):
            self._store.create(self.name, [created])
            if listener is not None:
                listener(created)

    def _open_log(self, listener: Listener | None = None) -> Log:
        """The study's log, checked against this definition, and set going again."""
        log = Log(self._store, self.name, listener)
        population = log.population
        compare(self.name, Definition.from_json(population.definition), self.definition)
        log.append_after_others(self._going)
        return log

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
        """What the study found so far. `NotFound` if it was never run."""
        return self._result(Log(self._store, self.name))

    # ------------------------------------------------------------------ people

    def inject(self, hparams: Mapping[str, Any], weights_from: int | None = None) -> None:
        """Ask for a trial with these hparams: the weakest of the next members to start carries it
        out, also while another process runs the study.

        Args:
            hparams: complete; outside the prior is fine, outside the bounds is not.
            weights_from: the trial whose weights it begins from; None is from scratch.
        """
        if self.name not in self._store.studies():
            self.definition.space.check(hparams)  # before anything is written
            self._create()
        log = Log(self._store, self.name)
        checked = bounded(self.definition.space, log.population).check(hparams)
        if weights_from is not None and not log.population.has_checkpoint(weights_from):
            raise NotFound(f"trial {weights_from} has no checkpoint to begin from")
        log.append_after_others(
            lambda population: [
                ev.TrialInjected(population.next_injection(), checked, weights_from)
            ]
        )


def open(name: str, storage: str | Path = "runs") -> Result:
    """What a study found, without its code, also while it runs.

    Raises:
        NotFound: no study of this name, or no storage.
    """
    store = open_store(storage, read_only=True)
    checkpoints = LocalCheckpoints(Path(storage).absolute() / name / "checkpoints")
    return Result(Log(store, name), checkpoints)
