"""People: what a person may do to a study while it runs. Each request says how things are to be, so
that it may be sent again; each answers with how the study stands then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from heredity import hands
from heredity.evolution.population import Population
from heredity.log import Log
from heredity.service.reading import studies_of
from heredity.service.strict import StrictRoute
from heredity.service.studies import OpenStudy
from heredity.service.summary import StudySummary, summary
from heredity.service.wire import Number

router = APIRouter(tags=["people"], route_class=StrictRoute)

Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1000)]


@dataclass(frozen=True)
class Why:
    """A reason, for people to read; without one, that it was a person."""

    reason: Text = ""


@dataclass(frozen=True)
class Bounds:
    """The bounds of one hparam."""

    low: Finite
    high: Finite


@dataclass(frozen=True)
class Injection:
    """A trial that is to be run: its hparams, complete, and the trial whose weights it begins
    from; null is from scratch."""

    hparams: Mapping[str, Any]
    weights_from: Number | None = None


@router.post("/studies/{study}/pause")
async def pause(request: Request, study: str, why: Why = Why()) -> StudySummary:
    """Start nothing new until the study is resumed; what runs is finished."""
    return await _done(request, study, lambda log: hands.pause(log, *_given(why)))


@router.post("/studies/{study}/resume")
async def resume(request: Request, study: str) -> StudySummary:
    """Go on with a study that is paused, or that was stopped."""
    return await _done(request, study, hands.resume)


@router.post("/studies/{study}/stop")
async def stop(request: Request, study: str, why: Why = Why()) -> StudySummary:
    """End the study once what runs is finished and the finalists are measured again."""
    return await _done(request, study, lambda log: hands.stop(log, *_given(why)))


@router.put("/studies/{study}/pins/{trial}")
async def pin(request: Request, study: str, trial: Number) -> StudySummary:
    """Keep a trial's checkpoint until the pin is taken off."""
    return await _done(request, study, lambda log: hands.pin(log, trial))


@router.delete("/studies/{study}/pins/{trial}")
async def unpin(request: Request, study: str, trial: Number) -> StudySummary:
    """Take the pin off; the checkpoint goes when nothing else wants it."""
    return await _done(request, study, lambda log: hands.unpin(log, trial))


@router.put("/studies/{study}/bounds/{name}")
async def change_bounds(request: Request, study: str, name: str, bounds: Bounds) -> StudySummary:
    """Draw and move one hparam within other bounds from here on."""
    return await _done(
        request, study, lambda log: hands.change_bounds(log, name, bounds.low, bounds.high)
    )


@router.put("/studies/{study}/injections/{number}")
async def inject(
    request: Request, study: str, number: Number, injection: Injection
) -> StudySummary:
    """Ask for a trial: the weakest of the next members to start carries it out.

    `number` is the study's `next_injection`, by which a request that is sent again counts once.
    """

    def injected(log: Log) -> None:
        if not _is_known(log.population, number, injection):
            hands.inject(log, injection.hparams, injection.weights_from, number)

    return await _done(request, study, injected)


def _is_known(population: Population, number: int, asked: Injection) -> bool:
    """Whether injection `number` is what is asked for: it waits, or a trial carried it out."""
    for waiting in population.injections:
        if waiting.number == number:
            return (waiting.hparams, waiting.weights_from) == (asked.hparams, asked.weights_from)
    for trial in reversed(range(len(population))):
        proposal = population.proposal_of(trial)
        if proposal.injection == number:
            return (proposal.hparams, proposal.weights_from) == (asked.hparams, asked.weights_from)
    return False


def _given(why: Why) -> list[str]:
    """The reason, if there is one: what is said else is the same everywhere."""
    return [why.reason] if why.reason else []


async def _done(request: Request, study: str, act: Callable[[Log], None]) -> StudySummary:
    def acted(study: OpenStudy) -> StudySummary:
        study.log.refresh()
        act(study.log)
        return summary(study)

    return await studies_of(request).ask(study, acted)
