"""How studies stand, as the service tells it. Read from a population; it knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heredity.live.facts import facts_of

if TYPE_CHECKING:  # workers read summaries and know no store
    from heredity.service.studies import OpenStudy


@dataclass(frozen=True)
class Objective:
    """What is optimised: "maximize" or "minimize" the metric of this name."""

    name: str
    direction: str


@dataclass(frozen=True)
class StudySummary:
    """How a study stands.

    Attributes:
        reason: why it is paused, stopping or ended.
        progress: 0 … 1 of the budget; null where nobody can know.
        events: the number of the newest event.
        next_injection: the number that the next injected trial has to bear.
        best_trial, best_score, median_score: null before the first score.
    """

    name: str
    status: str
    reason: str
    objective: Objective
    population: int
    progress: float | None
    trials_proposed: int
    trials_ended: int
    trials_running: int
    best_trial: int | None
    best_score: float | None
    median_score: float | None
    exploits: int
    diverged: int
    failures: int
    checkpoints_bytes: int
    events: int
    next_injection: int


def summary(study: OpenStudy) -> StudySummary:
    """How the study stands now."""
    study.log.refresh()
    p = study.log.population
    facts = facts_of(study.name, p, study.store.alive_s(study.name))
    return StudySummary(
        name=study.name,
        status=str(p.status),
        reason=p.reason,
        objective=Objective(p.names[0], "maximize" if p.signs[0] > 0 else "minimize"),
        population=p.lanes,
        progress=facts.progress.fraction,
        trials_proposed=len(p),
        trials_ended=p.ended_count,
        trials_running=len(p.open) - len(p.waiting),
        best_trial=facts.best,
        best_score=facts.best_score,
        median_score=facts.median_score,
        exploits=p.exploits,
        diverged=p.diverged,
        failures=p.failures,
        checkpoints_bytes=p.bytes_kept,
        events=p.seq,
        next_injection=p.next_injection(),
    )
