"""Which checkpoints may go: a decision like any other, made from the state alone.

Whoever carries it out appends `CheckpointsReleased` first and removes files after, so that a crash
between the two leaves garbage and never a checkpoint that is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from heredity.evolution.budget import Limit, steps_per_lane, trials_in_all

if TYPE_CHECKING:
    from heredity.evolution.algorithm import Algorithm
    from heredity.evolution.definition import Definition
    from heredity.evolution.state import State
    from heredity.evolution.view import View

KeepRule = Literal["needed", "lineage", "all"]
KEEP_RULES: tuple[KeepRule, ...] = ("needed", "lineage", "all")


def releasable(
    population: State, view: View, algorithm: Algorithm, keep: KeepRule, finalists: int
) -> tuple[int, ...]:
    """The trials whose checkpoints nothing will want: not an open trial or an injection, nor the
    algorithm, nor the best, a finalist or a pin; with "lineage" not their ancestors either."""
    if keep == "all":
        return ()
    live = set(population.pins)
    live.update(int(population.source[trial]) for trial in population.open)
    live.update(population.finalists(max(1, finalists)))
    live.update(population.rivals)
    live.update(i.weights_from for i in population.injections if i.weights_from is not None)
    live |= algorithm.retains(view)
    if keep == "lineage":
        live = _with_ancestors(population, live)
    return tuple(sorted(population.held - live))


def _with_ancestors(population: State, trials: set[int]) -> set[int]:
    found: set[int] = set()
    for trial in trials:
        for row in population.lineage(trial):
            if row in found:
                break
            found.add(row)
    return found


def expected_checkpoints(
    definition: Definition, budget: Sequence[Limit], keep: KeepRule, slots: int, finalists: int
) -> int:
    """How many checkpoints a study holds at most at once, with members of even speed.

    "needed": each lane's last, the one before it that slower lanes are compared with, those being
    written, the finalists, and what waits for the next collection. Otherwise up to every trial's.
    """
    lanes = definition.population
    needed = 2 * lanes + slots + finalists + max(1, lanes // 16)
    trials = expected_trials(definition, budget)
    if keep == "needed" or trials is None:
        return needed if trials is None else min(needed, trials)
    return trials


def expected_trials(definition: Definition, budget: Sequence[Limit]) -> int | None:
    """How many trials will end, or None where the budget does not say."""
    steps, trials = steps_per_lane(budget), trials_in_all(budget)
    by_steps = None if steps is None else definition.population * -(-steps // definition.interval)
    counts = [count for count in (by_steps, trials) if count is not None]
    return min(counts, default=None)
