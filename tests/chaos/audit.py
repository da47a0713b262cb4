"""What must hold for a study that has ended, whatever happened to its processes on the way."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import chaos_study as toy
from chaos_study import INTERVAL, NAME

from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import NotFound
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.stores import open_store

FINALS = Finals(2, 2)
DECISIONS = (ev.TrialProposed, ev.StudyEnded)
ENDS = (ev.TrialFinished, ev.TrialDiverged, ev.TrialStopped)


def audit(storage: Path, rounds: int = toy.ROUNDS) -> Population:
    """Assert everything below of the study that ended in `storage`."""
    events = read(storage)
    population = Population.fold(events)
    assert_whole(population, events, rounds)
    assert_gapless(storage)
    assert_decided_by_the_log(events)
    assert_nothing_unreachable(storage, population)
    assert_best(storage, population)
    assert_no_orphans(storage)
    return population


def read(storage: Path) -> Sequence[ev.Event]:
    store = open_store(storage, read_only=True)
    try:
        return store.read(NAME)
    finally:
        store.close()


def assert_whole(population: Population, events: Sequence[ev.Event], rounds: int) -> None:
    """Every trial ended once, and each lane trained all of its budget and no more."""
    assert population.status == "ended"
    ends = Counter(event.trial for event in events if isinstance(event, ENDS))
    assert ends == dict.fromkeys(range(len(population)), 1)
    assert population.spent.tolist() == [INTERVAL * rounds] * population.lanes
    assert population.ended_count == rounds * population.lanes
    trained = [p.proposal for p in population.proposed if p.proposal.kind == "train"]
    assert sum(p.stop - p.start for p in trained) == population.spent.sum()
    assert len(population.confirmed) == FINALS.count


def assert_gapless(storage: Path) -> None:
    with contextlib.closing(sqlite3.connect(storage / "heredity.db")) as database:
        rows = database.execute("SELECT seq FROM events WHERE study = ? ORDER BY seq", (NAME,))
        seqs = [seq for (seq,) in rows]
    assert seqs == list(range(1, len(seqs) + 1))


def assert_decided_by_the_log(events: Sequence[ev.Event]) -> None:
    """From each state that the log passes through, the same decision is made again."""
    population, definition = Population(), Definition.from_json(events[0].definition)
    for decided, block in groupby(events, lambda event: isinstance(event, DECISIONS)):
        block = list(block)
        if decided:
            assert next_events(population, definition, len(block), finals=FINALS) == block
        population.apply(block)


def assert_nothing_unreachable(storage: Path, population: Population) -> None:
    """Each folder is a checkpoint that the log holds, undamaged; nothing else is there."""
    checkpoints = LocalCheckpoints(storage / NAME / "checkpoints")
    held = [population.trial(trial).checkpoint for trial in sorted(population.held)]
    stored = list(checkpoints.list())
    assert sorted(s.uri for s in stored) == sorted(c.uri for c in held)
    assert not any(s.partial for s in stored)
    assert not list(checkpoints.root.glob(".*"))
    for checkpoint in held:
        with checkpoints.open(checkpoint):
            pass


def assert_held_is_there(storage: Path) -> None:
    """What the log holds is on the disk, undamaged: at every moment, also just after a crash."""
    try:
        population = Population.fold(read(storage))
    except NotFound:  # it crashed before the study began
        return
    checkpoints = LocalCheckpoints(storage / NAME / "checkpoints")
    for trial in population.held:
        with checkpoints.open(population.trial(trial).checkpoint):
            pass


def assert_best(storage: Path, population: Population) -> None:
    best = population.trial(population.best)
    link = storage / NAME / "best"
    assert link.resolve() == storage / NAME / "checkpoints" / best.checkpoint.uri
    assert (link / "x.json").is_file()


def assert_no_orphans(storage: Path) -> None:
    """All processes of the study end; those just orphaned may still be about it."""
    deadline = time.monotonic() + 10
    while (left := list(processes(storage))) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def processes(storage: Path) -> Iterator[int]:
    """The processes started for the study in `storage`, but this one."""
    token = f"{toy.TOKEN}={storage}".encode()
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                environment = Path(entry.path, "environ").read_bytes().split(b"\0")
                if token in environment and not _is_zombie(entry.name):
                    yield int(entry.name)


def _is_zombie(pid: str) -> bool:
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def story(population: Population) -> list[dict[str, Any]]:
    """Every decision and its outcome: what two runs of the same study must have in common."""
    return [
        {**asdict(event.proposal), "seed": event.seed, "score": getattr(outcome, "score", None)}
        for event, outcome in zip(population.proposed, population.outcomes, strict=True)
    ]
