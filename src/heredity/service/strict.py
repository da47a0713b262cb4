"""Bodies that can be stored: JSON whose texts are Unicode and whose integers have 64 bits.

JSON itself allows more: half a character (a lone surrogate), which UTF-8 cannot hold, and numbers
of any length, which no database can. Whatever a body is about, those are refused before anything
looks at it. This file knows no study.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

LARGEST = 2**63 - 1


class StrictRoute(APIRoute):
    """A route that takes only such bodies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, given a stricter request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body; a refusal if no store could hold it."""
        body = await super().json()
        if problem := problem_of(body):
            raise HTTPException(422, problem)
        return body


def problem_of(body: Any) -> str | None:
    """What could not be stored, if anything. It takes any depth."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and not _is_encodable(value):
            return f"{value[:80]!a} holds half a character (a lone surrogate), which is no text"
        elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            return f"an integer has at most 64 bits; this one has {value.bit_length():,}"
    return None


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
