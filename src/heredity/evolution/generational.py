"""Initiator-based evolution (Li et al. 2019, "A Generalized Framework for Population Based
Training", arXiv 1902.01894), with its budget mode PBT-W×P.

`generations` says whose turn it is and whom it can meet, `mating` who is the fitter; here a child
is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from heredity.errors import UsageError
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.explore import Explore, Perturb, as_explore
from heredity.evolution.generations import healthy, initiator, ready, record, records_since
from heredity.evolution.lanes import from_scratch, go_on
from heredity.evolution.mating import cross, fitness
from heredity.evolution.trial import Proposal
from heredity.evolution.view import View
from heredity.space import Move

if TYPE_CHECKING:
    from heredity.evolution.definition import Definition


@dataclass(frozen=True)
class Generational(Algorithm):
    """Every trial that ended initiates one child, of the next generation: it meets an opponent of
    the last one or two generations, and the fitter of the two gives its weights and hparams.

    The study's `population` is P, the number of trials in a generation; the executor's slots are W,
    and W < P is what the paper calls budget mode. No trial initiates before its own generation
    holds P trials, running ones included; until then, more trials of that generation start.

    Attributes:
        explore: how the child's hparams are changed: `Perturb`, by which each makes its own move
            (floats × 0.8 or × 1.2, ordered choices to a neighbour, categories drawn again, unless
            declared otherwise); a move for all; or None.
        crossover: probability of each hparam to come from the one that lost. Hparams that are part
            of the weights always come with the weights.
        weights: of several objectives, how much each counts, on scores turned so that higher is
            better; by default Pareto dominance decides, and then who is less crowded. The best
            trial of a study is that of the first objective in any case.
    """

    explore: Explore | Move[Any] | None = Perturb()
    crossover: float = 0.0
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        as_explore(self.explore)
        if not 0 <= self.crossover <= 1:
            raise UsageError(f"crossover is a probability, not {self.crossover!r}")
        if self.weights is not None:
            object.__setattr__(self, "weights", _as_weights(self.weights))

    def check(self, definition: Definition) -> None:
        objectives = len(definition.objectives)
        if self.weights is not None and len(self.weights) != objectives:
            raise UsageError(
                f"Generational has {len(self.weights)} weights {self.weights} for {objectives} "
                f"objectives: give one for each, or none to compare by Pareto dominance"
            )

    def decide(self, view: View, free: int) -> Decision:
        return Decision(tuple(self._next(view, member) for member in ready(view, free)))

    def retains(self, view: View) -> set[int]:
        """What the lane furthest behind may meet, and what came after."""
        wanted = np.array(sorted(records_since(view, int(view.spent.min()))), dtype=np.int64)
        finite = np.isfinite(view.scores_of(wanted)[:, 0])
        return set(wanted[finite & view.inheritable(wanted)].tolist())

    # ------------------------------------------------------------------ a child

    def _next(self, view: View, member: int) -> Proposal:
        own = initiator(view, member)
        if own < 0:
            return from_scratch(view, member, "first generation")
        opponent = _opponent(view, member)
        parent, other, why = self._meet(view, member, own, opponent)
        if parent is None:
            child = from_scratch(view, member, why)
        else:
            child = self._born(view, member, parent, other, why)
        evidence = (own,) if opponent is None else (own, opponent)
        return replace(child, generation=view.proposal(own).generation + 1, evidence=evidence)

    def _meet(
        self, view: View, member: int, own: int, opponent: int | None
    ) -> tuple[int | None, int | None, str]:
        """The parent, the other of the two if its hparams may be crossed in, and why."""
        able = healthy(view, own)
        if opponent is None:
            if able:
                return own, None, f"trial {own} meets nobody yet and goes on"
            return None, None, f"{_unable(view, own)}, nor can others: new start from the prior"
        if not able:
            return opponent, None, f"{_unable(view, own)}: {_shown(view, opponent)} is the parent"
        meeting = f"{_shown(view, own)} meets {_shown(view, opponent)}"
        if self._beats(view, member, opponent, own):
            return opponent, own, f"{meeting}: trial {opponent} is the parent"
        return own, opponent, f"{meeting}: trial {own} is the parent"

    def _beats(self, view: View, member: int, opponent: int, own: int) -> bool:
        """Whether the opponent is strictly fitter; with several objectives, among all that might
        have been the opponent."""
        trials = [opponent, own]
        if view.scores.shape[1] > 1:
            trials += [rival for rival in _rivals(view, member) if rival != opponent]
        fit = fitness(view.scores_of(np.array(trials)), self.weights)
        return bool(fit[0] > fit[1])

    def _born(self, view: View, member: int, parent: int, other: int | None, why: str) -> Proposal:
        """A child of the parent's weights, and of both's hparams if they cross."""
        hparams, sources = view.proposal(parent).hparams, [parent]
        rng = view.rng(member, int(view.turns[member]), "explore")
        if self.crossover and other is not None:
            hparams = cross(view.space, hparams, view.proposal(other).hparams, self.crossover, rng)
            sources.append(other)
        explore, start = as_explore(self.explore), view.step_of(parent)
        return go_on(
            view,
            member,
            weights_from=parent,
            hparams_from=tuple(sources),
            hparams=explore.explore(view.space, hparams, rng) if explore else dict(hparams),
            start=start,
            stop=start + view.steps_left(member),
            reason=why,
        )


def _opponent(view: View, member: int) -> int | None:
    """One of the rivals, uniformly."""
    rng, paid = view.rng(member, int(view.turns[member]), "exploit"), int(view.spent[member])
    for lane in rng.permutation(view.size).tolist():
        trial = record(view, lane, paid)
        if lane != member and healthy(view, trial):
            return trial
    return None


def _rivals(view: View, member: int) -> list[int]:
    """Of each other lane the trial that the member's can meet, if that can give its weights."""
    paid = int(view.spent[member])
    trials = [record(view, lane, paid) for lane in range(view.size) if lane != member]
    return [trial for trial in trials if healthy(view, trial)]


def _unable(view: View, trial: int) -> str:
    diverged = view.status(trial) == "diverged"
    return f"trial {trial} {'diverged' if diverged else 'lost its checkpoint'}"


def _shown(view: View, trial: int) -> str:
    """The trial, with its score in the user's units where there is one objective."""
    scores = view.scores_of(np.array([trial]))[0]
    return f"trial {trial} ({scores[0] * view.sign:.4g})" if len(scores) == 1 else f"trial {trial}"


def _as_weights(weights: Any) -> tuple[float, ...]:
    valid = isinstance(weights, list | tuple) and all(
        isinstance(w, int | float) and not isinstance(w, bool) and math.isfinite(w) and w >= 0
        for w in weights
    )
    if not valid or not any(weights):
        raise UsageError(
            f"weights are one number ≥ 0 for each objective, not all 0, such as (1.0, 0.1); got "
            f"{weights!r}"
        )
    return tuple(float(weight) for weight in weights)
