"""What a person may do to a study, also while another process drives it: each is an event.

Python, the command line and a service all call these. Each brings the study into a state, so to ask
for what is so already is no error and adds nothing. Whoever drives the study reads the event within
about a second. Nothing here needs the study's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from heredity.describe import rebuild
from heredity.errors import Conflict, NotFound, SpaceError, UsageError
from heredity.evolution import events as ev
from heredity.evolution.budget import steps_per_lane
from heredity.evolution.population import Population
from heredity.evolution.transitions import STUDY
from heredity.evolution.view import bounded
from heredity.log import Log
from heredity.space import Space

BY_A_PERSON = "by a person"


def pause(log: Log, reason: str = BY_A_PERSON) -> None:
    """Start nothing new until the study is resumed; what runs is finished."""
    _bring(log, "paused", lambda p: p.status == "paused", ev.StudyPaused(reason))


def resume(log: Log) -> None:
    """Go on with a study that is paused, or that was stopped."""

    def event(population: Population) -> list[ev.Event]:
        if population.status == "running":
            return []
        if population.status == "paused" or population.stopped:
            return _possible(log, population, "resumed", ev.StudyResumed())
        raise UsageError(
            f"study {log.study!r} ended: {population.reason}. To go on, run it with a larger budget"
        )

    log.append_after_others(event)


def stop(log: Log, reason: str = "stopped by a person") -> None:
    """End the study once what runs is finished and the finalists are measured again."""
    over = ("stopping", "ended")
    _bring(log, "stopped", lambda p: p.status in over, ev.StudyStopRequested(reason))


def pin(log: Log, trial: int) -> None:
    """Keep a trial's checkpoint until the pin is taken off. `NotFound` if it has none."""

    def event(population: Population) -> list[ev.Event]:
        _require_checkpoint(population, trial)
        return [] if population.is_pinned(trial) else [ev.CheckpointPinned(trial)]

    log.append_after_others(event)


def unpin(log: Log, trial: int) -> None:
    """Take the pin off a trial's checkpoint, which then goes when nothing else wants it."""

    def event(population: Population) -> list[ev.Event]:
        population.trial(trial)  # raises
        return [ev.CheckpointUnpinned(trial)] if population.is_pinned(trial) else []

    log.append_after_others(event)


def change_bounds(log: Log, name: str, low: float, high: float) -> None:
    """Draw and move one hparam within other bounds from here on.

    A trial that runs keeps its value, and so does a member until it next explores. Raises
    `SpaceError` if there is no such hparam, or it cannot have such bounds.
    """

    def event(population: Population) -> list[ev.Event]:
        bounds = (float(low), float(high))
        if population.bounds.get(name) == bounds:
            return []
        return _possible(log, population, "given other bounds", ev.BoundsChanged(name, *bounds))

    space_of(log).with_bounds(name, low, high)  # raises
    log.append_after_others(event)


def inject(
    log: Log,
    hparams: Mapping[str, Any],
    weights_from: int | None = None,
    number: int | None = None,
) -> None:
    """Ask for a trial with these hparams: the weakest of the next members to start carries it out.

    Args:
        hparams: complete; outside the prior is fine, outside the bounds is not.
        weights_from: the trial whose weights it begins from; None is from scratch.
        number: what the injection's number must be, the study's next one; `Conflict` if another
            person was first. None takes whichever is next.

    Raises `UsageError` if no trial will start any more by the budget. The study may still end
    before: by a limit of seconds or a target, by a person or its algorithm.
    """

    def event(population: Population) -> list[ev.Event]:
        if number not in (None, population.next_injection()):
            raise Conflict(
                f"injection {number} is another one; the next is {population.next_injection()}"
            )
        checked = bounded(space_of(log), population).check(hparams)
        if weights_from is not None:
            _require_checkpoint(population, weights_from)
        injected = ev.TrialInjected(population.next_injection(), checked, weights_from)
        possible = _possible(log, population, "given a trial", injected)
        _require_a_start(log, population)
        return possible

    log.append_after_others(event)


def space_of(log: Log) -> Space:
    """The study's space as it was declared, from its definition."""
    space = rebuild(log.population.definition["space"])
    if not isinstance(space, Space):
        raise SpaceError(f"the definition of study {log.study!r} holds no space, but {space!r}")
    return space


def _bring(log: Log, done: str, is_so: Callable[[Population], bool], event: ev.Event) -> None:
    """Append the event unless the study is so already."""
    log.append_after_others(
        lambda population: [] if is_so(population) else _possible(log, population, done, event)
    )


def _possible(log: Log, population: Population, done: str, event: ev.Event) -> list[ev.Event]:
    """The event, if it may follow the study's status."""
    if (population.status, type(event)) not in STUDY:
        why = f": {population.reason}" if population.reason else ""
        raise UsageError(
            f"study {log.study!r} cannot be {done} now; it is {population.status}{why}"
        )
    return [event]


def _require_a_start(log: Log, population: Population) -> None:
    """Raise if all trials that will start, by the budget, carry out other injections."""
    left = _starts_left(population)
    if left is not None and left <= len(population.injections):
        waiting = f", and {left} that others were asked for" if left else ""
        raise UsageError(
            f"study {log.study!r} cannot be given a trial now: its budget leaves only what runs"
            f"{waiting}. Run it with a larger budget, then ask again"
        )


def _starts_left(population: Population) -> int | None:
    """How many trials may still start if those that run succeed; None where only time or a target
    ends the study."""
    left, limit = population.trials_left(), steps_per_lane(population.budget)
    if limit is None:
        return left
    steps = limit - population.spent
    for trial in population.open:
        proposal = population.proposal_of(trial)
        steps[proposal.member] -= proposal.stop - proposal.start
    interval = int(population.definition["interval"])
    starts = sum(math.ceil(max(0, n) / interval) for n in steps.tolist())
    return starts if left is None else min(starts, left)


def _require_checkpoint(population: Population, trial: int) -> None:
    population.trial(trial)  # raises
    if not population.has_checkpoint(trial):
        raise NotFound(f"trial {trial} has no checkpoint; it was released, or never saved")
