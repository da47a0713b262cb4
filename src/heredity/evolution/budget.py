"""Budgets: when a study ends. The first limit reached ends it.

A budget is one limit or several; when it is used, the finals follow. All are plain values; what
was spent is the fold's to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heredity.errors import UsageError


@dataclass(frozen=True)
class Steps:
    """Each lane trains `count` steps. An exploit neither refunds nor charges."""

    count: int

    def __post_init__(self) -> None:
        _require_positive_integer(self, self.count)


@dataclass(frozen=True)
class Trials:
    """`count` trials finish or diverge, over all lanes."""

    count: int

    def __post_init__(self) -> None:
        _require_positive_integer(self, self.count)


@dataclass(frozen=True)
class Seconds:
    """A driver has been alive for `seconds`, over all runs of the study."""

    seconds: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise UsageError(f"Seconds needs a positive number of seconds, not {self.seconds!r}")


@dataclass(frozen=True)
class Target:
    """The best score is at least as good as `score`, in the user's units."""

    score: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise UsageError(f"Target needs a finite score, not {self.score!r}")


Limit = Steps | Trials | Seconds | Target


@dataclass(frozen=True)
class Finals:
    """The best `count` trials are evaluated `evaluations` times with fresh seeds at the end."""

    count: int = 3
    evaluations: int = 10


def as_budget(budget: Limit | Sequence[Limit]) -> tuple[Limit, ...]:
    """One limit or several as a tuple, refusing what is neither and two limits of one kind."""
    limits = tuple(budget) if isinstance(budget, (list, tuple)) else (budget,)
    for limit in limits:
        if not isinstance(limit, Steps | Trials | Seconds | Target):
            raise UsageError(
                f"a budget is hd.Steps, hd.Trials, hd.Seconds or hd.Target, or several of them; "
                f"got {limit!r}. Did you mean hd.Steps({limit!r})?"
            )
    if not limits or len({type(limit) for limit in limits}) < len(limits):
        raise UsageError(f"a budget holds at least one limit and one of each kind; got {limits!r}")
    return limits


def steps_per_lane(budget: Sequence[Limit]) -> int | None:
    """The steps each lane may train, or None where the budget does not say."""
    return next((limit.count for limit in budget if isinstance(limit, Steps)), None)


def trials_in_all(budget: Sequence[Limit]) -> int | None:
    """The trials that may finish or diverge, or None where the budget does not say."""
    return next((limit.count for limit in budget if isinstance(limit, Trials)), None)


def _require_positive_integer(limit: Steps | Trials, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(f"{type(limit).__name__} needs a positive integer, not {count!r}")
