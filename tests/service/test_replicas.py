"""Two replicas on one PostgreSQL: a trial is issued once, and no worker sees a conflict."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import served

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.executors.base import Workload
from heredity.executors.inline import Inline
from heredity.service.client import Client
from heredity.service.worker import PullWorker
from heredity.stores import open_store
from postgres_server import PostgresServer, postgres_server
from toys import Toy, toy_study

POPULATION, WORKERS, ROUNDS = 24, 8, 12

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_two_replicas_and_eight_workers(server: PostgresServer, tmp_path: Path) -> None:
    storage = server.new_database()
    study = toy_study(storage, population=POPULATION, budget=hd.Steps(5 * ROUNDS))
    study.begin()
    told: list[str] = []
    with contextlib.ExitStack() as opened:
        replicas = [opened.enter_context(served(storage, folder=tmp_path)) for _ in range(2)]
        pullers = []
        for number in range(WORKERS):
            client = Client(replicas[number % 2].url, patience_s=0.0)
            opened.callback(client.close)
            checkpoints = LocalCheckpoints(tmp_path / "toy" / "checkpoints")
            executor = Inline()
            executor.open(Workload(Toy, checkpoints, None, "loss", ("lr",)))
            pullers.append(
                PullWorker(
                    client, "toy", f"worker-{number}", executor,
                    beat_s=0.05, say=told.append, patience_s=0.0,
                )
            )  # fmt: skip
        threads = [threading.Thread(target=puller.run) for puller in pullers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
    with contextlib.closing(open_store(storage, read_only=True)) as store:
        events = store.read("toy")
    population = Population.fold(events)
    assert population.status == "ended"
    assert population.spent.tolist() == [5 * ROUNDS] * POPULATION
    started = Counter(event.trial for event in events if isinstance(event, ev.TrialStarted))
    assert started == dict.fromkeys(range(len(population)), 1)
    assert population.failures == 0
    assert sum(puller.trials for puller in pullers) == len(population)
    assert {text for text in told if "is ended" not in text} == set()
    by = {event.worker for event in events if isinstance(event, ev.TrialFinished)}
    assert len(by) == WORKERS
