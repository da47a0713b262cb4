"""A study played in memory, in simulated time: the pure core with nothing around it.

It does what a driver does, to the letter: decide, start, record, collect. Workers are slots, each
with a speed of its own; what fails is said beforehand. A checkpoint that was released is gone, so a
decision that still wants it raises. No clock, no thread, no store.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from heredity.evolution import events as ev
from heredity.evolution.budget import Finals, Limit, as_budget
from heredity.evolution.collect import KeepRule, releasable
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint, Trial
from heredity.evolution.view import View
from heredity.testing.toys import Run

Mishap = Literal["error", "lost", "timeout", "diverged", "stopped"]
"""An attempt fails, diverges, or is stopped after half of its steps."""

NO_FINALS = Finals(count=0, evaluations=0)


class Play:
    """A study in memory, from its creation on.

    Args:
        slots: how many trials run at once.
        speeds: steps a second of each slot, instead of 1.
        order: seed of the order of arrivals; None is that of the speeds alone.
        mishaps: what befalls an attempt, or None; asked when it ends.
        keep: which checkpoints are kept.

    Attributes:
        population: the fold so far.
        log: all events so far.
        states: what `run` left, by trial, of the checkpoints that are kept.
        seconds: the simulated time.
    """

    def __init__(
        self,
        definition: Definition,
        budget: Limit | Sequence[Limit],
        run: Run,
        *,
        slots: int = 4,
        speeds: Sequence[float] | None = None,
        order: int | None = None,
        mishaps: Callable[[Trial], Mishap | None] = lambda trial: None,
        finals: Finals = NO_FINALS,
        keep: KeepRule = "needed",
    ) -> None:
        self.definition = definition
        self.population = Population()
        self.log: list[ev.Event] = []
        self.states: dict[int, Any] = {}
        self.seconds = 0.0
        self._run, self._mishaps, self._finals, self._keep = run, mishaps, finals, keep
        self._speeds = list(speeds or [1.0] * slots)
        self._rng = None if order is None else np.random.Generator(np.random.Philox(order))
        self._idle = list(range(len(self._speeds)))
        self._flying: list[tuple[float, int, int]] = []
        self.append(ev.StudyCreated(definition.as_json(), as_budget(budget)))

    def append(self, *events: ev.Event) -> None:
        """Fold and log a block."""
        self.population.apply(events)
        self.log += events

    def to_the_end(self, max_events: int = 100_000) -> Population:
        """Go on until the study ends or pauses. RuntimeError if that takes too many events."""
        while self.turn():
            if len(self.log) > max_events:
                raise RuntimeError(f"the study does not end: {len(self.log)} events so far")
        return self.population

    def turn(self) -> bool:
        """Decide, start what is free to start, and let the next trial end. False when over."""
        self.decide()
        self.launch()
        if not self._flying:
            return False
        self.arrive()
        return True

    def decide(self) -> None:
        """Append what comes next."""
        free = len(self._idle) - len(self.population.waiting)
        events = next_events(
            self.population, self.definition, max(0, free), self.seconds, self._finals
        )
        self.append(*events)

    def launch(self) -> None:
        """Give waiting trials to idle slots."""
        population = self.population
        while self._idle and population.waiting and population.status in ("running", "stopping"):
            trial, slot = population.waiting[0], min(self._idle)
            self._idle.remove(slot)
            self.append(ev.TrialStarted(trial, population.attempt_of(trial) + 1, f"slot {slot}"))
            heapq.heappush(self._flying, (self.seconds + self._duration(trial, slot), trial, slot))

    def arrive(self) -> None:
        """Let the trial that ends first end, and collect."""
        self.seconds, trial, slot = heapq.heappop(self._flying)
        self._idle.append(slot)
        self.append(self._outcome(self.population.trial(trial)))
        self.collect()

    def collect(self) -> None:
        """Release what nothing will want."""
        view = View(self.population, self.definition)
        trials = releasable(
            self.population, view, self.definition.algorithm, self._keep, self._finals.count
        )
        if trials:
            self.append(ev.CheckpointsReleased(trials))
        for trial in trials:
            del self.states[trial]

    def restart(self) -> None:
        """The driver dies with all its workers, and the next one opens the log."""
        self.population = Population.fold(self.log)
        for _, trial, slot in sorted(self._flying):
            attempt = self.population.attempt_of(trial)
            self.append(ev.TrialFailed(trial, attempt, "lost", "the driver died"))
            self._idle.append(slot)
        self._flying.clear()

    def _duration(self, trial: int, slot: int) -> float:
        p = self.population.proposal_of(trial)
        jitter = 1.0 if self._rng is None else float(self._rng.uniform(0.5, 1.5))
        return max(1, p.stop - p.start) / self._speeds[slot] * jitter

    def _outcome(self, trial: Trial) -> ev.Event:
        mishap = self._mishaps(trial)
        if mishap == "diverged":
            return ev.TrialDiverged(trial.id, trial.attempt, "nan")
        if mishap is not None and mishap != "stopped":
            return ev.TrialFailed(trial.id, trial.attempt, mishap, "a mishap")
        early = mishap == "stopped" and trial.steps > 1
        reached = trial.start + trial.steps // 2 if early else trial.stop
        trial = replace(trial, stop=reached)
        source = None if trial.weights_from is None else self.states[trial.weights_from]
        score, state = self._run(trial, source)
        if not math.isfinite(score):
            return ev.TrialDiverged(trial.id, trial.attempt, repr(score))
        finished = self._finished(trial, score, state)
        return _stopped(finished, reached) if early else finished

    def _finished(self, trial: Trial, score: float, state: Any) -> ev.TrialFinished:
        checkpoint = None
        if trial.kind == "train":
            self.states[trial.id] = state
            checkpoint = Checkpoint(f"memory:{trial.id}", 1, "")
        measured = trial.evaluations > 0
        return ev.TrialFinished(
            trial.id,
            trial.attempt,
            score if measured else None,
            {self.definition.objectives[0].name: score} if measured else {},
            checkpoint,
        )


def _stopped(finished: ev.TrialFinished, reached: int) -> ev.TrialStopped:
    f = finished
    return ev.TrialStopped(f.trial, f.attempt, reached, f.score, f.metrics, f.checkpoint)


def play(
    definition: Definition, budget: Limit | Sequence[Limit], run: Run, **options: Any
) -> Population:
    """A whole study in memory, until it ends or pauses; `options` as of `Play`.

    >>> from heredity.evolution.budget import Steps
    >>> from heredity.evolution.random_search import RandomSearch
    >>> from heredity.testing.toys import figure2
    >>> toy = figure2()
    >>> population = play(toy.definition(RandomSearch(), population=2), Steps(200), toy.run)
    >>> round(population.trial(population.best).score, 2)
    0.39
    """
    return Play(definition, budget, run, **options).to_the_end()


def mishaps(seed: int, **rates: float) -> Callable[[Trial], Mishap | None]:
    """Mishaps at random, by kind and rate: of each attempt the same in whatever order they come.

    >>> from heredity.evolution.trial import Trial
    >>> befalls = mishaps(0, diverged=1.0)
    >>> befalls(Trial(id=0, seed=0, member=0, turn=0, hparams={}, start=0, stop=1))
    'diverged'
    """

    def befalls(trial: Trial) -> Any:
        key = (trial.member, trial.turn, trial.attempt, trial.kind == "train")
        left = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *key)))).random()
        for kind, rate in rates.items():
            left -= rate
            if left < 0:
                return kind
        return None

    return befalls
