"""Working: what workers ask and report. Each request is one call of the study's desk, and may be
sent again."""

from __future__ import annotations

from fastapi import APIRouter, Request

from heredity.describe import describe
from heredity.recipe import workload_of
from heredity.service.accept import check_completed, check_failed, check_measured
from heredity.service.reading import studies_of
from heredity.service.strict import StrictRoute
from heredity.service.studies import OpenStudy, proof_of
from heredity.service.wire import (
    Complete,
    Fail,
    Heard,
    Heartbeat,
    Recipe,
    Recorded,
    Suggest,
    Suggested,
)

router = APIRouter(tags=["working"], route_class=StrictRoute)

SOON_S, LATER_S = 0.5, 5.0
"""When to ask again where nothing may start just now, and where a person has to act first."""


BEATS = 4
"""Signs of life within one lease, so that one or two may get lost."""


@router.get("/studies/{study}/recipe")
async def recipe(request: Request, study: str) -> Recipe:
    """What a worker needs to know before its first trial."""

    def known(study: OpenStudy) -> Recipe:
        return Recipe(
            workload=workload_of(study.name, study.log.population.code),
            metric=study.definition.objectives[0].name,
            space=describe(study.definition.space),
            folder=str(study.folder),
            proof=proof_of(study.folder),
            beat_s=study.desk.lease_s / BEATS,
        )

    return await studies_of(request).ask(study, known)


@router.post("/studies/{study}/suggest")
async def suggest(request: Request, study: str, ask: Suggest) -> Suggested:
    """Trials for a worker: those it was given and has not ended, then new ones."""

    def suggested(study: OpenStudy) -> Suggested:
        tasks = study.desk.suggest(ask.worker, ask.count)
        status = study.log.population.status
        wait_s = LATER_S if status == "paused" else SOON_S
        return Suggested(tuple(tasks), status or "running", wait_s)  # type: ignore[arg-type]

    return await studies_of(request).ask(study, suggested)


@router.post("/studies/{study}/heartbeat")
async def heartbeat(request: Request, study: str, beat: Heartbeat) -> Heard:
    """A worker is alive, and still runs an attempt."""

    def heard(study: OpenStudy) -> Heard:
        check_measured(study, beat)
        answer = study.desk.heartbeat(beat.worker, beat.trial, beat.attempt, beat.measured)
        return Heard(answer.stop, answer.lost)

    return await studies_of(request).ask(study, heard)


@router.post("/studies/{study}/complete")
async def complete(request: Request, study: str, done: Complete) -> Recorded:
    """An attempt ran to its end. Also the completion of an attempt whose lease is over counts,
    while no other has ended the trial."""

    def recorded(study: OpenStudy) -> Recorded:
        check_completed(study, done.report)
        return Recorded(study.desk.complete(done.worker, done.report))

    return await studies_of(request).ask(study, recorded)


@router.post("/studies/{study}/fail")
async def fail(request: Request, study: str, failed: Fail) -> Recorded:
    """An attempt ended without a result."""

    def recorded(study: OpenStudy) -> Recorded:
        check_failed(study, failed.report)
        return Recorded(study.desk.fail(failed.worker, failed.report))

    return await studies_of(request).ask(study, recorded)
