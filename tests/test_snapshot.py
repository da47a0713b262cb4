"""The snapshot: a cache that says exactly what the log says, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heredity import log as log_module
from heredity import snapshot
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.columns import Column
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.rows import CHUNK, Rows
from heredity.log import Log
from heredity.stores.memory import MemoryStore
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy


@pytest.fixture(scope="module")
def played() -> Play:
    """More trials than fit in a chunk, with failures, divergences and open trials."""
    toy = noisy()
    definition = toy.definition(PBT(average=2), population=40, interval=10)
    befalls = mishaps(3, diverged=0.03, error=0.03, lost=0.02)
    play = Play(definition, Steps(300), toy.run, mishaps=befalls)
    play.to_the_end()
    assert len(play.population) > CHUNK
    return play


def plainly(value: Any) -> Any:
    """A field of the state, comparable by ==."""
    if isinstance(value, Column):
        value = value.values
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, Rows):
        return list(value)
    return value


def fields(population: Population) -> dict[str, Any]:
    return {name: plainly(value) for name, value in vars(population).items()}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.77, 1.0])
def test_what_is_loaded_equals_what_was_dumped(played: Play, share: float) -> None:
    population = Population.fold(played.log[: int(share * len(played.log))])
    loaded = snapshot.load(snapshot.dump(population))
    assert loaded is not None
    assert fields(loaded) == fields(population)


def test_a_loaded_state_folds_on_like_the_whole_log(played: Play) -> None:
    half = len(played.log) // 2
    loaded = snapshot.load(snapshot.dump(Population.fold(played.log[:half])))
    assert loaded is not None
    loaded.apply(played.log[half:])
    assert fields(loaded) == fields(Population.fold(played.log))


def test_a_snapshot_of_a_loaded_state_is_whole(played: Play) -> None:
    population = Population.fold(played.log)
    once = snapshot.load(snapshot.dump(population))
    assert once is not None
    once.outcomes[3] = None  # a packed record that changed is packed again
    twice = snapshot.load(snapshot.dump(once))
    assert twice is not None
    assert twice.outcomes[3] is None
    assert twice.outcomes[4] == population.outcomes[4]


def test_another_format_is_no_snapshot(played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    data = snapshot.dump(Population.fold(played.log))
    monkeypatch.setattr(snapshot, "FORMAT", snapshot.FORMAT + 1)
    assert snapshot.load(data) is None


class TestLog:
    @pytest.fixture
    def store(self, played: Play) -> MemoryStore:
        store = MemoryStore()
        store.create("s", played.log[:1])
        store.append("s", played.log[1:], expected=1)
        return store

    def test_opens_from_the_snapshot_and_reads_on(
        self, store: MemoryStore, played: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_module, "SNAPSHOT_EVERY", 1)
        log = Log(store, "s")
        log._snapshot_seq = 0
        log.save_snapshot()
        log.append([ev.BudgetChanged((Steps(310),))])
        reopened = Log(store, "s")
        assert reopened._snapshot_seq == len(played.log)
        assert reopened.population.budget == (Steps(310),)
        assert fields(reopened.population) == fields(log.population)

    def test_a_snapshot_that_cannot_be_used_is_passed_over(
        self, store: MemoryStore, played: Play
    ) -> None:
        store.save_snapshot("s", 5, b"12\nno snapshot")
        assert fields(Log(store, "s").population) == fields(Population.fold(played.log))

    def test_a_snapshot_ahead_of_the_log_is_passed_over(
        self, store: MemoryStore, played: Play
    ) -> None:
        """A log restored from an older copy, with the cache of a newer one."""
        longer = Population.fold([*played.log, ev.BudgetChanged((Steps(310),))])
        store.save_snapshot("s", longer.seq, snapshot.dump(longer))
        assert fields(Log(store, "s").population) == fields(Population.fold(played.log))
