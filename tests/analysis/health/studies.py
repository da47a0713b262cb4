"""Studies to be examined, played in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import heredity as hd
from heredity.analysis.health import Finding, findings
from heredity.analysis.records import Records, read
from heredity.evolution.exploit import Contest, Exploit
from heredity.evolution.population import Population
from heredity.evolution.trial import Trial
from heredity.testing.play import Play
from heredity.testing.toys import Toy, noisy

EAGER = hd.PBT(ready=hd.Every(0), mode="sync")
"""Exploits as often as it can."""


def study(
    algorithm: Any = EAGER,
    toy: Toy | None = None,
    *,
    members: int = 8,
    turns: int = 20,
    interval: int = 10,
    seed: int = 0,
    **options: Any,
) -> Records:
    """The records of a whole study: by default a healthy one."""
    toy = toy or noisy(0.5)
    definition = toy.definition(algorithm, members, interval, seed)
    return read(Play(definition, hd.Steps(turns * interval), toy.run, **options).to_the_end())


def of_kind(records: Records | Population, kind: str) -> list[Finding]:
    """What is found of one kind."""
    records = read(records) if isinstance(records, Population) else records
    return [finding for finding in findings(records) if finding.kind == kind]


def the(records: Records | Population, kind: str) -> Finding:
    """The one finding of this kind."""
    (finding,) = of_kind(records, kind)
    return finding


@dataclass(frozen=True)
class Always(Exploit):
    """Everybody takes over the best of the others."""

    def donor(self, contest: Contest) -> int | None:
        best = contest.best_donors(contest.view.size)
        return int(best[0]) if len(best) else None


def shaken(shock: float) -> Toy:
    """A toy that loses `shock` whenever hparams are not those of the trial before."""
    calm = noisy(0.1)

    def run(trial: Trial, state: Any) -> tuple[float, Any]:
        progress, before = state or (None, trial.hparams)
        score, progress = calm.run(trial, progress)
        lost = shock * (before != trial.hparams)
        return score - lost, (progress - lost, trial.hparams)

    return Toy(calm.space, calm.objective, run, calm.best)
