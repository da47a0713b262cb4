"""The client tries again where that can help, and says plainly what is wrong where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from heredity.errors import NotFound, UsageError
from heredity.service.client import Client, Refused, Unreachable
from heredity.testing.clock import FakeClock

URL = "http://127.0.0.1:8765"


def answering(
    *answers: httpx.Response | Exception, patience_s: float = 600.0
) -> tuple[Client, list[httpx.Request], FakeClock]:
    """A client of a service that answers so, one after another, the last one for ever."""
    asked: list[httpx.Request] = []
    clock = FakeClock()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        given = answers[min(len(asked), len(answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return given

    client = Client(
        URL,
        "secret",
        patience_s=patience_s,
        transport=httpx.MockTransport(answer),
        sleep=clock.advance,
        clock=clock,
    )
    return client, asked, clock


def problem(status: int, message: str = "no") -> httpx.Response:
    return httpx.Response(status, json={"error": "X", "message": message})


OK = httpx.Response(200, json=["toy"])


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
        httpx.ReadTimeout("slow"),
        *(problem(status) for status in (429, 500, 502, 503, 504)),
        httpx.Response(502, text="<html>a proxy</html>"),
    ],
)
def test_what_passes_is_tried_again(trouble: httpx.Response | Exception) -> None:
    client, asked, clock = answering(trouble, trouble, OK)
    assert client.studies() == ["toy"]
    assert len(asked) == 3
    assert 0.1 < clock() < 0.5
    assert {request.headers["authorization"] for request in asked} == {"Bearer secret"}


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, UsageError), (401, UsageError), (404, NotFound), (409, Refused), (413, UsageError),
     (422, UsageError), (507, UsageError)],
)  # fmt: skip
def test_what_does_not_pass_is_not_tried_again(status: int, error: type[Exception]) -> None:
    client, asked, _ = answering(problem(status, "what to do"))
    with pytest.raises(error, match="what to do"):
        client.studies()
    assert len(asked) == 1


def test_patience_ends() -> None:
    client, asked, clock = answering(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:8765 does not answer: ConnectError"):
        client.studies()
    assert 570 < clock() <= 600
    assert 30 < len(asked) < 120


def test_an_impatient_one_tries_once() -> None:
    client, asked, clock = answering(problem(503))
    with pytest.raises(Unreachable):
        client.impatient().studies()
    assert (len(asked), clock()) == (1, 0.0)


def test_an_upload_is_made_anew_for_every_try() -> None:
    checkpoint = {"uri": "0-0", "size_bytes": 3, "digest": "0" * 64}
    client, asked, _ = answering(problem(503), httpx.Response(200, json=checkpoint))
    made: list[int] = []

    def content() -> Iterator[bytes]:
        made.append(1)
        yield b"abc"

    client.save("toy", "0-0", "0" * 64, content)
    assert len(made) == len(asked) == 2


@pytest.mark.parametrize("url", ["127.0.0.1:8765", "ftp://host", "http://host:x", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="http://"):
        Client(url)


def test_a_proxy_of_the_environment_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client, _, _ = answering(OK)
    assert not client._http._mounts
