"""Thirty kills of drivers and workers in one study, at moments that its log's progress defines."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import chaos_study as toy
import pytest
from audit import audit, read, story

from heredity.errors import HeredityError
from heredity.evolution.population import Population

KILLS, ROUNDS, POPULATION = 30, 35, 6
APART = (14, 24)
"""Events between kills: more than a trial that was killed needs to end, so that no trial fails
twice by itself, which is a reason to give its lane other hparams."""


def drive(storage: Path, mode: str, kind: str, link: Connection) -> None:
    """Drive the study, telling at each event who could be killed now.

    It goes on at once, so death may come anywhere up to the next event but one.
    """
    workers = toy.executor(kind)
    told = 0

    def tell(event: Any) -> None:
        nonlocal told
        if told:
            link.recv()
        link.send(_pids(workers))
        told += 1

    study = toy.study(storage, mode, ROUNDS, POPULATION)
    study.run(workers, on_event=tell, live="off")


def _pids(workers: Any) -> Sequence[int]:
    """The processes of the workers; none before they are started, or inline."""
    try:
        return workers.pids
    except (AttributeError, HeredityError):
        return ()


def run(storage: Path, mode: str, kind: str, kills: Iterator[tuple[int, str]]) -> int:
    """Run the study until it ends, carrying out `kills`; returns how many drivers were killed."""
    drivers = 0
    while True:
        ours, theirs = toy.pipe()
        driver = toy.start(drive, storage, storage, mode, kind, theirs)
        theirs.close()
        _kill_at(driver.pid, ours, kills)
        driver.join()
        if driver.exitcode == 0:
            return drivers
        assert driver.exitcode == -signal.SIGKILL
        drivers += 1


def _kill_at(driver: int, link: Connection, kills: Iterator[tuple[int, str]]) -> None:
    """Follow one driver to its end, and kill as the plan says."""
    left, victim = next(kills, (-1, ""))
    with contextlib.suppress(EOFError, OSError):
        while True:
            workers: Sequence[int] = link.recv()
            link.send("go on")
            left -= 1
            if left == 0 and victim == "driver":
                os.kill(driver, signal.SIGKILL)
                return
            if left == 0 and workers:
                with contextlib.suppress(ProcessLookupError):  # it died of an earlier kill
                    os.kill(workers[int(victim)], signal.SIGKILL)
                left, victim = next(kills, (-1, ""))


def plan(seed: int) -> Iterator[tuple[int, str]]:
    """Who dies after how many more events. The first victim is a driver."""
    chance = random.Random(seed)
    for kill in range(KILLS):
        victim = "driver" if kill == 0 else chance.choice(["driver", "driver", "0", "1"])
        yield chance.randint(*APART), victim


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nothing_is_lost_or_counted_twice(tmp_path: Path, mode: str) -> None:
    kills = plan(seed=7)
    assert run(tmp_path, mode, "processes", kills) > 10
    assert next(kills, None) is None, "the study ended before all kills were carried out"
    population = audit(tmp_path, ROUNDS)
    assert population.failures > 10
    if mode == "sync":
        assert story(population) == story(_undisturbed(tmp_path / "undisturbed"))


def _undisturbed(storage: Path) -> Population:
    assert run(storage, "sync", "inline", iter(())) == 0
    return Population.fold(read(storage))
