"""Store and population kept in step: what is illegal is never written, what is not written never
folded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import heredity as hd
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.log import Log
from heredity.stores.base import Store
from heredity.stores.memory import MemoryStore
from toys import toy_study


def created() -> ev.StudyCreated:
    study = toy_study()
    return ev.StudyCreated(study.definition.as_json(), study.budget)


@pytest.fixture
def store() -> Store:
    store = MemoryStore()
    store.create("s", [created()])
    return store


def inject(number: int) -> ev.TrialInjected:
    return ev.TrialInjected(number, {"lr": 0.01}, None)


def test_what_is_appended_is_written_and_folded(store: Store) -> None:
    log = Log(store, "s")
    log.append([inject(0), inject(1)])
    assert log.population.seq == 3
    assert [i.number for i in log.population.injections] == [0, 1]
    assert len(store.read("s")) == 3


def test_what_is_illegal_is_never_written_not_even_in_part(store: Store) -> None:
    log = Log(store, "s")
    with pytest.raises(hd.IllegalEvent):
        log.append([inject(0), inject(7)])
    assert len(store.read("s")) == 1
    assert log.population.seq == 1
    assert not log.population.injections


def test_what_cannot_be_written_is_not_folded(store: Store) -> None:
    class Full(MemoryStore):
        def append(self, study: str, events: Sequence[ev.Event], expected: int) -> int:
            raise hd.StoreError("the disk is full")

    full = Full()
    full.create("s", [created()])
    log = Log(full, "s")
    with pytest.raises(hd.StoreError):
        log.append([inject(0)])
    assert log.population.seq == 1
    assert not log.population.injections


def test_who_loses_a_race_reads_on(store: Store) -> None:
    one, other = Log(store, "s"), Log(store, "s")
    other.append([inject(0)])
    with pytest.raises(hd.Conflict):
        one.append([inject(0)])
    assert one.population.seq == other.population.seq == 2


def test_who_decides_anew_after_losing_gets_in_in_the_end(store: Store) -> None:
    one, other = Log(store, "s"), Log(store, "s")
    other.append([inject(0)])
    seen = []

    def decide(population: Population) -> list[ev.Event]:
        seen.append(population.seq)
        return [inject(population.next_injection())]

    assert one.append_after_others(decide) == [inject(1)]
    assert seen == [1, 2]


def test_nothing_to_append_asks_nobody(store: Store) -> None:
    one, other = Log(store, "s"), Log(store, "s")
    other.append([inject(0)])
    one.append([])
    assert one.population.seq == 1


def test_a_listener_is_told_each_event_once_in_order_whoever_wrote_it(store: Store) -> None:
    told: list[ev.Event] = []
    one, other = Log(store, "s", told.append), Log(store, "s")
    assert told == []
    one.append([inject(0)])
    other.refresh()
    other.append([inject(1)])
    other.append([inject(2)])
    with pytest.raises(hd.Conflict):
        one.append([inject(1)])
    one.append([inject(3)])
    one.refresh()
    assert told == list(store.read("s", after=1))


def test_an_unknown_study_is_named_with_the_likely_one(store: Store) -> None:
    with pytest.raises(hd.NotFound, match="no study 'z'"):
        Log(store, "z")
    store.create("digits", [created()])
    with pytest.raises(hd.NotFound, match="Did you mean `digits`"):
        Log(store, "digit")
