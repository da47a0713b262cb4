"""What loggers tell of a study: each trial that ended as one point of its member's run.

The only reading of events that loggers have. It knows no logger's library, writes nothing, and
keeps of the past only which member had which trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heredity.describe import rebuild
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.evolution.rounds import outcomes_of, proposals_of
from heredity.evolution.state import Ended
from heredity.evolution.trial import Proposal
from heredity.space.parameters import Constant


@dataclass(frozen=True, slots=True)
class Point:
    """A trial that ended, as its member's run shows it.

    Attributes:
        member, trial: whose, and which.
        step: what the weights' lineage has reached. An exploit can take a member a little back.
        values: what charts show, by name: "score", "metrics/…", "hparams/…" (those that trained it
            up to `step`; a choice that is no number by its place among the choices, from 0),
            "lineage/member" and "lineage/trial" (whose weights it began from; the member itself,
            and the trial itself, from scratch), "trial", "elapsed_s".
        choices: the hparams that are no numbers, by name, as text.
        notes: what is worth a sentence, by kind: "exploit", "diverged", "stopped".
    """

    member: int
    trial: int
    step: int
    values: Mapping[str, float]
    choices: Mapping[str, str]
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """The study as a whole.

    Attributes:
        trials: how many have ended.
        ended: whether the study has.
        facts: what the study is, as text: this never changes.
        values, texts: how it stands.
    """

    trials: int
    ended: bool
    facts: Mapping[str, str]
    values: Mapping[str, float]
    texts: Mapping[str, str]


class Story:
    """Turns a study's events into points, each trial once.

    It begins with what the log holds already, and is then told every event. Events that the log
    held when it was read do no harm.
    """

    def __init__(self, population: Population) -> None:
        self._choices = _wordy(population.definition["space"])
        self._members: list[int] = population.member.values.tolist()
        self._open = {trial: population.proposal_of(trial) for trial in population.open}
        self._past: Population | None = population

    def past(self) -> Iterator[Point]:
        """The points of all that had ended; read once, and before the first event."""
        population, self._past = self._past, None
        assert population is not None
        for event, outcome in zip(population.proposed, population.outcomes, strict=True):
            trial, proposal = event.trial, event.proposal
            over = trial not in self._open and proposal.kind == "train"
            if over and isinstance(outcome, Ended):
                yield self._point(trial, proposal, outcome)

    def read(self, event: ev.Event) -> list[Point]:
        """The points that an event adds."""
        match event:
            case ev.TrialProposed():
                self._propose(event)
            case ev.TrialFinished() | ev.TrialDiverged() | ev.TrialStopped():
                return self._end(event)
            case ev.RoundFinished():
                for proposed in proposals_of(event):
                    self._propose(proposed)
                return [point for outcome in outcomes_of(event) for point in self._end(outcome)]
        return []

    def had(self, member: int, trial: int) -> bool:
        """Whether the member had this trial."""
        return trial < len(self._members) and self._members[trial] == member

    def _propose(self, event: ev.TrialProposed) -> None:
        if event.trial >= len(self._members):  # trials are numbered in the order of proposal
            self._members.append(event.proposal.member)
            self._open[event.trial] = event.proposal

    def _end(self, event: Ended) -> list[Point]:
        proposal = self._open.pop(event.trial, None)
        if proposal is None or proposal.kind != "train":
            return []
        return [self._point(event.trial, proposal, event)]

    def _point(self, trial: int, p: Proposal, outcome: Ended) -> Point:
        parent = trial if p.weights_from is None else p.weights_from
        values: dict[str, float] = {}
        score = getattr(outcome, "score", None)
        if score is not None:
            values["score"] = score
        values |= {f"metrics/{name}": value for name, value in outcome.metrics.items()}
        values |= {f"hparams/{name}": self._number(name, v) for name, v in p.hparams.items()}
        values |= {
            "lineage/member": float(self._members[parent]),
            "lineage/trial": float(parent),
            "elapsed_s": outcome.elapsed_s,
            "trial": float(trial),  # the last, so that where it is the others are
        }
        return Point(
            member=p.member,
            trial=trial,
            step=outcome.reached if isinstance(outcome, ev.TrialStopped) else p.stop,
            values=values,
            choices={name: str(p.hparams[name]) for name in self._choices if name in p.hparams},
            notes=self._notes(p, outcome),
        )

    def _number(self, name: str, value: Any) -> float:
        choices = self._choices.get(name)
        return float(value) if choices is None else float(choices.index(value))

    def _notes(self, p: Proposal, outcome: Ended) -> dict[str, str]:
        notes = {}
        if (donor := self._donor(p)) is not None:
            whose = f"trial {donor} of member {self._members[donor]}"
            notes["exploit"] = f"from {whose} at step {p.start}: {p.reason or 'took it over'}"
        if isinstance(outcome, ev.TrialDiverged):
            notes["diverged"] = outcome.value
        if isinstance(outcome, ev.TrialStopped):
            notes["stopped"] = f"at step {outcome.reached} of {p.stop}"
        return notes

    def _donor(self, p: Proposal) -> int | None:
        """The trial of another lane whose weights, or else hparams, were taken over."""
        weights = () if p.weights_from is None else (p.weights_from,)
        sources = (*weights, *p.hparams_from)
        return next((t for t in sources if self._members[t] != p.member), None)


def summary(population: Population) -> Summary:
    """How the study stands, and what it is."""
    p, d = population, population.definition
    values: dict[str, float] = {
        "trials": p.ended_count,
        "exploits": p.exploits,
        "diverged": p.diverged,
        "failed attempts": p.failures,
    }
    texts = {"status": f"{p.status}: {p.reason}" if p.reason else str(p.status)}
    if p.best is not None:
        best = p.trial(p.best)
        values |= {"best/trial": best.id, "best/member": best.member, "best/step": best.stop}
        values |= {f"best/{name}": value for name, value in _scores(p, best.id).items()}
        hparams = ", ".join(f"{name}={value!r}" for name, value in best.hparams.items())
        texts["best"] = f"trial {best.id} of member {best.member}: {hparams}"
    return Summary(p.ended_count, p.status == "ended", _facts(d), values, texts)


def _facts(definition: Mapping[str, Any]) -> dict[str, str]:
    d, space = definition, rebuild(definition["space"])
    return {
        **{name: str(d[name]) for name in ("population", "interval", "seed")},
        "objectives": ", ".join(f"{o['direction']} {o['name']}" for o in d["objectives"]),
        "algorithm": json.dumps(d["algorithm"]),
        **{f"space/{name}": repr(parameter) for name, parameter in space.items()},
    }


def _scores(population: Population, trial: int) -> dict[str, float]:
    score = population.trial(trial).score
    confirmed = population.confirmed.get(trial)
    scores = {} if score is None else {"score": score}
    return scores if confirmed is None else {**scores, "confirmed": confirmed.score}


def _wordy(space: Any) -> dict[str, tuple[Any, ...]]:
    """The choices of each hparam of which not all are numbers."""
    wordy = {}
    for name, parameter in rebuild(space).items():
        constant = isinstance(parameter, Constant)
        choices = (parameter.value,) if constant else getattr(parameter, "choices", ())
        if not all(isinstance(choice, (int, float)) for choice in choices):
            wordy[name] = tuple(choices)
    return wordy
