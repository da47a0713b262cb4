"""The Trainable: what a user writes to build, train, evaluate, save and load one member.

This file fixes the order in which a trial calls those methods, and the checks between them. It
knows nothing of where the trial runs, where checkpoints live or why the trial was proposed.
"""

from __future__ import annotations

import filecmp
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

from heredity.errors import TrainingError
from heredity.trainables.metrics import as_metrics, demand, mean_of
from heredity.trainables.session import Session

RAMP_POINTS = 10
"""How many times `configure` is called over a ramp."""


class Trainable:
    """One member of a population. Subclass it and write its methods, `setup` to `load`.

    A worker makes one object and calls `prepare` once, then for each trial
    `[setup → load] → configure → train → evaluate → save`. A member that simply continues where
    the object stands is neither set up nor loaded again.

    Python's, NumPy's and torch's global generators are seeded before `setup`, `train` and each
    `evaluate`. Draw from them, or from a generator made of `self.session.seed` in the same method:
    a generator kept from `setup` would draw other numbers after a load.

    Attributes:
        session: the running trial: `self.session.report(step=…, loss=…)` adds a measurement.
        hparams: the hparams in force, for example `self.hparams["lr"]`.
        device: where to train, set before `prepare`: "cpu", "cuda:0", …
    """

    session: Session
    hparams: Mapping[str, Any]
    device: str = "cpu"

    resident: ClassVar[bool] = True
    """The object holds its member between trials, so one that continues need not be loaded."""

    # Written by the user ---------------------------------------------------------------

    def prepare(self) -> None:
        """Get ready, once per worker: read the data, warm up the device."""

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        """Build the member afresh: before every start and every load. Replace all its state."""
        raise NotImplementedError(_missing(self, "setup(self, hparams, seed)"))

    def configure(self, hparams: Mapping[str, Any]) -> None:
        """Bring hparams into force on the live member: after every load and at every change."""

    def train(self, steps: int) -> int | None:
        """Train this many steps. Return how many were done if it ended early, else None."""
        raise NotImplementedError(_missing(self, "train(self, steps)"))

    def evaluate(self) -> Any:
        """Measure the member: a number, or a mapping of metric name to number."""
        raise NotImplementedError(_missing(self, "evaluate(self)"))

    def save(self, directory: Path) -> None:
        """Write all that training needs to go on (weights, optimizer state, counters)."""
        raise NotImplementedError(_missing(self, "save(self, directory)"))

    def load(self, directory: Path) -> None:
        """Read what `save` wrote, into a member that was just set up."""
        raise NotImplementedError(_missing(self, "load(self, directory)"))

    def in_force(self) -> Mapping[str, Any]:
        """The values really in force, as far as they can be read back; verified if given."""
        return {}

    # Written by framework helpers ------------------------------------------------------

    def building(self) -> AbstractContextManager[Any]:
        """Entered around `setup`."""
        return nullcontext()

    def training(self) -> AbstractContextManager[Any]:
        """Entered around `train`."""
        return nullcontext()

    def evaluating(self) -> AbstractContextManager[Any]:
        """Entered around `evaluate`."""
        return nullcontext()

    def same_state(self, one: Path, other: Path) -> bool:
        """Whether two folders that `save` wrote hold the same state; byte for byte by default."""
        return same_files(one, other)

    # One trial -------------------------------------------------------------------------

    def run(self, session: Session) -> None:
        """Perform one trial: the order of calls that every Trainable can rely on."""
        self.session, self.hparams = session, session.hparams
        if not session.continues:
            self._build(session)
        reached = self._train(session) if session.kind == "train" else self._hold(session)
        measured = [self._evaluate(session, number) for number in range(session.evaluations)]
        session.conclude(mean_of(measured), reached)
        if session.keeps:
            self.save(session.save)

    def _build(self, session: Session) -> None:
        session.seed_part("setup")
        with self.building():
            self.setup(session.hparams, session.seed)
        if (directory := session.restore) is not None:
            self.load(directory)

    def _hold(self, session: Session) -> int:
        """Bring the hparams into force without training."""
        self._configure(session.hparams)
        return session.stop

    def _configure(self, hparams: Mapping[str, Any]) -> None:
        self.hparams = hparams
        self.configure(hparams)
        self.session.verify(self._in_force(), "read after configure()")

    def _in_force(self) -> Mapping[str, Any]:
        values: Any = self.in_force()
        if not isinstance(values, Mapping):
            raise TrainingError(f"in_force() must return a mapping, not {values!r:.80}")
        return values

    def _train(self, session: Session) -> int:
        """Train from `start` to `stop`, in parts while hparams ramp. Returns the step reached."""
        session.seed_part("train")
        step = session.start
        for end in ramp_ends(session):
            self._configure(session.hparams_at(end if end < session.stop else session.stop))
            done = self._train_part(end - step)
            step += done
            if step < end:
                break
        return step

    def _train_part(self, steps: int) -> int:
        with self.training():
            done = self.train(steps)
        self.session.verify(self._in_force(), "read after train()")
        if done is None:
            return steps
        return _checked_count(done, steps)

    def _evaluate(self, session: Session, number: int) -> dict[str, float]:
        session.seed_part("evaluate", number)
        with self.evaluating():
            metrics = as_metrics(self.evaluate(), session.metric)
        demand(session.metric, metrics, "evaluate()")
        return metrics


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = [_file_names(folder) for folder in (one, other)]
    return names[0] == names[1] and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names[0]
    )


def _file_names(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _checked_count(done: Any, steps: int) -> int:
    if isinstance(done, bool) or not isinstance(done, int) or not 0 <= done <= steps:
        raise TrainingError(
            f"train({steps}) returned {done!r:.80}: return nothing, or the number of steps done if "
            "it ended early"
        )
    return done


def ramp_ends(session: Session) -> list[int]:
    """The steps at which parts of the training end: `RAMP_POINTS` over the ramp, then `stop`."""
    points = min(RAMP_POINTS, session.ramp_steps)
    ends = [
        session.start + math.ceil(session.ramp_steps * (point + 1) / points)
        for point in range(points)
    ]
    return ends if ends and ends[-1] == session.stop else [*ends, session.stop]


def _missing(trainable: Trainable, signature: str) -> str:
    return f"{type(trainable).__name__} has no `{signature}`: write it"
