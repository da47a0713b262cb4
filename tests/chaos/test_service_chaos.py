"""A service and its workers, killed, cut off and misled: every trial counts once, and it ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import chaos_study as toy
import httpx
import pytest
from audit import assert_no_orphans, audit, read

from heredity.checkpoints.local import LocalCheckpoints
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Workload
from heredity.executors.inline import Inline
from heredity.service.client import Client
from heredity.service.worker import PullWorker

WORKERS = ("worker-0", "worker-1", "worker-2")
POPULATION = 6
APART = (3, 12)
"""Events between kills."""

CLOCKS_S = (-60.0, 60.0)
"""How far the service's clock is off, each time it starts."""

PATIENCE_S = 120.0
"""A study that makes no progress for so long has got stuck."""


# Processes that are killed -----------------------------------------------------------------


def serve(storage: Path, port: int, off_s: float) -> None:
    """Be the service, with a clock that is off, until told to end."""
    from heredity.service.app import app
    from heredity.service.server import listening, serve_until_told

    real = time.time
    time.time = lambda: real() + off_s
    with listening("127.0.0.1", port) as (opened, _):
        serve_until_told(app(storage, lease_s=2.0), opened)


def work(port: int, name: str) -> None:
    """Be a worker until the study ends."""
    from heredity.service.hosting import Worker

    url = f"http://127.0.0.1:{port}"
    Worker(url, slots=1, name=name, patience_s=PATIENCE_S).run(toy.NAME)


class Cast:
    """The processes of a study: who dies is replaced at once, under the same name."""

    def __init__(self, storage: Path, chance: random.Random) -> None:
        self.storage = storage
        self.port = _free_port()
        self._chance = chance
        self.service = self._serve()
        self.workers = {name: self._work(name) for name in WORKERS}

    def kill(self, victim: str) -> None:
        """SIGKILL, and the successor."""
        process = self.service if victim == "service" else self.workers[victim]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if victim == "service":
            self.service = self._serve()
        elif process.exitcode == -signal.SIGKILL:
            self.workers[victim] = self._work(victim)

    def end(self) -> None:
        """All workers end by themselves, well; then the service is told to."""
        for worker in self.workers.values():
            worker.join(PATIENCE_S)
            assert worker.exitcode == 0
        assert self.service.pid is not None
        os.kill(self.service.pid, signal.SIGTERM)
        self.service.join(PATIENCE_S)
        assert self.service.exitcode == 0

    def kill_all(self) -> None:
        for process in (self.service, *self.workers.values()):
            process.kill()
            process.join()

    def _serve(self) -> ForkServerProcess:
        off_s = self._chance.uniform(*CLOCKS_S)
        return toy.start(serve, self.storage, self.storage, self.port, off_s)

    def _work(self, name: str) -> ForkServerProcess:
        return toy.start(work, self.storage, self.port, name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
        return port


def wait_for(storage: Path, holds: Callable[[Population], bool]) -> Population:
    """The study, once this holds or it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        population = Population.fold(read(storage))
        if population.status == "ended" or holds(population):
            return population
        assert time.monotonic() < deadline, f"stuck at event {population.seq}"
        time.sleep(0.005)


def disturbed(storage: Path, kills: int, rounds: int, seed: int) -> tuple[Population, int]:
    """The study's end, after so many kills at moments that its log defines, and how many of them
    hit the service."""
    toy.study(storage, "async", rounds, POPULATION).begin()
    chance = random.Random(seed)
    cast = Cast(storage, chance)
    hits = 0
    try:
        seq = 1
        for kill in range(kills):
            goal = seq + chance.randint(*APART)
            population = wait_for(storage, lambda p, goal=goal: p.seq >= goal)
            assert population.status != "ended", f"it ended after {kill} kills"
            seq = population.seq
            victim = chance.choice(["service", "service", *WORKERS])
            hits += victim == "service"
            cast.kill(victim)
        wait_for(storage, lambda population: False)
        cast.end()
    finally:
        cast.kill_all()
    _tidy(storage)
    return audit(storage, rounds), hits


def _tidy(storage: Path) -> None:
    """Serve it once more: what the dead left behind goes."""
    assert_no_orphans(storage)
    from heredity.service.app import app

    studies = app(storage).state.studies
    studies._open(toy.NAME).close()
    studies.close()


def test_nothing_is_lost_or_counted_twice_by_a_service(tmp_path: Path) -> None:
    population, hits = disturbed(tmp_path, kills=8, rounds=9, seed=3)
    assert hits >= 2
    assert population.lanes == POPULATION


@pytest.mark.system
@pytest.mark.parametrize("seed", [1, 2])
def test_fifty_kills(tmp_path: Path, seed: int) -> None:
    population, hits = disturbed(tmp_path, kills=50, rounds=70, seed=seed)
    assert hits >= 8
    assert population.lanes == POPULATION


# A network that loses, repeats and reorders ------------------------------------------------


class Unreliable(httpx.BaseTransport):
    """Delivers each request, sometimes twice, sometimes with an older one before it, and loses
    answers."""

    def __init__(self, seed: int) -> None:
        self._real = httpx.HTTPTransport()
        self._chance = random.Random(seed)
        self._sent: list[tuple[str, httpx.URL, bytes]] = []
        self.faults = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        if self._sent and self._chance.random() < 0.3:
            self._again(*self._chance.choice(self._sent[-40:]))
        if request.method == "POST" and not request.url.path.endswith("suggest"):
            self._sent.append((request.method, request.url, body))
        answer = self._real.handle_request(request)
        answer.read()
        fate = self._chance.random()
        if fate < 0.2:
            self._again(request.method, request.url, body)
        if fate < 0.1:
            self.faults += 1
            raise httpx.ReadError("the answer got lost")
        return answer

    def _again(self, method: str, url: httpx.URL, body: bytes) -> None:
        self.faults += 1
        headers = {"Content-Type": "application/json", "Host": f"{url.host}:{url.port}"}
        again = httpx.Request(method, url, content=body, headers=headers)
        answer = self._real.handle_request(again)
        assert answer.status_code < 500, answer.read()
        answer.read()

    def close(self) -> None:
        self._real.close()


def test_requests_that_are_lost_repeated_and_reordered(tmp_path: Path) -> None:
    study = toy.study(tmp_path, "async", toy.ROUNDS, POPULATION)
    study.begin()
    with contextlib.ExitStack() as opened:
        url = opened.enter_context(_in_thread(tmp_path))
        transports = [Unreliable(seed) for seed in range(3)]
        pullers = [
            opened.enter_context(_puller(url, transport, study, f"worker-{number}"))
            for number, transport in enumerate(transports)
        ]
        threads = [threading.Thread(target=puller.run) for puller in pullers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert sum(transport.faults for transport in transports) > 20
    audit(tmp_path)


@contextlib.contextmanager
def _puller(url: str, transport: httpx.BaseTransport, study: Any, name: str) -> Iterator[Any]:
    """A worker whose trials run in this process."""
    client = Client(url, transport=transport, patience_s=PATIENCE_S)
    executor = Inline()
    checkpoints = LocalCheckpoints(study.folder / "checkpoints")
    executor.open(Workload(toy.Toy, checkpoints, None, "loss", ("lr",)))
    with contextlib.closing(client), contextlib.closing(executor):
        yield PullWorker(client, toy.NAME, name, executor, beat_s=0.01)


@contextlib.contextmanager
def _in_thread(storage: Path, **options: Any) -> Iterator[str]:
    from heredity.service.app import app
    from heredity.service.server import listening, server_of

    with listening("127.0.0.1", 0) as (opened, url):
        server = server_of(app(storage, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


# Leases ------------------------------------------------------------------------------------


def test_a_completion_after_the_lease_ended_counts_once(tmp_path: Path) -> None:
    """The slow worker comes first, so its result is the trial's; the other's comes too late."""
    toy.study(tmp_path, "async").begin()
    with _in_thread(tmp_path, lease_s=0.05) as url, contextlib.closing(Client(url)) as client:
        [slow] = client.suggest(toy.NAME, "slow").tasks
        again = _given_again(client, slow.trial.id)
        assert again.attempt == slow.trial.attempt + 1
        assert client.heartbeat(toy.NAME, "slow", slow.trial.id, slow.trial.attempt).lost
        uri, nothing = f"{slow.trial.id}-{slow.trial.attempt}", b'{"format": 1, "files": {}}'
        digest = hashlib.sha256(nothing).hexdigest()
        saved = client.save(toy.NAME, uri, digest, lambda: iter([bytes(1024)]))
        assert client.complete(toy.NAME, "slow", _done(slow.trial, saved)) == "recorded"
        assert client.complete(toy.NAME, again.worker, _done(again)) == "already done"
        assert client.complete(toy.NAME, "slow", _done(slow.trial, saved)) == "already done"
    events = [e for e in read(tmp_path) if getattr(e, "trial", None) == slow.trial.id]
    assert [type(e) for e in events] == [
        ev.TrialProposed,
        ev.TrialStarted,
        ev.TrialFailed,
        ev.TrialStarted,
        ev.TrialFinished,
    ]
    assert (events[2].failure, events[-1].worker) == ("lost", "slow")


def _given_again(client: Client, trial: int) -> Any:
    """The trial as another worker is given it, once the lease is over; each asks once."""
    for number in range(2000):
        for task in client.suggest(toy.NAME, f"other-{number}").tasks:
            if task.trial.id == trial:
                return task.trial
        time.sleep(0.005)
    raise AssertionError("the trial was never issued again")


def _done(trial: Any, saved: Checkpoint | None = None) -> Completed:
    return Completed(trial.id, trial.attempt, trial.stop, {"loss": 0.5}, saved, 0.1)
