"""Checkpoints over HTTP, for workers that do not see the service's folder: as tar streams.

What comes is written beside its place, checked against its digest and renamed into it, so a stream
that is cut short leaves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from heredity.checkpoints.local import LocalCheckpoints
from heredity.checkpoints.manifest import MANIFEST, describe_files
from heredity.errors import IllegalEvent, NotFound, UsageError
from heredity.evolution.trial import Checkpoint
from heredity.service.archive import pack, unpack
from heredity.service.reading import studies_of
from heredity.service.strict import StrictRoute
from heredity.service.studies import OpenStudy
from heredity.service.wire import DIGEST, MEDIA, Number

router = APIRouter(tags=["checkpoints"], route_class=StrictRoute)

Digest = Annotated[str | None, Header(alias=DIGEST, pattern="^[0-9a-f]{64}$")]

_BODY = {"content": {MEDIA: {"schema": {"type": "string", "format": "binary"}}}, "required": True}


@router.put("/studies/{study}/checkpoints/{trial}-{attempt}", openapi_extra={"requestBody": _BODY})
async def save_checkpoint(
    request: Request, study: str, trial: Number, attempt: Number, digest: Digest = None
) -> Checkpoint:
    """Keep what an attempt saved: a tar stream of plain files, whose manifest has this digest, if
    one is given. The answer belongs into the report."""
    studies = studies_of(request)
    place = await studies.ask(study, lambda study: _place(study, trial, attempt))
    there = await anyio.to_thread.run_sync(_present, place, trial, attempt, digest)
    if there is not None:  # sent before: nothing to write
        return there
    limit_bytes: int = request.app.state.upload_limit_bytes
    stream = request.stream()

    def receive(folder: Path) -> None:
        unpack(_chunks(stream), folder, limit_bytes)
        if (folder / MANIFEST).exists():
            raise UsageError(f"the archive has a file {MANIFEST!r}, the name of the service's own")
        if digest and describe_files(folder).digest != digest:
            raise UsageError("the archive is not what its digest says: send it again")
        anyio.from_thread.run(studies.ask, study, lambda study: _place(study, trial, attempt))

    return await anyio.to_thread.run_sync(place.save, trial, attempt, receive)


@router.get(
    "/studies/{study}/checkpoints/{trial}-{attempt}",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def load_checkpoint(
    request: Request, study: str, trial: Number, attempt: Number
) -> StreamingResponse:
    """What a trial saved, as a tar stream."""

    def folder(study: OpenStudy) -> Path:
        study.log.refresh()
        saved = study.log.population.trial(trial).checkpoint
        if saved is None or saved.uri != f"{trial}-{attempt}":
            raise NotFound(f"attempt {attempt} of trial {trial} has no checkpoint")
        return study.checkpoints.root / saved.uri

    found = await studies_of(request).ask(study, folder)
    return StreamingResponse(pack(found, skip=MANIFEST), media_type=MEDIA)


def _place(study: OpenStudy, trial: int, attempt: int) -> LocalCheckpoints:
    """Where the study's checkpoints lie, if this attempt may save one now."""
    population = study.log.population
    if trial >= len(population) or not population.is_open(trial):
        study.log.refresh()
    record = population.trial(trial)
    if not population.is_open(trial) or attempt > record.attempt or record.kind != "train":
        raise IllegalEvent(f"attempt {attempt} of trial {trial} is over, or was never begun")
    return study.checkpoints


def _present(
    place: LocalCheckpoints, trial: int, attempt: int, digest: str | None
) -> Checkpoint | None:
    """The checkpoint, if the very same was sent before."""
    folder = place.root / f"{trial}-{attempt}"
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest() != digest:
        return None
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Checkpoint(folder.name, size_bytes, digest)


def _chunks(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The stream, for a thread."""

    async def following() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(following)) is not None:
        if chunk:
            yield chunk
