"""What `--json` prints: the keys that others may rely on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heredity.evolution.trial import Trial

if TYPE_CHECKING:
    from heredity.live.facts import Facts, Row
    from heredity.result import Best, Result


def study(facts: Facts) -> dict[str, Any]:
    """How a study stands, with its members."""
    return {**summary(facts), "members": [member(row) for row in facts.rows(10**9)]}


def summary(facts: Facts) -> dict[str, Any]:
    """How a study stands."""
    p = facts.population
    runners = facts.runners
    direction = "maximize" if p.signs[0] > 0 else "minimize"
    return {
        "name": facts.name,
        "status": p.status,
        "reason": p.reason,
        "driver": runners.driver if runners else None,
        "workers": list(runners.workers) if runners else [],
        "objective": {"name": p.names[0], "direction": direction},
        "population": p.lanes,
        "progress": facts.progress.fraction,
        "trials_proposed": len(p),
        "trials_ended": p.ended_count,
        "best_trial": facts.best,
        "best_score": facts.best_score,
        "median_score": facts.median_score,
        "exploits": p.exploits,
        "diverged": p.diverged,
        "failures": p.failures,
        "checkpoints_bytes": p.bytes_kept,
    }


def member(row: Row) -> dict[str, Any]:
    """A member as it is now."""
    shape = asdict(row)
    origin = row.weights_from
    shape["weights_from"] = origin and {"member": origin[0], "trial": origin[1]}
    return shape


def best(result: Result) -> dict[str, Any]:
    """The best model so far."""
    found = result.best
    again = found.confirmation
    return {
        "trial": found.trial.id,
        "member": found.trial.member,
        "steps": found.trial.reached,
        "score": found.score,
        "confirmed": found.confirmed,
        "metrics": dict(found.metrics),
        "confirmed_metrics": None if again is None else dict(again.metrics),
        "hparams": dict(found.hparams),
        "checkpoint": checkpoint(found),
    }


def checkpoint(found: Best) -> str | None:
    """The folder of a model's saved state; None once it was released."""
    return None if found.trial.checkpoint is None else str(found.checkpoint)


def trial(record: Trial) -> dict[str, Any]:
    """A trial, whole."""
    return asdict(record)
