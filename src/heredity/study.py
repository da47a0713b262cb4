"""The Study: what users hold. It checks what it is given, and hands all else on.

Making one must stay light: stores, executors and drivers are imported when it runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from heredity import legible
from heredity.errors import UsageError
from heredity.evolution.algorithm import Algorithm
from heredity.evolution.budget import Finals, Limit, as_budget
from heredity.evolution.collect import KeepRule
from heredity.evolution.definition import Definition
from heredity.evolution.objective import Objective
from heredity.executors.program import VectorTrainable, as_vector, setting_of
from heredity.settings import Live, Settings
from heredity.space import Space
from heredity.trainables.command import Command
from heredity.trainables.function import as_trainable
from heredity.trainables.ramps import require_ramps
from heredity.trainables.trainable import Trainable

if TYPE_CHECKING:
    from heredity.asking import Asked
    from heredity.checkpoints.local import LocalCheckpoints
    from heredity.forecast import StudyCheck
    from heredity.log import Listener
    from heredity.result import Result
    from heredity.workshop import AnyExecutor, Workshop


class Study:
    """A named run of an algorithm over a space with a budget.

    Making one checks everything and touches nothing on disk. Running the same script again goes on
    where the study stands. A study of the same name with another definition is refused.

    Args:
        trainable: a subclass of `hd.Trainable`, a callable that makes one, `train(session)`, an
            `hd.Command`, or a `VectorTrainable` of `heredity.jax` or `heredity.torch`.
        space: the hyperparameters.
        objective: `hd.maximize("accuracy")` or `hd.minimize("loss")`; several for algorithms that
            use them, the first of which decides here.
        population: number of members; fewer than about 10 make evolution greedy.
        interval: steps per trial, after which a member may exploit.
        budget: `hd.Steps` for each member, `hd.Trials`, `hd.Seconds`, `hd.Target`, or several. It
            may be raised at any run.
        algorithm: `hd.PBT()` or another.
        name: the study's name within its storage.
        storage: a folder, which holds the log and the checkpoints;
            "postgresql://user@host/database" for a log on a server, with the checkpoints below
            the folder `runs`; ":memory:" for a study that ends with this object.
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
        make = None if self.vector else maker(trainable)
        self.name = study_name(name)
        self.storage = storage
        self.budget = as_budget(budget)
        self.definition = Definition(
            space=space,
            objectives=(objective,) if isinstance(objective, Objective) else tuple(objective),
            population=population,
            interval=interval,
            algorithm=_pbt() if algorithm is None else algorithm,
            seed=seed,
            trainable=trainable_kind(make) if make else "vector",
            initial=tuple(dict(space.check_partial(hparams)) for hparams in initial),
            sampling=sampling,
        )
        self.definition.check()
        _require_legible(self.definition)
        if isinstance(trainable, Command):
            trainable.check(space.names, self.definition.objectives[0].name)
            final_evaluations = final_evaluations if trainable.evaluate is not None else 0
        if getattr(self.definition.algorithm, "ramp", 0.0):
            require_ramps(trainable, self.definition.trainable)
        self.make = make or _single(self.vector, self.definition)
        self.settings = Settings(
            keep, Finals(finalists, final_evaluations), trial_timeout_s, disk_limit_bytes
        )
        self._source = trainable

    def __repr__(self) -> str:
        d = self.definition
        return f"<Study {self.name!r}: {d.population} members, {len(d.space)} hparams>"

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
        return self._workshop.run(executor, on_event, live)

    def begin(self) -> None:
        """Enter the study in its storage, for a service to serve, and run nothing here.

        One that is there already goes on, with the budget it has now.

        Raises:
            DefinitionMismatch: a study of this name has another definition.
        """
        self._workshop.enter()

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
        return self._workshop.check(steps, workers)

    def ask(self, count: int = 1, *, worker: str = "asked") -> list[Asked]:
        """Up to `count` trials to train in a loop of your own; fewer if no more can start now.

        None at all means: complete some that you have, or the study has `ended`, or a person has
        paused it. What was begun by a process that is gone is given out again, and so are sessions
        that were dropped without an end.

        >>> import heredity as hd
        >>> study = hd.Study(None, hd.Space(lr=hd.Uniform(0, 1)), objective=hd.minimize("loss"),
        ...                  interval=5, budget=hd.Steps(20), name="mine", storage=":memory:")
        >>> while sessions := study.ask():
        ...     for session in sessions:
        ...         x, weights = 1.0, session.restore
        ...         if weights is not None:
        ...             x = float((weights / "x").read_text())
        ...         for _ in range(session.steps):
        ...             x -= session.hparams["lr"] * 2 * x
        ...         _ = (session.save / "x").write_text(str(x))
        ...         session.complete(loss=x * x)
        >>> study.ended, study.result.population.ended_count
        (True, 64)

        Args:
            worker: whose trials these are. Processes that ask at the same time need names of their
                own; one that takes over from another, the other's.

        Raises:
            DefinitionMismatch: a study of this name has another definition.
            UsageError: another process asks under this name.
            TrainingError: the study paused since trials kept failing; holds the commonest cause.
        """
        return self._workshop.ask(count, worker)

    @property
    def ended(self) -> bool:
        """Whether the study has ended. One that was never run has not."""
        return self._workshop.ended

    # What a person may do, also while another process runs the study. It is read there within
    # about a second. What is so already is no error.

    def pause(self, reason: str = "by a person") -> None:
        """Start nothing new until `resume`; what runs is finished. `run` waits meanwhile.

        Raises `NotFound` if the study was never run, `UsageError` if it has ended.
        """
        from heredity import hands

        hands.pause(self._workshop.log(), reason)

    def resume(self) -> None:
        """Go on with a study that is paused, or was stopped. `UsageError` if it used its budget."""
        from heredity import hands

        hands.resume(self._workshop.log())

    def stop(self, reason: str = "stopped by a person") -> None:
        """End the study once what runs is finished and the finalists are measured again."""
        from heredity import hands

        hands.stop(self._workshop.log(), reason)

    def pin(self, trial: int) -> None:
        """Keep a trial's checkpoint until `unpin`. `NotFound` if it has none."""
        from heredity import hands

        hands.pin(self._workshop.log(), trial)

    def unpin(self, trial: int) -> None:
        """Take the pin off; the checkpoint goes when nothing else wants it."""
        from heredity import hands

        hands.unpin(self._workshop.log(), trial)

    def change_bounds(self, name: str, low: float, high: float) -> None:
        """Draw and move one hparam within other bounds from here on; members keep the value they
        have until they next explore. `SpaceError` for bounds that it cannot have."""
        from heredity import hands

        hands.change_bounds(self._workshop.log(), name, low, high)

    def inject(self, hparams: Mapping[str, Any], weights_from: int | None = None) -> None:
        """Ask for a trial with these hparams: the weakest of the next members to start carries it
        out. It begins the study if it has not begun.

        Args:
            hparams: complete; outside the prior is fine, outside the bounds is not.
            weights_from: the trial whose weights it begins from; None is from scratch.

        Raises `UsageError` if by the budget no trial will start any more.
        """
        self._workshop.inject(hparams, weights_from)

    @property
    def result(self) -> Result:
        """What the study found so far. `NotFound` if it was never run."""
        return self._workshop.result

    @property
    def folder(self) -> Path:
        """Where the study's checkpoints and logs lie."""
        return self._workshop.folder

    @property
    def checkpoints(self) -> LocalCheckpoints:
        """Where the study's checkpoints lie."""
        return self._workshop.checkpoints

    @cached_property
    def _workshop(self) -> Workshop:
        from heredity.workshop import Workshop

        return Workshop(
            name=self.name,
            storage=self.storage,
            definition=self.definition,
            budget=self.budget,
            settings=self.settings,
            make=self.make,
            vector=self.vector,
            source=self._source,
        )


def open(name: str, storage: str | Path = "runs") -> Result:
    """What a study found, without its code, also while it runs.

    Raises:
        NotFound: no study of this name, or no storage.
    """
    from heredity.workshop import open_result

    return open_result(name, storage)


def _single(vector: VectorTrainable | None, definition: Definition) -> Callable[[], Trainable]:
    assert vector is not None
    return vector.single(setting_of(definition))


def _pbt() -> Algorithm:
    from heredity.evolution.pbt import PBT

    return PBT()


def _require_legible(definition: Definition) -> None:
    """Values with lone surrogates, such as names of files, would not read back as they are."""
    described = definition.as_json()
    if legible.record(described) != described:
        raise UsageError(
            "the study's definition holds text that cannot be written as UTF-8 (a file's name?): "
            f"{legible.text(repr(definition.space))}"
        )


def study_name(name: object) -> str:
    """The name if it can be a folder's: letters, digits, `.`, `_`, `-`, not first a dot."""
    from heredity.stores import DATABASE

    if name == DATABASE:
        raise UsageError(f"a study cannot be named {name!r}, as the database beside it is")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"a study's name is 1 to 100 letters, digits, '.', '_' or '-', not first a dot or "
            f"dash; got {name!r}"
        )
    return name


def maker(trainable: Any) -> Callable[[], Trainable]:
    """What makes a worker's object; of None, what says that there is nothing."""
    return functools.partial(Nothing) if trainable is None else as_trainable(trainable)


class Nothing(Trainable):
    """Stands where a study has no trainable, since a loop of the user's own trains."""

    kind: ClassVar[str] = "asked"

    def __init__(self) -> None:
        raise UsageError(
            "the study was made with None in place of a trainable: what its trials saved is yours "
            "to load, from `best.checkpoint`"
        )


def trainable_kind(make: Callable[[], Any]) -> str:
    """ "class", "function", "command" or "asked": what a definition records of the trainable."""
    return str(getattr(getattr(make, "func", None), "kind", "class"))
