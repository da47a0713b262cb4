"""One turn of a study's decisions: from its state, the events that come next.

Every loop ends here, whoever runs it: a driver, a service's request, ask and tell. Pure: it reads a
population, asks the algorithm, and returns events that the caller appends. It launches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from heredity.errors import AlgorithmStuck
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals, Seconds, Steps, Target, Trials
from heredity.evolution.definition import Definition, trial_seed
from heredity.evolution.inject import carry_out
from heredity.evolution.state import State
from heredity.evolution.trial import Proposal
from heredity.evolution.view import View


def next_events(
    population: State,
    definition: Definition,
    free: int,
    seconds: float = 0.0,
    finals: Finals = Finals(),
    view: View | None = None,
) -> list[ev.Event]:
    """What follows from the population's state when `free` slots are free; empty to wait.

    Args:
        seconds: how long drivers have been alive, for budgets of `Seconds`.
        view: a view of this population, if the caller has one.

    Raises:
        AlgorithmStuck: slots are free, nothing is open, the budget is not used, and the algorithm
            proposes nothing.
    """
    if population.status not in ("running", "stopping"):
        return []
    if pausing := _pause(population):
        return [pausing]
    view = view or View(population, definition)
    reason = _over(population, view, seconds)
    if reason is None:
        decision = definition.algorithm.decide(view, free)
        proposals = carry_out(view, decision.proposals, tuple(population.injections))
        events = _proposed(population, definition, proposals)
        events += [
            ev.TrialStopRequested(trial, "the algorithm asked for it")
            for trial in decision.stop
            if population.status_of(trial) == "running" and trial not in population.stops
        ]
        if events or population.open or decision.done is None:
            _require_progress(population, events, free)
            return events
        reason = decision.done
    if population.open:
        return []
    return _finals(population, definition, finals) or [ev.StudyEnded(reason)]


def failure_limit(lanes: int) -> int:
    """So many failures with no finish between them look like a bug and pause the study."""
    return max(3, lanes)


def _pause(population: State) -> ev.StudyPaused | None:
    failures = len(population.failures_in_a_row)
    if population.status != "running" or failures < failure_limit(population.lanes):
        return None
    return ev.StudyPaused(f"{failures} failures with no finished trial between them")


def _over(population: State, view: View, seconds: float) -> str | None:
    """Why nothing new may start, or None."""
    if population.status == "stopping":
        return population.reason or "stopped"
    for limit in population.budget:
        if isinstance(limit, Steps) and not view.unspent().any():
            return f"every member has trained {limit.count} steps"
        if isinstance(limit, Trials) and population.ended_count >= limit.count:
            return f"{limit.count} trials have ended"
        if isinstance(limit, Seconds) and seconds >= limit.seconds:
            return f"{limit.seconds:g} seconds have passed"
        if isinstance(limit, Target) and _reached(population, limit):
            return f"the target score {limit.score:g} was reached"
    return None


def _reached(population: State, target: Target) -> bool:
    best = population.peak if population.vectorized else population.best
    return best is not None and bool(
        population.means[best][0] >= target.score * population.signs[0]
    )


def _proposed(
    population: State, definition: Definition, proposals: Sequence[Proposal]
) -> list[ev.Event]:
    return [
        ev.TrialProposed(number, trial_seed(definition.seed, p.member, p.turn), p)
        for number, p in enumerate(proposals, start=len(population))
    ]


def _require_progress(population: State, events: Sequence[ev.Event], free: int) -> None:
    if not events and not population.open and free > 0:
        raise AlgorithmStuck(
            f"{population.definition['algorithm']['type']} proposes nothing although nothing runs "
            f"and the budget is not used; an algorithm that has nothing to do returns "
            f"Decision(done='why')"
        )


def _finals(population: State, definition: Definition, finals: Finals) -> list[ev.Event]:
    """Evaluations of the finalists that were not evaluated again yet."""
    if finals.evaluations < 1:
        return []
    finalists = [t for t in population.finalists(finals.count) if population.kept[t]]
    waiting = [t for t in finalists if t not in population.evaluated]
    return [
        ev.TrialProposed(
            number,
            trial_seed(definition.seed, int(population.member[trial]), trial, "evaluate"),
            _evaluation(population, trial, finals.evaluations),
        )
        for number, trial in enumerate(waiting, start=len(population))
    ]


def _evaluation(population: State, trial: int, evaluations: int) -> Proposal:
    source = population.proposal_of(trial)
    step = int(population.stop[trial])
    return Proposal(
        member=source.member,
        turn=source.turn,
        kind="evaluate",
        weights_from=trial,
        hparams_from=(trial,),
        hparams=source.hparams,
        start=step,
        stop=step,
        evaluations=evaluations,
        evidence=(trial,),
        reason=f"trial {trial} is a finalist: measured again with fresh seeds",
    )
