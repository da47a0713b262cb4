"""What an algorithm sees: the population as read-only aligned arrays, and the study's randomness.

Scores are turned so that higher is better; −inf is a trial that diverged, NaN one that was not
measured. A view is made for one decision and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heredity.evolution.budget import steps_per_lane, trials_in_all
from heredity.evolution.definition import Definition, generator
from heredity.evolution.state import State
from heredity.evolution.trial import Proposal, Status, Trial
from heredity.space import Space

Ids = NDArray[np.int64]


class View:
    """A population seen by an algorithm. Arrays are aligned by member unless they say otherwise."""

    def __init__(
        self, population: State, definition: Definition, space: Space | None = None
    ) -> None:
        self._population = population
        self._definition = definition
        self.space = space or bounded(definition.space, population)

    @property
    def size(self) -> int:
        """The number of members."""
        return self._population.lanes

    @property
    def interval(self) -> int:
        """Steps per trial."""
        return self._definition.interval

    @property
    def metric(self) -> str:
        """The name of the first objective."""
        return self._definition.objectives[0].name

    @property
    def sign(self) -> int:
        """+1 or −1: a score of the first objective times this is in the user's units."""
        return self._definition.objectives[0].sign

    # ------------------------------------------------------------------ members

    @cached_property
    def latest(self) -> Ids:
        """Each member's trial that ended last, failed ones too; −1 before the first."""
        return _frozen(self._population.last)

    @cached_property
    def steps(self) -> Ids:
        """The step at which each member's weights stand; 0 before its first trial ended."""
        latest = self._population.last
        return np.where(latest >= 0, self._population.stop[latest], 0)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Scores of each member's latest trial, of shape (population, objectives)."""
        return self.scores_of(self._population.last)

    @cached_property
    def hparams(self) -> NDArray[np.float64]:
        """Each member's latest hparams in the unit cube, of shape (population, hparams); NaN
        before its first trial."""
        rows = np.full((self.size, len(self.space)), np.nan)
        for member, trial in enumerate(self._population.last):
            if trial >= 0:
                rows[member] = self.space.encode(self.proposal(int(trial)).hparams)
        return rows

    @property
    def spent(self) -> Ids:
        """Steps each member has been charged."""
        return _frozen(self._population.spent)

    @cached_property
    def turns(self) -> Ids:
        """How many trials each member has had."""
        return _frozen(self._population.turns)

    @property
    def open(self) -> Ids:
        """Each member's open trial, or −1 for an idle member."""
        return _frozen(self._population.open_trial)

    @cached_property
    def since_exploit(self) -> Ids:
        """Steps each member was charged since it last took weights or hparams over."""
        return self._population.spent - self._population.taken_at

    def steps_left(self, member: int) -> int:
        """Steps the lane may still train, at most one interval: the length of its next trial."""
        limit, spent = self._lane_limit, int(self._population.spent[member])
        return self.interval if limit is None else max(0, min(self.interval, limit - spent))

    @cached_property
    def _lane_limit(self) -> int | None:
        return steps_per_lane(self._population.budget)

    @cached_property
    def lane_steps(self) -> int | None:
        """Steps a lane may train in all, as far as the budget says: exactly under `Steps`, on
        average under `Trials`."""
        budget = self._population.budget
        steps, trials = steps_per_lane(budget), trials_in_all(budget)
        return steps if steps is not None or trials is None else trials * self.interval // self.size

    def unspent(self) -> NDArray[np.bool_]:
        """Which members may still train by their own budget."""
        limit, spent = self._lane_limit, self._population.spent
        return np.ones(self.size, bool) if limit is None else spent < limit

    def is_last_turn(self, proposal: Proposal) -> bool:
        """Whether this trial may be its lane's last, as far as the budget says."""
        limit = self._lane_limit
        spent = int(self._population.spent[proposal.member]) + proposal.stop - proposal.start
        left = self._population.trials_left()
        return (limit is not None and spent >= limit) or (left is not None and left <= self.size)

    def idle(self) -> list[int]:
        """Members that may start a trial now, the one furthest behind first."""
        lanes = np.flatnonzero((self._population.open_trial < 0) & self.unspent())
        order = np.argsort(self._population.spent[lanes], kind="stable")
        members: list[int] = lanes[order].tolist()
        left = self._population.trials_left()
        return members if left is None else members[:left]

    # ------------------------------------------------------------------ trials

    def trial(self, trial: int) -> Trial:
        """The whole record of a trial."""
        return self._population.trial(trial)

    def proposal(self, trial: int) -> Proposal:
        """What was proposed as this trial: cheaper than the whole record."""
        return self._population.proposal_of(trial)

    def status(self, trial: int) -> Status | None:
        """The trial's status."""
        return self._population.status_of(trial)

    @property
    def running(self) -> Sequence[int]:
        """The trials that are open, in order of proposal."""
        return sorted(self._population.open)

    def measurements(self, trial: int) -> Sequence[tuple[int, Mapping[str, float]]]:
        """A running trial's intermediate measurements as (step, metrics), in the user's units."""
        return [(m.step, m.metrics) for m in self._population.measured.get(trial, [])]

    def stop_of(self, trials: Ids) -> Ids:
        """The steps at which trials' weights stand; 0 for −1."""
        return np.where(trials >= 0, self._population.stop[trials], 0)

    def step_of(self, trial: int) -> int:
        """The step at which a trial's weights stand."""
        return int(self._population.stop[trial])

    def scores_of(self, trials: Ids) -> NDArray[np.float64]:
        """Scores of shape (trials, objectives); NaN for −1."""
        return np.where((trials >= 0)[:, None], self._population.scores[trials], np.nan)

    def means_of(self, trials: Ids) -> NDArray[np.float64]:
        """Means of the last `average` scores of each lineage, as `scores_of`."""
        return np.where((trials >= 0)[:, None], self._population.means[trials], np.nan)

    def inheritable(self, trials: Ids) -> NDArray[np.bool_]:
        """Which trials' states can be taken over; not −1. On a device each member's last one,
        which is all that it holds; elsewhere those whose checkpoint is kept."""
        population = self._population
        if population.vectorized:
            on_device: NDArray[np.bool_] = population.resident[population.member[trials]] == trials
            return (trials >= 0) & on_device
        kept: NDArray[np.bool_] = (trials >= 0) & population.kept[trials]
        return kept

    def can_give(self, trial: int) -> bool:
        """Whether this trial's state can be taken over, as `inheritable`."""
        population = self._population
        if population.vectorized:
            return population.is_on_device(trial)
        return population.has_checkpoint(trial)

    def records(self, step: int) -> Ids:
        """Of each lane the measured trial with the largest stop ≤ `step`, or −1: who a member at
        lineage step `step` is compared with, and whose weights it may take over."""
        population = self._population
        rows = population.top.copy()
        while True:
            younger = (rows >= 0) & (population.stop[rows] > step)
            if not younger.any():
                return rows
            rows[younger] = population.below[rows[younger]]

    def records_since(self, step: int) -> set[int]:
        """All trials that `records` can return now or later for this step or a larger one."""
        population, kept = self._population, set()
        rows = population.top[population.top >= 0]
        first = np.ones(len(rows), bool)  # of its stop: what entered before it is never found
        while len(rows):
            kept.update(rows[first].tolist())
            above = rows[population.stop[rows] > step]
            rows = population.below[above]
            above, rows = above[rows >= 0], rows[rows >= 0]
            first = population.stop[rows] < population.stop[above]
        return kept

    @cached_property
    def newest(self) -> Ids:
        """Of each lane the measured trial that ended last, or −1."""
        return _frozen(self._population.newest)

    def lineage(self, trial: int) -> Iterator[int]:
        """The trial and its ancestors by `weights_from`, youngest first."""
        return self._population.lineage(trial)

    def score_history(self, trial: int, count: int) -> NDArray[np.float64]:
        """The last `count` scores along the lineage, of the first objective, youngest first."""
        rows = list(self._population.measured_lineage(trial, count))
        scores: NDArray[np.float64] = self._population.scores[rows][:, 0]
        return scores[np.isfinite(scores)]

    # ------------------------------------------------------------------ chance

    def rng(self, member: int, turn: int, purpose: str) -> np.random.Generator:
        """The generator of a member's turn for one purpose: the same however often asked."""
        return generator(self._definition.seed, member, turn, purpose)

    def newcomer(self, member: int, turn: int) -> dict[str, Any]:
        """Hparams for a start from scratch: on turn 0 the known good ones and the designed sample,
        later a draw from the prior."""
        definition = self._definition
        if turn == 0 and definition.sampling != "independent":
            drawn = self._designed[member]
        else:
            drawn = self.space.sample(self.rng(member, turn, "sample"))
        known = definition.initial[member] if turn == 0 and member < len(definition.initial) else {}
        return {**drawn, **known}

    @cached_property
    def _designed(self) -> list[dict[str, Any]]:
        definition = self._definition
        return self.space.sample_many(self.size, definition.seed, method=definition.sampling)


def bounded(space: Space, population: State) -> Space:
    """The space with the bounds that people changed since."""
    for name, (low, high) in population.bounds.items():
        space = space.with_bounds(name, low, high)
    return space


def _frozen(array: Ids) -> Ids:
    view = array.view()
    view.flags.writeable = False
    return view
