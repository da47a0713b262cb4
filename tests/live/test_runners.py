"""Who runs a study is told by its store: the lock's holder, and workers whose leases go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import heredity as hd
from heredity.driver import tick
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals, Steps
from heredity.live.picture import picture
from heredity.live.runners import Runners, runners_of
from heredity.log import Log
from heredity.stores import open_store
from heredity.stores.memory import MemoryStore
from heredity.testing.clock import FakeClock
from live.played import facts_after
from toys import NAME, run, toy_study

HOLDER = """
import sys
from heredity.stores import open_store
store = open_store(sys.argv[1])
with store.lock(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_driver_holds_its_study_until_it_is_killed(tmp_path: Path) -> None:
    toy_study(tmp_path).inject({"lr": 0.01})
    assert not hd.open(NAME, tmp_path).runners
    command = [sys.executable, "-c", HOLDER, str(tmp_path), NAME]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"held\n"
        result = hd.open(NAME, tmp_path)
        assert result.runners.driver is not None
        assert result.runners.driver.startswith(f"pid {driver.pid} on ")
        driver.kill()
    assert not result.runners
    assert str(result.runners) == "nobody"


def test_a_study_is_run_while_it_runs(tmp_path: Path) -> None:
    seen = set()
    study = toy_study(tmp_path)
    run(study, on_event=lambda event: seen.add(bool(hd.open(NAME, tmp_path).runners)))
    assert True in seen
    assert not study.result.runners


def test_workers_run_it_as_long_as_their_leases_do() -> None:
    """Two of them ask; the one whose lease runs out is not named any more."""
    clock = FakeClock()
    log = _asked(MemoryStore(clock), "one", "two")
    assert set(runners_of(log).workers) == {"one", "two"}
    trials = {log.population.workers[t]: t for t in log.population.open}
    log.store.lease(NAME, trials["one"], 0, "one", 60.0)
    log.store.lease(NAME, trials["two"], 0, "two", 600.0)
    clock.advance(61)
    assert runners_of(log) == Runners(None, ("two",))
    clock.advance(600)
    assert not runners_of(log)


def test_the_slots_of_a_worker_are_one_worker() -> None:
    log = _asked(MemoryStore(FakeClock()), "host-0/0", "host-0/1", "asked")
    assert runners_of(log) == Runners(None, ("host-0", "asked"))


def _asked(store: MemoryStore, *workers: str) -> Log:
    """A study of which these workers were given a trial each."""

    definition = toy_study().definition
    store.create(NAME, [ev.StudyCreated(definition.as_json(), (Steps(30),))])
    log = Log(store, NAME)
    for worker in workers:
        tick(log, definition, lambda population: 1, 0.0, Finals(0, 0), worker=worker)
    return log


def test_a_process_that_asks_is_named(tmp_path: Path) -> None:
    (session,) = toy_study(tmp_path, None).ask(worker="loop")
    assert str(hd.open(NAME, tmp_path).runners) == "worker loop"
    session.fail("enough")


@pytest.mark.parametrize(
    ("runners", "words"),
    [
        (Runners("pid 7 on host", ("a",)), "pid 7 on host"),
        (Runners(None, ("a",)), "worker a"),
        (Runners(None, ("a", "b")), "2 workers"),
        (Runners(None, ()), "nobody"),
    ],
)
def test_the_picture_says_who(runners: Runners, words: str) -> None:
    facts = facts_after(5, runners=runners)
    lines = picture(facts, None, 80, 24, fancy=True).plain.splitlines()
    assert lines[0].startswith(f"toy  running ({words})")
    assert ("nobody is at work on it" in lines[-1]) == (not runners)
    assert "(" not in picture(facts_after(5), None, 80, 24, fancy=True).plain.splitlines()[0]


def test_of_a_study_that_has_ended_nobody_asks() -> None:
    facts = facts_after(1000, runners=Runners(None, ()))
    assert facts.by == ""
    assert not facts.abandoned


def test_open_store_tells_readers_too(tmp_path: Path) -> None:
    toy_study(tmp_path).inject({"lr": 0.01})
    store = open_store(tmp_path)
    with store.lock(NAME):
        assert hd.open(NAME, tmp_path).runners
    store.close()
