"""Studies written by hand, an event at a time; their state as something to compare."""

from __future__ import annotations

from typing import Any

import numpy as np

from heredity.evolution import events as ev
from heredity.evolution.budget import Finals, Steps, as_budget
from heredity.evolution.columns import Column
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.objective import maximize
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.ready import Every
from heredity.evolution.rows import Rows
from heredity.evolution.trial import Checkpoint, Proposal
from heredity.evolution.view import View
from heredity.space import Space, Uniform

OWN = -1
"""As `weights_from`: the lane's own last trial."""


class Story:
    """A study whose every event the test decides on."""

    def __init__(self, algorithm=None, members=4, interval=10, budget=None, **definition):
        self.definition = Definition(
            **{
                "space": Space(x=Uniform(0.0, 1.0)),
                "objectives": (maximize("q"),),
                "population": members,
                "interval": interval,
                "algorithm": algorithm or PBT(ready=Every(0)),
                "seed": 0,
                "trainable": "story",
                **definition,
            }
        )
        self.population = Population()
        self.log: list[ev.Event] = []
        self.append(ev.StudyCreated(self.definition.as_json(), as_budget(budget or Steps(1000))))

    def append(self, *events):
        self.population.apply(events)
        self.log += events

    def propose(self, member, weights_from=OWN, **changes):
        """An open trial of the lane; returns its number."""
        state, trial = self.population, len(self.population)
        last = int(state.last[member])
        source = (last if last >= 0 else None) if weights_from == OWN else weights_from
        start = 0 if source is None else int(state.stop[source])
        fields = {
            "member": member,
            "turn": int(state.turns[member]),
            "hparams": {"x": 0.5},
            "weights_from": source,
            "hparams_from": () if source is None else (source,),
            "start": start,
            "stop": start + self.definition.interval,
        }
        self.append(ev.TrialProposed(trial, trial, Proposal(**{**fields, **changes})))
        return trial

    def start(self, trial, attempt=None):
        attempt = self.population.attempts[trial] + 1 if attempt is None else attempt
        self.append(ev.TrialStarted(trial, attempt, "w"))
        return trial

    def run(self, member, *args, **changes):
        """A running trial of the lane."""
        return self.start(self.propose(member, *args, **changes))

    def finish(self, trial, score=0.0, attempt=0, saved=True, **metrics):
        self.append(finished(trial, score, attempt, saved, **metrics))
        return trial

    def train(self, member, score=0.0, weights_from=OWN, **changes):
        """A finished trial of the lane."""
        return self.finish(self.run(member, weights_from, **changes), score)

    def diverge(self, member, **changes):
        trial = self.run(member, **changes)
        self.append(ev.TrialDiverged(trial, 0, "nan"))
        return trial

    def fail(self, trial, failure="error"):
        attempt = self.population.attempts[trial]
        self.append(ev.TrialFailed(trial, attempt, failure, "a bug"))
        return trial

    def fail_for_good(self, member, **changes):
        trial = self.run(member, **changes)
        self.fail(trial)
        self.fail(self.start(trial))
        return trial

    @property
    def view(self):
        return View(self.population, self.definition)

    def next_events(self, free=1, finals=Finals(0, 0), **options):
        return next_events(self.population, self.definition, free, finals=finals, **options)

    def proposals(self, free=1, **options):
        """By member, what is proposed next."""
        events = self.next_events(free, **options)
        return {e.proposal.member: e.proposal for e in events if isinstance(e, ev.TrialProposed)}


def finished(trial, score=0.0, attempt=0, saved=True, **metrics):
    checkpoint = Checkpoint(f"memory:{trial}", 1, "") if saved else None
    reported = {} if score is None else {"q": score, **metrics}
    return ev.TrialFinished(trial, attempt, score, reported, checkpoint)


def facts(population: Population) -> dict[str, Any]:
    """All that a population knows, comparable by ==."""
    return {name: _plain(value) for name, value in vars(population).items()}


def _plain(value):
    if isinstance(value, Column):
        value = value.values
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Rows):
        return list(value)
    if isinstance(value, list | dict | set) or type(value).__name__ == "deque":
        return type(value)(value)
    return value
