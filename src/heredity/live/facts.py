"""How a study stands, in the few facts that people look at. Read from a population; it knows no
terminal and no clock, and reads members one by one only when asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heredity.evolution.budget import Limit, Seconds, Steps, Target, Trials
from heredity.evolution.population import Population
from heredity.live.runners import Runners


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the budget is used.

    Attributes:
        fraction: 0 … 1 of the limit that will be reached first; None where nobody can know.
        text: the same in words: "1,040 of 2,000 steps".
    """

    fraction: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A member.

    Attributes:
        state: training, measuring, waiting, diverged, failed or done.
        score: of its newest measured trial; None if there is none or it diverged.
        steps: how many it was charged.
        weights_from: (member, trial) that its weights were taken from, which may be its own; None
            for weights from scratch.
        hparams: of the trial it runs, else of its last.
        best: it holds the best trial so far.
    """

    member: int
    state: str
    score: float | None
    steps: int
    weights_from: tuple[int, int] | None
    hparams: Mapping[str, Any]
    best: bool


@dataclass(frozen=True)
class Facts:
    """How a study stands; `runners` is None where nobody looked who runs it."""

    name: str
    population: Population
    progress: Progress
    runners: Runners | None = None

    @property
    def by(self) -> str:
        """Of a study that is to run, who runs it, in parentheses; empty where nobody looked."""
        goes_on = self.population.status in ("running", "stopping")
        return f"({self.runners})" if self.runners is not None and goes_on else ""

    @property
    def abandoned(self) -> bool:
        """Whether it is to run and nobody runs it."""
        return bool(self.by) and not self.runners

    @cached_property
    def best(self) -> int | None:
        """The best trial so far; in a vectorized study also one that is on the device only."""
        p = self.population
        return p.peak if p.status == "running" and p.vectorized else p.best

    @cached_property
    def best_score(self) -> float | None:
        """Its score, in the user's units."""
        p = self.population
        return None if self.best is None else float(p.scores[self.best][0] * p.signs[0])

    @cached_property
    def best_member(self) -> int:
        """Its member, or −1."""
        return -1 if self.best is None else int(self.population.member[self.best])

    @cached_property
    def median_score(self) -> float | None:
        """The median of the members' newest scores; None before the first."""
        scores = self._scores[np.isfinite(self._scores)]
        return float(np.median(scores) * self.population.signs[0]) if len(scores) else None

    @cached_property
    def _scores(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """By member: the newest score, higher better; NaN before the first, −inf diverged."""
        p = self.population
        if not len(p):
            return np.full(p.lanes, np.nan)
        return np.where(p.newest >= 0, p.scores[p.newest][:, 0], np.nan)

    def rows(self, count: int) -> list[Row]:
        """All members by number or, if they are more than `count`, the best so many by score."""
        members = range(self.population.lanes)
        if len(members) <= count:
            return [self.row(member) for member in members]
        rank = np.nan_to_num(self._scores, nan=-np.inf)
        return [self.row(int(member)) for member in np.argsort(-rank, kind="stable")[:count]]

    def row(self, member: int) -> Row:
        """One member."""
        p = self.population
        trial = int(p.open_trial[member])
        trial = trial if trial >= 0 else int(p.last[member])
        score = float(self._scores[member] * p.signs[0])
        return Row(
            member=member,
            state=self._state(member),
            score=score if np.isfinite(score) else None,
            steps=int(p.spent[member]),
            weights_from=self._origin(trial),
            hparams=p.proposal_of(trial).hparams if trial >= 0 else {},
            best=member == self.best_member,
        )

    def _origin(self, trial: int) -> tuple[int, int] | None:
        source = int(self.population.source[trial]) if trial >= 0 else -1
        return None if source < 0 else (int(self.population.member[source]), source)

    def _state(self, member: int) -> str:
        p = self.population
        trial, last = int(p.open_trial[member]), int(p.last[member])
        if trial >= 0:
            return {"running": "training", "failed": "failed"}.get(p.statuses[trial], "waiting")
        if member in self._measuring:
            return "measuring"
        if last >= 0 and p.statuses[last] in ("diverged", "failed"):
            return p.statuses[last]
        return "done" if self._over else "waiting"

    @cached_property
    def _measuring(self) -> set[int]:
        p = self.population
        return {m for t, m in p.open.items() if p.proposal_of(t).kind == "evaluate"}

    @cached_property
    def _over(self) -> bool:
        return self.population.status == "ended" or self.progress.fraction == 1.0


def facts_of(
    name: str, population: Population, seconds: float, runners: Runners | None = None
) -> Facts:
    """How the study `name` stands after drivers have been alive for `seconds`."""
    return Facts(name, population, progress(population, seconds), runners)


def progress(population: Population, seconds: float) -> Progress:
    """How much of the budget is used, by the limit that is nearest."""
    used = [_used(limit, population, seconds) for limit in population.budget]
    known = [p for p in used if p.fraction is not None]
    return max(known or used, key=lambda p: p.fraction or 0.0)


def _used(limit: Limit, population: Population, seconds: float) -> Progress:
    match limit:
        case Steps(count):
            done = float(population.spent.mean())
            return Progress(min(1.0, done / count), f"{done:,.0f} of {count:,} steps")
        case Trials(count):
            ended = population.ended_count
            return Progress(min(1.0, ended / count), f"{min(ended, count):,} of {count:,} trials")
        case Seconds(limit_s):
            part = min(1.0, seconds / limit_s)
            return Progress(part, f"{min(seconds, limit_s):,.0f} of {limit_s:,.0f} s")
        case Target(score):
            return Progress(None, f"until the score {score:g}")


class TimeLeft:
    """How long it will take, from how fast it went since the first result.

    Before the second result, from how fast it went since the first look: workers start slowly,
    since they import and compile.
    """

    def __init__(self) -> None:
        self._base: tuple[float, float] | None = None
        self._latest = 0.0
        self._results = 0

    def at(self, fraction: float | None, now: float) -> float | None:
        """Seconds left at `fraction` of the whole; None while nobody can tell."""
        if fraction is None:
            return None
        if self._base is None:
            self._base, self._latest = (fraction, now), fraction
        if fraction > self._latest:
            self._results, self._latest = self._results + 1, fraction
            left = self._left(fraction, now)
            if self._results == 1:
                self._base = fraction, now
            return left
        return self._left(fraction, now)

    def _left(self, fraction: float, now: float) -> float | None:
        assert self._base is not None
        gained, took = fraction - self._base[0], now - self._base[1]
        return None if gained <= 0 else took * (1 - fraction) / gained
