"""Reading: how studies stand, their trials and their events, page by page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from heredity.evolution.trial import Trial
from heredity.service.strict import StrictRoute
from heredity.service.studies import OpenStudy, Studies
from heredity.service.summary import StudySummary, summary
from heredity.service.wire import Number

router = APIRouter(tags=["reading"], route_class=StrictRoute)

After = Annotated[Number, Query(description="Begin behind this one.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="No more than so many.")]


@dataclass(frozen=True)
class Logged:
    """An event of the log: its number, its type, and its fields."""

    seq: int
    type: str
    data: dict[str, Any]


def studies_of(request: Request) -> Studies:
    """The studies that the application serves."""
    found: Studies = request.app.state.studies
    return found


@router.get("/studies")
async def list_studies(request: Request) -> list[str]:
    """The names of all studies, oldest first."""
    return list(await studies_of(request).names())


@router.get("/studies/{study}")
async def study_summary(request: Request, study: str) -> StudySummary:
    """How a study stands."""
    return await studies_of(request).ask(study, summary)


@router.get("/studies/{study}/trials")
async def list_trials(
    request: Request, study: str, first: Number = 0, limit: Limit = 100
) -> list[Trial]:
    """Trials in order of proposal, from number `first` on."""

    def page(study: OpenStudy) -> list[Trial]:
        study.log.refresh()
        population = study.log.population
        return [population.trial(t) for t in range(first, min(first + limit, len(population)))]

    return await studies_of(request).ask(study, page)


@router.get("/studies/{study}/trials/{trial}")
async def one_trial(request: Request, study: str, trial: Number) -> Trial:
    """A trial, whole."""

    def record(study: OpenStudy) -> Trial:
        study.log.refresh()
        return study.log.population.trial(trial)

    return await studies_of(request).ask(study, record)


@router.get("/studies/{study}/events")
async def list_events(
    request: Request, study: str, after: After = 0, limit: Limit = 100
) -> list[Logged]:
    """The events behind number `after`, in order: all that ever happened in the study."""
    from heredity.stores import codec

    studies = studies_of(request)
    await studies.ask(study, lambda study: None)  # the study exists, under a name that is one
    events = await studies.read(lambda store: store.read(study, after)[:limit])
    rows: Sequence[codec.Row] = [codec.encode(event) for event in events]
    return [
        Logged(seq, name, json.loads(text)) for seq, (name, _, text) in enumerate(rows, after + 1)
    ]
