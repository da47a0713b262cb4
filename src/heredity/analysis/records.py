"""A study's trials as aligned numpy arrays, read once from its state; all analysis works on them.

It knows what happened, and nothing of what that means. Scores are turned so that higher is better,
as in the state: −inf for a trial that diverged, NaN for one that was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.describe import rebuild
from heredity.errors import NotFound, did_you_mean
from heredity.evolution.budget import steps_per_lane, trials_in_all
from heredity.evolution.state import State
from heredity.evolution.trial import Proposal
from heredity.space import Space
from heredity.space.numeric import Numeric
from heredity.space.parameters import Parameter

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Records:
    """Every trial so far. Arrays are aligned by trial: entry t is of trial t.

    Attributes:
        definition: the study's definition, as JSON.
        space: the declared space, with bounds as wide as they ever were; the scale of `codes`.
        edges: of shape (hparams, 2), the codes of the lowest and the highest value that is allowed
            now; NaN for hparams without order.
        metric: the name of the first objective; `objectives` are the names of all.
        sign: a score times this is in the user's units.
        lanes, interval: the number of members; steps per trial.
        lane_steps: the steps each lane may train in all, as far as the budget says, else None.
        best: the best trial, or None before the first score.
        member, start, stop: the lane; the steps of the weights' lineage it trained, what it reached
            if it ended early, and none of a failed one.
        source: `weights_from`, or −1 for a start from scratch.
        givers: `hparams_from`.
        trained: false for evaluations of saved weights; these are in no other mask.
        ended: finished, stopped or diverged: charged.
        well: finished or stopped: it left weights.
        failed: given up, or waiting to be tried again.
        exploit: it began from the weights, or took the hparams, of another lane's trial.
        scores, means: of the first objective: the trial's own, and the mean along its lineage.
        elapsed_s: of the last attempt. All trials of a vectorized round have the round's.
        codes: the hparams in the unit cube, of shape (trials, hparams).
        metrics: by name what was reported, in the user's units; NaN where it was not.
    """

    definition: Mapping[str, Any]
    space: Space
    edges: Floats
    metric: str
    objectives: tuple[str, ...]
    sign: float
    lanes: int
    interval: int
    lane_steps: int | None
    best: int | None
    member: Ids
    start: Ids
    stop: Ids
    source: Ids
    givers: tuple[tuple[int, ...], ...]
    trained: Bools
    ended: Bools
    well: Bools
    failed: Bools
    exploit: Bools
    scores: Floats
    means: Floats
    elapsed_s: Floats
    codes: Floats
    metrics: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.member)

    @cached_property
    def steps(self) -> Ids:
        """What each trial charged its lane."""
        return np.where(self.ended, self.stop - self.start, 0)

    @cached_property
    def spent(self) -> Ids:
        """The steps its lane had been charged once the trial was over: the study's own clock, on
        which lanes are compared."""
        order = np.argsort(self.member, kind="stable")
        total = np.cumsum(self.steps[order])
        first = np.searchsorted(self.member[order], np.arange(self.lanes))
        before = np.concatenate([[0], total])[first]
        spent = np.empty_like(total)
        spent[order] = total - before[self.member[order]]
        return spent

    @cached_property
    def previous(self) -> Ids:
        """The lane's trial that ended before this one, or −1."""
        previous = np.full(len(self), -1)
        ended = np.flatnonzero(self.ended)
        order = ended[np.argsort(self.member[ended], kind="stable")]
        # A trial that failed has a predecessor too, so each trial looks for the last that ended.
        keys = self.member[order] * (len(self) + 1) + order
        mine = np.flatnonzero(self.trained)
        place = np.searchsorted(keys, self.member[mine] * (len(self) + 1) + mine) - 1
        found = order[np.maximum(place, 0)] if len(order) else np.full(len(mine), -1)
        same = (place >= 0) & (self.member[found] == self.member[mine])
        previous[mine[same]] = found[same]
        return previous

    @cached_property
    def paid(self) -> Ids:
        """By lane, the steps it was charged in all."""
        paid = np.zeros(self.lanes, dtype=np.int64)
        np.add.at(paid, self.member, self.steps)
        return paid

    @cached_property
    def turns(self) -> Ids:
        """By lane, how many of its trials ended."""
        return np.bincount(self.member[self.ended], minlength=self.lanes)

    @cached_property
    def now(self) -> Ids:
        """By lane, the trial whose weights it holds: the last that ended well, or −1."""
        held: Ids = self.standing(self.paid.max(initial=0, keepdims=True))[0]
        return held

    def standing(self, steps: Ids) -> Ids:
        """By step and lane, the trial whose weights the lane held when it had been charged so many
        steps; where it has not come so far, those it holds now; −1 before the first."""
        trials = np.flatnonzero(self.well)
        if not len(trials):
            return np.full((len(steps), self.lanes), -1)
        trials = trials[np.argsort(self.member[trials], kind="stable")]
        limit = max(int(self.spent.max()), 0) + 1
        keys = self.member[trials] * (limit + 1) + self.spent[trials]
        lanes = np.arange(self.lanes)
        wanted = lanes * (limit + 1) + np.minimum(steps, limit)[:, None]
        place = np.searchsorted(keys, wanted, side="right") - 1
        found = trials[np.maximum(place, 0)]
        return np.where((place >= 0) & (self.member[found] == lanes), found, -1)

    def grid(self, most: int = 100) -> Ids:
        """Steps at which to look: every interval, or at most so many, evenly spread; the last is
        where the lane that is furthest stands."""
        top = int(self.paid.max(initial=0))
        turns = -(-top // self.interval)
        if not turns:
            return np.zeros(0, dtype=np.int64)
        marks = np.unique(np.linspace(1, turns, min(turns, most)).round().astype(np.int64))
        return np.minimum(marks * self.interval, top)

    def held_out(self) -> list[str]:
        """The names of the metrics that select nothing, but for standard deviations."""
        return [n for n in self.metrics if n not in self.objectives and not n.endswith("_std")]

    def metric_of(self, name: str) -> Floats:
        """A metric by trial. `NotFound` for one that was never reported."""
        if name not in self.metrics:
            hint = did_you_mean(name, self.metrics)
            raise NotFound(f"no trial reported a metric {name!r}.{hint}")
        return self.metrics[name]


def read(state: State) -> Records:
    """The trials of a study, as they are now; later events change nothing in them."""
    if state.status is None:
        raise NotFound("there is no study: its log is empty")
    definition = state.definition
    space = _widest(rebuild(definition["space"]), state)
    proposals = [event.proposal for event in state.proposed]
    trained = np.array([p.kind == "train" for p in proposals], dtype=bool)
    statuses = np.array(state.statuses, dtype=object)
    well = trained & ((statuses == "finished") | (statuses == "stopped"))
    member, source = state.member.values.copy(), state.source.values.copy()
    return Records(
        definition=definition,
        space=space,
        edges=_edges(space, state),
        metric=state.names[0],
        objectives=state.names,
        sign=float(state.signs[0]),
        lanes=state.lanes,
        interval=int(definition["interval"]),
        lane_steps=_lane_steps(state),
        best=state.best,
        member=member,
        start=np.array([p.start for p in proposals], dtype=np.int64),
        stop=state.stop.values.copy(),
        source=source,
        givers=tuple(p.hparams_from for p in proposals),
        trained=trained,
        ended=well | (trained & (statuses == "diverged")),
        well=well,
        failed=trained & (statuses == "failed"),
        exploit=trained & _taken_over(member, source, proposals),
        scores=state.scores.values[:, 0].copy(),
        means=state.means.values[:, 0].copy(),
        elapsed_s=np.array([0.0 if o is None else o.elapsed_s for o in state.outcomes]),
        codes=encoded(space, [p.hparams for p in proposals]),
        metrics=_metrics(state),
    )


def encoded(space: Space, hparams: Sequence[Mapping[str, Any]]) -> Floats:
    """Many hparams in the unit cube, of shape (len(hparams), len(space))."""
    codes = np.empty((len(hparams), len(space)))
    for column, (name, parameter) in enumerate(space.items()):
        codes[:, column] = _codes(parameter, [h[name] for h in hparams])
    return codes


def _codes(parameter: Parameter, values: Sequence[Any]) -> list[float]:
    """Each distinct value is encoded once: a member goes on with what it has."""
    known = {value: parameter.encode(value) for value in set(values)}
    return [known[value] for value in values]


def _taken_over(member: Ids, source: Ids, proposals: Sequence[Proposal]) -> Bools:
    """As the fold counts exploits: any of the sources belongs to another lane."""
    taken: Bools = source >= 0
    if len(member):
        taken &= member[source] != member
    lanes = member.tolist()
    hparams = [any(lanes[giver] != p.member for giver in p.hparams_from) for p in proposals]
    taken |= np.array(hparams, dtype=bool)
    return taken


def _metrics(state: State) -> dict[str, Floats]:
    reported = [getattr(outcome, "metrics", {}) for outcome in state.outcomes]
    names = dict.fromkeys(name for metrics in reported for name in metrics)
    return {n: np.array([metrics.get(n, np.nan) for metrics in reported]) for n in names}


def _widest(space: Space, state: State) -> Space:
    for name, (low, high) in state.bounds.items():
        lower, upper = _numeric(space, name).bounds
        space = space.with_bounds(name, min(low, lower), max(high, upper))
    return space


def _edges(space: Space, state: State) -> Floats:
    return np.array([_edge(p, state.bounds.get(name)) for name, p in space.items()])


def _edge(parameter: Parameter, bounds: tuple[float, float] | None) -> tuple[float, float]:
    if parameter.kind in ("categorical", "constant"):
        return np.nan, np.nan
    low, high = bounds or (parameter.decode(0.0), parameter.decode(1.0))
    return parameter.encode(low), parameter.encode(high)


def _numeric(space: Space, name: str) -> Numeric:
    parameter = space[name]
    assert isinstance(parameter, Numeric)  # only these have bounds to change
    return parameter


def _lane_steps(state: State) -> int | None:
    steps, trials = steps_per_lane(state.budget), trials_in_all(state.budget)
    if steps is not None or trials is None:
        return steps
    return trials * int(state.definition["interval"]) // state.lanes
