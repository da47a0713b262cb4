"""Checkpoints over HTTP: whole and as they were saved, or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from served import Served, begin, served
from test_archive import HOSTILE, one

from heredity.checkpoints.local import LocalCheckpoints
from heredity.checkpoints.manifest import describe_files
from heredity.errors import UsageError
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Task
from heredity.service.archive import pack
from heredity.service.client import Client, Refused
from heredity.service.wire import DIGEST

CONTENT = {"x.json": b"1.5", "deep/er/weights.bin": bytes(300_000), "empty": b""}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose trial 0 is worker a's, for what writes nothing."""
    storage = tmp_path_factory.mktemp("still")
    begin(storage)
    with served(storage) as service, contextlib.closing(service.client()) as client:
        client.suggest("toy", "a")
        yield service
        assert everything(LocalCheckpoints(storage / "toy" / "checkpoints")) == []


def refused(service: Served, uri: str, digest: str, content: bytes) -> httpx.Response:
    """The answer to an upload after which nothing is there."""
    with httpx.Client(base_url=service.url, trust_env=False) as http:
        answer = put(http, uri, digest, content)
    assert answer.json().keys() == {"error", "message"}
    assert everything(LocalCheckpoints(service.storage / "toy" / "checkpoints")) == []
    return answer


@pytest.fixture
def place(service: Served) -> LocalCheckpoints:
    return LocalCheckpoints(service.storage / "toy" / "checkpoints")


@pytest.fixture
def task(client: Client) -> Task:
    return client.suggest("toy", "a").tasks[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "to be sent"
    for name, content in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def digest(folder: Path) -> str:
    return describe_files(folder).digest


def put(http: httpx.Client, uri: str, digest: str, content: bytes) -> httpx.Response:
    return http.put(f"/studies/toy/checkpoints/{uri}", content=content, headers={DIGEST: digest})


def everything(place: LocalCheckpoints) -> list[str]:
    """What is there, but the empty folders that are kept for later."""
    return [str(path) for path in place.root.rglob("*") if ".spare" not in path.parts]


def test_what_is_sent_is_what_is_fetched(
    client: Client, place: LocalCheckpoints, task: Task, folder: Path, digest: str
) -> None:
    saved = client.save("toy", "0-0", digest, lambda: pack(folder))
    assert saved.uri == "0-0"
    assert saved.digest == digest
    with place.open(saved) as there:
        assert describe_files_of(there) == CONTENT
    report = Completed(0, 0, 5, {"loss": 0.5}, saved, 1.0)
    assert client.complete("toy", "a", report) == "recorded"
    with client.load("toy", "0-0") as chunks:
        assert len(b"".join(chunks)) > 300_000


def describe_files_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_sending_it_again_changes_nothing(
    client: Client, place: LocalCheckpoints, task: Task, folder: Path, digest: str
) -> None:
    first = client.save("toy", "0-0", digest, lambda: pack(folder))
    inode = (place.root / "0-0").stat().st_ino
    assert client.save("toy", "0-0", digest, lambda: iter(())) == first
    assert (place.root / "0-0").stat().st_ino == inode


def test_another_save_of_an_attempt_takes_the_firsts_place(
    client: Client, place: LocalCheckpoints, task: Task, folder: Path, digest: str
) -> None:
    """A worker that died and was given its trial again."""
    client.save("toy", "0-0", digest, lambda: pack(folder))
    (folder / "x.json").write_bytes(b"2.5")
    second = client.save("toy", "0-0", describe_files(folder).digest, lambda: pack(folder))
    with place.open(second) as there:
        assert (there / "x.json").read_bytes() == b"2.5"


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_of_anything_else_writes_nothing(still: Served, digest: str, kind: str) -> None:
    answer = refused(still, "0-0", digest, HOSTILE[kind])
    assert answer.status_code == 400
    assert answer.json()["error"] == "UsageError"


def test_an_archive_that_is_not_its_digests_writes_nothing(
    still: Served, folder: Path, digest: str
) -> None:
    assert refused(still, "0-0", digest, one("x.json", b"another")).status_code == 400
    assert refused(still, "0-0", "f" * 64, b"".join(pack(folder))).status_code == 400


def test_a_manifest_of_its_own_is_refused(still: Served, digest: str) -> None:
    answer = refused(still, "0-0", digest, one("manifest.json", b"{}"))
    assert answer.status_code == 400
    assert "manifest.json" in answer.json()["message"]


@pytest.mark.parametrize("digest", ["", "x", "F" * 64, "0" * 63, "../" * 21])
def test_a_digest_that_is_none(still: Served, digest: str) -> None:
    assert refused(still, "0-0", digest, b"").status_code == 422


@pytest.mark.parametrize(
    "uri", ["%2e%2e", "0-0%2f..%2fx", "..%2f0-0", "a-b", "0", "0-0-0", "-1-0", f"{2**70}-0"]
)
def test_a_place_that_is_none(still: Served, digest: str, uri: str) -> None:
    assert refused(still, uri, digest, b"").status_code in (400, 404, 405, 422)


@pytest.mark.parametrize("uri", ["0-1", "1-0", "99-0"])
def test_an_attempt_that_nobody_runs_saves_nothing(
    still: Served, folder: Path, digest: str, uri: str
) -> None:
    answer = refused(still, uri, digest, b"".join(pack(folder)))
    assert answer.status_code in (404, 409)


def test_a_trial_that_is_over_keeps_what_it_has(
    client: Client, place: LocalCheckpoints, task: Task, folder: Path, digest: str
) -> None:
    saved = client.save("toy", "0-0", digest, lambda: pack(folder))
    client.complete("toy", "a", Completed(0, 0, 5, {"loss": 0.5}, saved, 1.0))
    (folder / "x.json").write_bytes(b"too late")
    with pytest.raises(Refused):
        client.save("toy", "0-0", describe_files(folder).digest, lambda: pack(folder))
    with place.open(saved):
        pass


def test_a_report_of_another_checkpoint_is_refused(
    client: Client, task: Task, folder: Path, digest: str
) -> None:
    saved = client.save("toy", "0-0", digest, lambda: pack(folder))
    wrong = Checkpoint(saved.uri, saved.size_bytes, "0" * 64)
    with pytest.raises(Exception, match="not the one reported"):
        client.complete("toy", "a", Completed(0, 0, 5, {"loss": 0.5}, wrong, 1.0))


def test_a_report_of_what_lies_elsewhere_is_refused(
    service: Served, client: Client, task: Task, folder: Path, digest: str
) -> None:
    """Another trial's checkpoint, and one beside the study: both are there, and undamaged."""
    saved = client.save("toy", "0-0", digest, lambda: pack(folder))
    shutil.copytree(service.storage / "toy" / "checkpoints" / "0-0", service.storage / "1-0")
    [other] = client.suggest("toy", "b").tasks
    for uri in ("0-0", "../../1-0", str(service.storage / "1-0")):
        report = Completed(other.trial.id, 0, 5, {"loss": 0.5}, replace(saved, uri=uri), 1.0)
        with pytest.raises(UsageError, match="is not where"):
            client.complete("toy", "b", report)


def test_a_stream_that_breaks_off_leaves_nothing(
    service: Served, place: LocalCheckpoints, task: Task, folder: Path, digest: str
) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"".join(pack(folder))[:100_000]
        raise KeyError("the worker dies")

    with httpx.Client(base_url=service.url, trust_env=False) as http, pytest.raises(KeyError):
        put(http, "0-0", digest, breaking())  # type: ignore[arg-type]
    with contextlib.closing(service.client()) as client:  # once this is served, that is over
        client.save("toy", "0-0", digest, lambda: pack(folder))
    _eventually(lambda: not list(place.root.glob(".partial*")))


def _eventually(holds: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_more_than_the_limit_is_refused(tmp_path: Path, folder: Path, digest: str) -> None:
    begin(tmp_path / "runs")
    with (
        served(tmp_path / "runs", upload_limit_bytes=100_000) as service,
        httpx.Client(base_url=service.url, trust_env=False) as http,
    ):
        http.post("/studies/toy/suggest", json={"worker": "a"})
        stream = b"".join(pack(folder))
        assert put(http, "0-0", digest, stream).status_code == 413
        chunks = (stream[at : at + 1000] for at in range(0, len(stream), 1000))
        with contextlib.suppress(httpx.WriteError):  # told so while it was still sending
            assert put(http, "0-0", digest, chunks).status_code in (400, 413)  # type: ignore[arg-type]
        place = LocalCheckpoints(tmp_path / "runs" / "toy" / "checkpoints")
        _eventually(lambda: everything(place) == [])


def test_what_is_not_there_is_not_found(http: httpx.Client, task: Task) -> None:
    for uri in ("0-0", "0-1", "99-0"):
        assert http.get(f"/studies/toy/checkpoints/{uri}").status_code == 404
