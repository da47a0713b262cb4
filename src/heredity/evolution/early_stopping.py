"""Early stopping: trials that promise nothing end before their time.

`Stopping` gives any algorithm a rule that looks at intermediate measurements. What is stopped is a
result like any other: charged for the steps it trained, measured, and gone on from or taken over
as the algorithm decides. This file knows nothing of how a worker learns that it should stop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from heredity.errors import UsageError
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.view import View

if TYPE_CHECKING:
    from heredity.evolution.definition import Definition

Curve = NDArray[np.float64]
"""A running trial's measurements of the first objective, of shape (measurements, 2): step, and
score turned so that higher is better."""


class StopRule(ABC):
    """Chooses running trials to stop. Subclasses are frozen dataclasses."""

    @abstractmethod
    def stops(self, view: View) -> tuple[int, ...]:
        """The running trials that should end early."""


@dataclass(frozen=True)
class Median(StopRule):
    """Stop a trial whose best score so far is worse than the median of what the other members had
    at the same step (the median rule of Golovin et al. 2017, Vizier, section 3.2).

    What another member had is the mean of its running trial's measurements up to that step; if it
    runs none that has come so far, the score of its trial that ended at that step or last before,
    with which members are compared throughout. So nobody is stopped for being younger.

    Attributes:
        after: a trial is not stopped before it has trained this much: below 1 a fraction of its
            steps, from 1 on a number of steps.
        others: nor before so many other members have a score to compare with.
    """

    after: float = 0.5
    others: int = 3

    def __post_init__(self) -> None:
        if not self.after >= 0:
            raise UsageError(
                f"Median(after=…) is a fraction or a number of steps ≥ 0, not {self.after!r}"
            )
        if not self.others >= 1:
            raise UsageError(f"Median(others=…) is a number of members ≥ 1, not {self.others!r}")

    def stops(self, view: View) -> tuple[int, ...]:
        curves = {trial: _curve(view, trial) for trial in view.running}
        return tuple(trial for trial in curves if self._falls_behind(view, trial, curves))

    def _falls_behind(self, view: View, trial: int, curves: Mapping[int, Curve]) -> bool:
        proposal, curve = view.proposal(trial), curves[trial]
        if not len(curve):
            return False
        step, steps = int(curve[-1, 0]), proposal.stop - proposal.start
        grace = self.after if self.after >= 1 else self.after * steps
        if step - proposal.start < max(1, grace):
            return False
        had = _others(view, proposal.member, step, curves)
        return len(had) >= self.others and bool(curve[:, 1].max() < np.median(had))


@dataclass(frozen=True)
class Stopping(Algorithm):
    """An algorithm whose trials a rule may stop early: `Stopping(PBT(), Median())`.

    Workers ask `session.stop_requested`, or `Trainable.train` returns early; a trial that does not
    ask trains to its end. Nothing is stopped where no measurement arrives while a trial runs: with
    `hd.Inline`, or where the whole population is one program.

    Attributes:
        algorithm: decides everything else.
        rule: whom to stop: `Median`.
    """

    algorithm: Algorithm
    rule: StopRule = Median()

    watches: ClassVar[bool] = True

    def __post_init__(self) -> None:
        algorithm, rule = cast(tuple[object, object], (self.algorithm, self.rule))
        if not isinstance(algorithm, Algorithm) or not isinstance(rule, StopRule):
            raise UsageError(
                f"Stopping takes an algorithm and a rule, such as hd.Stopping(hd.PBT(), "
                f"hd.Median()); got {algorithm!r} and {rule!r}"
            )

    @property
    def ramp(self) -> float:
        """That of the algorithm."""
        return float(getattr(self.algorithm, "ramp", 0.0))

    def check(self, definition: Definition) -> None:
        self.algorithm.check(definition)

    def decide(self, view: View, free: int) -> Decision:
        decision = self.algorithm.decide(view, free)
        return replace(decision, stop=(*decision.stop, *self.rule.stops(view)))

    def retains(self, view: View) -> set[int]:
        return self.algorithm.retains(view)


def _curve(view: View, trial: int) -> Curve:
    measured = view.measurements(trial)
    points = [(s, m[view.metric] * view.sign) for s, m in measured if view.metric in m]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _others(view: View, member: int, step: int, curves: Mapping[int, Curve]) -> NDArray[np.float64]:
    """What the other members had at this step, as far as they have a score."""
    had = view.scores_of(view.records(step))[:, 0]
    for trial, curve in curves.items():
        so_far = curve[curve[:, 0] <= step, 1]
        if len(so_far) and curve[-1, 0] >= step:
            had[view.proposal(trial).member] = so_far.mean()
    had[member] = np.nan
    return had[~np.isnan(had)]
