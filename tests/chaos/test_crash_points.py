"""Every crash point, at its first and second visit: the study is run again, and nothing shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import chaos_study as toy
import pytest
from audit import assert_held_is_there, assert_no_orphans, audit, read, story

from heredity.crash import POINTS
from heredity.evolution import events as ev
from heredity.evolution.population import Population

VISITS = (1, 2)
DRIVER_POINTS = [point for point in POINTS if not point.startswith("rename")]
WORKER_POINTS = [point for point in POINTS if point.startswith("rename")]


def run(storage: Path, *args: str) -> int | None:
    process = toy.start(toy.drive, storage, storage, *args)
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """The same study without a crash."""
    storage = tmp_path_factory.mktemp("undisturbed")
    assert run(storage, "sync", "inline") == 0
    return audit(storage)


@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("point", POINTS)
def test_a_synchronous_study_decides_the_same_after_a_crash(
    tmp_path: Path, undisturbed: Population, point: str, visit: int
) -> None:
    assert run(tmp_path, "sync", "inline", f"{point}:{visit}") == -9
    assert_held_is_there(tmp_path)
    assert run(tmp_path, "sync", "inline") == 0
    assert story(audit(tmp_path)) == story(undisturbed)


@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("point", DRIVER_POINTS)
def test_workers_end_with_their_driver_and_the_next_one_goes_on(
    tmp_path: Path, point: str, visit: int
) -> None:
    assert run(tmp_path, "async", "processes", f"{point}:{visit}") == -9
    assert_no_orphans(tmp_path)
    assert run(tmp_path, "async", "processes") == 0
    audit(tmp_path)


@pytest.mark.parametrize("visit", VISITS)
@pytest.mark.parametrize("point", WORKER_POINTS)
def test_a_worker_that_dies_costs_one_attempt(tmp_path: Path, point: str, visit: int) -> None:
    assert run(tmp_path, "async", "processes", "", f"{point}:{visit}") == 0
    failures = [event for event in read(tmp_path) if isinstance(event, ev.TrialFailed)]
    assert [failure.attempt for failure in failures] == [0]
    assert "SIGKILL" in failures[0].error
    audit(tmp_path)


def test_a_crash_of_a_crashed_study(tmp_path: Path, undisturbed: Population) -> None:
    """Recovery is tried too: each run dies at its third append, however far it has come."""
    runs = 0
    while run(tmp_path, "sync", "inline", "append.after:9") == -9:
        runs += 1
    assert runs > 5
    assert story(audit(tmp_path)) == story(undisturbed)


@pytest.mark.parametrize("point", ["append.before:3", "rename.after:2"])
def test_the_command_itself(tmp_path: Path, undisturbed: Population, point: str) -> None:
    command = [sys.executable, toy.__file__, str(tmp_path), "sync", "inline"]
    crashing = {**os.environ, "HEREDITY_CRASH_AT": point, toy.TOKEN: str(tmp_path)}
    assert subprocess.run(command, env=crashing).returncode == -9
    subprocess.run(command, env={**crashing, "HEREDITY_CRASH_AT": ""}, check=True)
    assert story(audit(tmp_path)) == story(undisturbed)
