"""What a study found: read from its log, while it runs or after.

A result reads and never writes. With the study's code at hand it also loads models; without, it
gives everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heredity.analysis.schedule import Schedule, schedule
from heredity.checkpoints.base import CheckpointStore
from heredity.errors import CheckpointError, MissingExtra, NotFound, UsageError
from heredity.evolution.events import Event
from heredity.evolution.population import Population
from heredity.evolution.state import Confirmation
from heredity.evolution.trial import Checkpoint, Trial
from heredity.log import Log

if TYPE_CHECKING:
    import pandas

    from heredity.live.runners import Runners

Load = Callable[[Trial, Path], Any]
"""Loads a trial's saved state from its folder, as something to use."""


@dataclass(frozen=True)
class Best:
    """A trial as a model to use.

    Attributes:
        trial: its whole record.
        confirmation: its second measurement with fresh seeds, if it was a finalist.
    """

    trial: Trial
    confirmation: Confirmation | None
    _store: CheckpointStore
    _load: Load | None

    @property
    def score(self) -> float:
        """The score of its own evaluation, in the user's units. Selection makes it optimistic.

        Raises `NotFound` for a trial that has none.
        """
        if self.trial.score is None:
            raise NotFound(f"trial {self.trial.id} has no score: it is {self.trial.status}")
        return self.trial.score

    @property
    def confirmed(self) -> float | None:
        """The mean of fresh evaluations at the end of the study; None before."""
        return None if self.confirmation is None else self.confirmation.score

    @property
    def hparams(self) -> Mapping[str, Any]:
        """The hparams of its last trial; `Result.schedule` gives all that trained it."""
        return self.trial.hparams

    @property
    def metrics(self) -> Mapping[str, float]:
        """All metrics of its evaluation, held-out ones too."""
        return self.trial.metrics

    @property
    def checkpoint(self) -> Path:
        """The folder of its saved state, verified. Copy it to keep it beyond the study."""
        with self.opened() as folder:
            return folder

    def opened(self) -> AbstractContextManager[Path]:
        """The folder of its saved state, verified, for use within a `with` block."""
        return self._store.open(self._saved)

    def load(self) -> Any:
        """The trained member: a Trainable that is prepared, set up, loaded and configured; of a
        vector trainable its state, in the structure that `init` returns.

        Raises `UsageError` without the study's code, and for trainables that are functions, whose
        state is theirs to load from `checkpoint`.
        """
        if self._load is None:
            raise UsageError(
                "the study's code is not at hand: use the result of Study.run() or Study.result, "
                "or load the files in `best.checkpoint` yourself"
            )
        with self.opened() as folder:
            return self._load(self.trial, folder)

    @property
    def _saved(self) -> Checkpoint:
        if self.trial.checkpoint is None:
            raise CheckpointError(
                f"the checkpoint of trial {self.trial.id} was released; keep='lineage' or "
                f"keep='all' keeps more of them"
            )
        return self.trial.checkpoint


class Result:
    """A study's outcome so far: `best`, `trials`, `schedule()`, `frame()`.

    Made by `Study.run`, `Study.result` and `hd.open`. It shows the log as it was when made;
    `refresh` reads on.
    """

    def __init__(self, log: Log, store: CheckpointStore, load: Load | None = None) -> None:
        self._log, self._store, self._load = log, store, load

    def __repr__(self) -> str:
        p = self.population
        return f"<Result of {self.name!r}: {p.status}, {p.ended_count} trials ended>"

    @property
    def name(self) -> str:
        """The study's name."""
        return self._log.study

    @property
    def population(self) -> Population:
        """The whole state, for analysis."""
        return self._log.population

    @property
    def status(self) -> str:
        """running, paused, stopping or ended. One that nobody runs is "running" too: see
        `runners`."""
        return str(self.population.status)

    @property
    def runners(self) -> Runners:
        """Who runs it at this moment; false if nobody does."""
        from heredity.live.runners import runners_of

        return runners_of(self._log)

    @property
    def reason(self) -> str:
        """Why it is paused, stopping or ended."""
        return self.population.reason

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, over all runs."""
        return self._log.store.alive_s(self.name)

    @property
    def best(self) -> Best:
        """The best model so far: the highest mean of the last `average` scores along its lineage,
        ties to the earlier trial; once finalists are confirmed, the one confirmed highest.

        Raises `NotFound` before the first score.
        """
        best = self.population.best
        if best is None:
            raise NotFound(f"study {self.name!r} has {self._why_no_score()}")
        return self.model(best)

    def _why_no_score(self) -> str:
        p = self.population
        last = next((t for t in reversed(range(len(p))) if p.status_of(t) == "diverged"), None)
        if last is None:
            return "no score yet"
        return f"no score: {p.diverged} trials diverged, the last since {p.trial(last).error}"

    def model(self, trial: int) -> Best:
        """Any trial as a model to use."""
        record = self.population.trial(trial)
        confirmation = self.population.confirmed.get(trial)
        return Best(record, confirmation, self._store, self._load)

    @property
    def trials(self) -> list[Trial]:
        """Every trial, in order of proposal."""
        return [self.population.trial(trial) for trial in range(len(self.population))]

    @property
    def events(self) -> Sequence[Event]:
        """The whole log, in order; what each event means stands in `heredity.evolution.events`."""
        return self._log.store.read(self.name)

    def schedule(self, trial: int | None = None) -> Schedule:
        """The hparams that trained a trial's weights, step by step; the best one's by default."""
        known = self.best.trial if trial is None else self.population.trial(trial)
        return schedule(self.population, known.id)

    def frame(self) -> pandas.DataFrame:
        """One row a trial, hparams and metrics as columns `hparams.…` and `metrics.…`."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("frames", "Result.frame()", "pandas") from None
        return pandas.DataFrame([_row(trial) for trial in self.trials])

    def refresh(self) -> Result:
        """Read what was appended since; returns itself."""
        self._log.refresh()
        return self

    def close(self) -> None:
        """Let go of the store."""
        self._log.store.close()


def _row(trial: Trial) -> dict[str, Any]:
    row = {k: v for k, v in asdict(trial).items() if k not in ("hparams", "metrics", "checkpoint")}
    row |= {f"hparams.{name}": value for name, value in trial.hparams.items()}
    return row | {f"metrics.{name}": value for name, value in trial.metrics.items()}
