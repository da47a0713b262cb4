"""Studies at every stage, played in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heredity.evolution.budget import Finals, Limit, Steps
from heredity.evolution.pbt import PBT
from heredity.evolution.trial import Trial
from heredity.live.facts import Facts, facts_of
from heredity.live.runners import Runners
from heredity.testing.play import NO_FINALS, Mishap, Play
from heredity.testing.toys import quadratic

STEPS = Steps(50)


def facts_after(
    turns: int,
    *,
    population: int = 4,
    budget: Limit | Sequence[Limit] = STEPS,
    slots: int = 2,
    mishaps: Callable[[Trial], Mishap | None] = lambda trial: None,
    seconds: float = 0.0,
    finals: Finals = NO_FINALS,
    runners: Runners | None = None,
) -> Facts:
    """How a toy study stands after so many trials have arrived and more were started."""
    toy = quadratic()
    definition = toy.definition(PBT(), population)
    play = Play(definition, budget, toy.run, slots=slots, mishaps=mishaps, finals=finals)
    for _ in range(turns):
        play.turn()
    play.decide()
    play.launch()
    return facts_of("toy", play.population, seconds, runners)
