"""Who may ask, by which name, and how much: refused unread, and nothing written."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from served import Served, begin, served

from heredity.service.guard import JSON_LIMIT_BYTES
from toys import events_of

TOKEN = "a-secret-of-this-test"
SUGGEST = "/studies/toy/suggest"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    storage = tmp_path_factory.mktemp("guarded")
    begin(storage)
    with served(storage, TOKEN) as service:
        yield service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests here: each leaves it as it was."""
    storage = tmp_path_factory.mktemp("served")
    begin(storage)
    with served(storage) as service:
        yield service


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff".encode("latin-1").decode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/studies", SUGGEST, "/nowhere", "/studies/toy/checkpoints/0-0"])
def test_without_the_token_nothing_is_told(
    guarded: Served, header: dict[str, str], path: str
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in header.items()}
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = httpx.request(
            method, guarded.url + path, headers=encoded, json={"worker": "a"}, trust_env=False
        )
        assert answer.status_code == 401
        assert answer.json()["error"] == "Unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "toy" not in answer.text
    assert len(events_of(guarded.storage)) == 1


def test_with_the_token_all_is_told(guarded: Served) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.get(f"{guarded.url}/studies", headers=headers, trust_env=False)
    assert answer.json() == ["toy"]


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_what_tells_nothing_of_any_study_is_open(guarded: Served, path: str) -> None:
    answer = httpx.get(guarded.url + path, trust_env=False)
    assert answer.status_code == 200
    assert "toy" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""]
)
def test_without_a_token_a_page_that_renames_itself_reaches_nothing(
    service: Served, host: str
) -> None:
    answer = httpx.post(
        service.url + SUGGEST, headers={"Host": host}, json={"worker": "a"}, trust_env=False
    )
    assert answer.status_code == 403
    assert len(events_of(service.storage)) == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_form_of_another_page_is_no_request(service: Served, kind: str) -> None:
    """Browsers send these anywhere without asking first."""
    answer = httpx.post(
        service.url + SUGGEST,
        content=b'{"worker": "a"}',
        headers={"Content-Type": kind},
        trust_env=False,
    )
    assert answer.status_code == 415
    assert len(events_of(service.storage)) == 1


@pytest.mark.parametrize("kind", ["text/plain", "text/plain;application/json", None])
@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_without_a_token_no_page_of_another_site_moves_a_study(
    service: Served, said: dict[str, str], kind: str | None
) -> None:
    """What needs no body needs no leave of a browser either."""
    headers = said if kind is None else {**said, "Content-Type": kind}
    for verb in ("pause", "stop", "resume"):
        answer = httpx.post(
            f"{service.url}/studies/toy/{verb}", content=b"", headers=headers, trust_env=False
        )
        assert answer.status_code == 403
    assert len(events_of(service.storage)) == 1


def test_the_services_own_pages_may_ask(service: Served) -> None:
    for said in ({"Origin": service.url, "Sec-Fetch-Site": "same-origin"}, {}):
        answer = httpx.get(f"{service.url}/studies", headers=said, trust_env=False)
        assert answer.json() == ["toy"]
        resumed = httpx.post(f"{service.url}/studies/toy/resume", headers=said, trust_env=False)
        assert resumed.status_code == 200


def test_a_form_without_a_body_is_no_request(service: Served) -> None:
    answer = httpx.post(
        f"{service.url}/studies/toy/pause",
        content=b"",
        headers={"Content-Type": "text/plain"},
        trust_env=False,
    )
    assert answer.status_code == 415
    assert len(events_of(service.storage)) == 1


def test_a_body_that_says_it_is_too_large_is_refused_unread(service: Served) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    head = (
        f"POST {SUGGEST} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {JSON_LIMIT_BYTES + 1}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(head.encode())  # and not a byte of the body
        assert link.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_is_counted(service: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(3 * JSON_LIMIT_BYTES // 1000):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    try:
        answer = httpx.post(
            service.url + SUGGEST, content=endless(), headers=headers, trust_env=False
        )
    except httpx.WriteError:  # it was told so while it was still sending
        return
    assert answer.status_code == 413
    assert answer.json()["error"] == "BodyTooLarge"


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_a_length_that_is_none(service: Served, length: str) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    head = f"POST {SUGGEST} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(head.encode())
        assert link.recv(1000)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"worker": 7}', 422),
        (b'{"worker": ""}', 422),
        (b'{"worker": "a\\nb"}', 422),
        (b'{"worker": "../a b"}', 422),
        (b'{"worker": "a", "count": 0}', 422),
        (b'{"worker": "a", "count": 1e9}', 422),
        (b'{"worker": "\\ud800"}', 422),
        (b'{"worker": "a", "count": 1%s}' % (b"0" * 4000), 422),
        (b'{"worker": "a", "more": ["x \\udfff"]}', 422),
        (b'{"worker": "a", "x \\ud800": {}}', 422),
    ],
)
def test_malformed_requests_have_one_shape(
    service: Served, http: httpx.Client, body: bytes, status: int
) -> None:
    answer = http.post(SUGGEST, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "message"}
    assert len(events_of(service.storage)) == 1


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "a%2fb", ".hidden", "-x", "heredity.db", "a%00b", "é"]
)
def test_a_name_that_no_study_can_have(service: Served, http: httpx.Client, name: str) -> None:
    before = sorted(service.storage.rglob("*"))
    for path in (f"/studies/{name}", f"/studies/{name}/events", f"/studies/{name}/recipe"):
        answer = http.get(path)
        assert answer.status_code in (400, 404), answer.text
        assert answer.json().keys() == {"error", "message"}
    assert sorted(service.storage.rglob("*")) == before
