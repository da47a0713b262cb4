"""The application: studies and their trials as resources over HTTP.

    GET  /studies …                   how studies stand, their trials, their events
    POST /studies/{study}/suggest     trials to run             heartbeat, complete, fail
    PUT  /studies/{study}/checkpoints/…                         what a trial saved

Every write may be sent again: it counts once. The application holds no state, so any replica may
answer any request. It decides nothing: each request is one call of the study's desk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from heredity.errors import HeredityError
from heredity.service import files, people, reading, working
from heredity.service.guard import Guard
from heredity.service.studies import Studies
from heredity.service.wire import Problem

UPLOAD_LIMIT_BYTES = 16 << 30
"""The largest checkpoint that is taken over HTTP."""


def app(
    storage: str | Path,
    token: str | None = None,
    *,
    folder: Path | None = None,
    lease_s: float = 60.0,
    upload_limit_bytes: int = UPLOAD_LIMIT_BYTES,
) -> FastAPI:
    """The service of all studies in `storage`, as an ASGI application.

    Args:
        storage: a folder, or the address of a database.
        token: what every request must bear; without one, only this machine is answered.
        folder: holds a folder of files for each study; by default beside the storage.
        lease_s: how long a worker may be silent before its trial is issued again.
        upload_limit_bytes: the largest checkpoint that is taken over HTTP.
    """
    studies = Studies(storage, folder, lease_s)

    @asynccontextmanager
    async def closing(application: FastAPI) -> AsyncIterator[None]:
        yield
        studies.close()

    application = FastAPI(
        title="heredity",
        summary="Population Based Training as a service.",
        version="1",
        lifespan=closing,
        redoc_url=None,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    application.state.studies = studies
    application.state.upload_limit_bytes = upload_limit_bytes
    application.add_middleware(Guard, token=token, upload_limit_bytes=upload_limit_bytes)
    application.add_exception_handler(HeredityError, _ours)
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(HTTPException, _http)
    application.add_exception_handler(Exception, _unforeseen)
    application.add_api_route("/health", _health, tags=["service"])
    for router in (reading.router, working.router, files.router, people.router):
        application.include_router(router)
    return application


async def _health() -> dict[str, str]:
    """Answers while the service runs."""
    return {"status": "ok"}


# One shape for all that goes wrong --------------------------------------------------------------


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HeredityError)
    return _problem(error.http_status, type(error).__name__, str(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(problem["type"] == "json_invalid" for problem in found):
        return _problem(400, "UsageError", "the body is no JSON")
    return _problem(422, "UsageError", "; ".join(map(_where, found[:5])))


def _where(problem: dict[str, Any]) -> str:
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = {404: "NotFound", 405: "MethodNotAllowed", 413: "BodyTooLarge"}
    name = kind.get(error.status_code, "UsageError")
    return _problem(error.status_code, name, str(error.detail), dict(error.headers or {}))


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    return _problem(500, "ServerError", "the service failed; its log says how")


def _problem(
    status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": error, "message": message}, status, headers)
