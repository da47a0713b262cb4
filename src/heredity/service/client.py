"""The service as workers see it: one method a request, tried again while the service is away.

What was sent may have arrived although no answer did, so every request may be sent again; the
service counts it once. This file knows nothing of how trials run.
"""

from __future__ import annotations

import contextlib
import copy
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from heredity.errors import HeredityError, NotFound, UsageError
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Failed, Measured
from heredity.service.summary import StudySummary
from heredity.service.wire import (
    DIGEST,
    MEDIA,
    Complete,
    Fail,
    Heard,
    Heartbeat,
    Outcome,
    Problem,
    Recipe,
    Recorded,
    Suggest,
    Suggested,
    to_json,
)

T = TypeVar("T")

PATIENCE_S = 600.0
"""How long a service may be away before its workers give up."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 15.0

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""An answer takes milliseconds; a service that folds a long log first takes seconds."""


class Unreachable(HeredityError):
    """The service did not answer for as long as the client was to wait."""

    http_status = 503


class Client:
    """A service at `url`. Threads may share one.

    Args:
        token: what the service was started with; from the environment, not the command line.
        patience_s: how long to go on trying while the service is away.
        sleep, clock: of the waiting between tries.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=_address(url),
            headers=headers,
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,  # a proxy between has no business with the token
        )
        self._url = url
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = clock

    # What there is -------------------------------------------------------------------------

    def studies(self) -> list[str]:
        """The names of all studies, oldest first."""
        return self._ask("GET", "/studies", list[str])

    def summary(self, study: str) -> StudySummary:
        """How a study stands."""
        return self._ask("GET", f"/studies/{study}", StudySummary)

    def recipe(self, study: str) -> Recipe:
        """What a worker needs to know before its first trial."""
        return self._ask("GET", f"/studies/{study}/recipe", Recipe)

    # What workers do -----------------------------------------------------------------------

    def suggest(self, study: str, worker: str, count: int = 1) -> Suggested:
        """Trials for a worker: those it was given and has not ended, then new ones."""
        return self._post(study, "suggest", Suggest(worker, count), Suggested)

    def heartbeat(
        self, study: str, worker: str, trial: int, attempt: int, measured: Sequence[Measured] = ()
    ) -> Heard:
        """Say that an attempt still runs, and what it measured."""
        beat = Heartbeat(worker, trial, attempt, tuple(measured))
        return self._post(study, "heartbeat", beat, Heard)

    def complete(self, study: str, worker: str, report: Completed) -> Outcome:
        """Report that an attempt ran to its end."""
        return self._post(study, "complete", Complete(worker, report), Recorded).outcome

    def fail(self, study: str, worker: str, report: Failed) -> Outcome:
        """Report that an attempt ended without a result, and why, shortened."""
        return self._post(study, "fail", Fail(worker, report), Recorded).outcome

    # Checkpoints ---------------------------------------------------------------------------

    def save(
        self, study: str, uri: str, digest: str, content: Callable[[], Iterator[bytes]]
    ) -> Checkpoint:
        """Send a checkpoint; `content` makes the stream anew for every try."""
        path, headers = f"/studies/{study}/checkpoints/{uri}", {"Content-Type": MEDIA}
        answer = self._try(
            lambda: self._http.put(path, content=content(), headers={**headers, DIGEST: digest})
        )
        return _parsed(answer, Checkpoint)

    @contextmanager
    def load(self, study: str, uri: str) -> Iterator[Iterator[bytes]]:
        """Receive a checkpoint, as the chunks of a tar stream."""
        request = self._http.build_request("GET", f"/studies/{study}/checkpoints/{uri}")
        answer = self._try(lambda: self._http.send(request, stream=True))
        try:
            yield answer.iter_bytes()
        finally:
            answer.close()

    def impatient(self) -> Client:
        """The same service, tried once: `Unreachable` if it is away just now."""
        other = copy.copy(self)
        other._patience_s = 0.0
        return other

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # Trying --------------------------------------------------------------------------------

    def _post(self, study: str, verb: str, message: Any, kind: type[T]) -> T:
        return self._ask("POST", f"/studies/{study}/{verb}", kind, to_json(message))

    def _ask(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        answer = self._try(lambda: self._http.request(method, path, content=body, headers=headers))
        return _parsed(answer, kind)

    def _try(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer, once there is one. Raises what the service says is wrong."""
        until = self._clock() + self._patience_s
        for wait_s in waits():
            try:
                answer = send()
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if not _is_passing(answer):
                    return _good(answer)
                trouble = _problem(answer).message
                answer.close()
            if self._clock() + wait_s > until:
                raise Unreachable(f"the service at {self._url} does not answer: {trouble}")
            self._sleep(wait_s)
        raise AssertionError("waits never end")


def _address(url: str) -> httpx.URL:
    with contextlib.suppress(httpx.InvalidURL):
        address = httpx.URL(url)
        if address.scheme in ("http", "https") and address.host:
            return address
    raise UsageError(f"{url!r} is no address of a service: write it as http://host:8765")


def waits() -> Iterator[float]:
    """Twice as long each time, up to a limit, and never in step with other workers."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * random.uniform(0.5, 1.5)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _is_passing(answer: httpx.Response) -> bool:
    """Whether the same request may well succeed later: but not on a disk that is full."""
    return answer.status_code in (429, 500, 502, 503, 504)


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    problem = _problem(answer)
    kind = {404: NotFound, 409: Refused}.get(answer.status_code, UsageError)
    error: HeredityError = kind(f"the service says: {problem.message}")
    raise error


class Refused(HeredityError):
    """The study's state does not allow it: somebody else was first."""

    http_status = 409


def _problem(answer: httpx.Response) -> Problem:
    try:
        return _parsed(answer, Problem)
    except ValueError:
        return Problem("", f"{answer.status_code} {answer.reason_phrase}")


def _parsed(answer: httpx.Response, kind: type[T]) -> T:
    answer.read()
    return TypeAdapter(kind).validate_json(answer.content)
