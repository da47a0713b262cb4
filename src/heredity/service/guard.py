"""What every request must pass before anything reads it: who asks, by which name, and how much.

Plain ASGI around the application, so that a request that is refused costs nothing and writes
nothing. It knows no study.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_LIMIT_BYTES = 1 << 20
"""The largest JSON body: a trial's report with a long traceback is a hundredth of it."""

OPEN = frozenset({"/health", "/docs", "/openapi.json"})
"""What may be read without the token: it tells nothing of any study."""

_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?")
_UPLOAD = re.compile(r"/studies/[^/]+/checkpoints/[^/]+")


class Guard:
    """Lets a request through to `application`, or answers it.

    With a `token`, requests bear it; it is compared in constant time and written nowhere. Without
    one, only those that address this very machine are served, so that a web page which has its own
    name point here (DNS rebinding) reaches nothing; and none that a browser makes for the page of
    another site (request forgery). Bodies are JSON, which no form can send; they are limited before
    they are read, and counted while they come.
    """

    def __init__(
        self, application: Application, *, token: str | None, upload_limit_bytes: int
    ) -> None:
        self._application = application
        self._token = None if token is None else token.encode()
        self._upload_limit_bytes = upload_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        upload = _is_upload(scope)
        limit_bytes = self._upload_limit_bytes if upload else JSON_LIMIT_BYTES
        problem = (
            self._stranger(scope["path"], headers)
            or (None if upload else _no_json(headers))
            or _too_long(headers, limit_bytes)
        )
        if problem is not None:
            await _refuse(send, *problem)
            return
        await self._application(scope, _Counted(receive, limit_bytes), send)

    def _stranger(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        """Why whoever asks may not, if so."""
        if self._token is None:
            host = headers.get(b"host", b"").decode("latin-1")
            if not _LOOPBACK.fullmatch(host):
                return 403, "Forbidden", "without a token this service answers only to localhost"
            if _is_of_another_site(host, headers):
                return 403, "Forbidden", "without a token this service answers no other site's page"
            return None
        if path in OPEN or hmac.compare_digest(_bearer(headers), self._token):
            return None
        return 401, "Unauthorized", "send the service's token: Authorization: Bearer …"


class _Counted:
    """Receives a body, and no more of it than the limit."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes < 0:
            raise HTTPException(413, _oversize(self._limit_bytes)[2])
        return message


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "PUT" and _UPLOAD.fullmatch(scope["path"]) is not None


def _is_of_another_site(host: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a browser says that a page from elsewhere makes this request."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and origin.partition("://")[2] != host:
        return True
    return headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")


def _no_json(headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
    """Why the body is of no kind that is read here, if it says that it is of any."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind in (b"", b"application/json"):
        return None
    return 415, "UsageError", "send JSON, with Content-Type: application/json"


def _bearer(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _too_long(headers: dict[bytes, bytes], limit_bytes: int) -> tuple[int, str, str] | None:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        return 400, "UsageError", "Content-Length is not a number"
    return _oversize(limit_bytes) if int(length[:20]) > limit_bytes else None


def _oversize(limit_bytes: int) -> tuple[int, str, str]:
    return 413, "BodyTooLarge", f"the body is larger than {limit_bytes:,} bytes"


async def _refuse(send: Send, status: int, error: str, message: str) -> None:
    body = json.dumps({"error": error, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
