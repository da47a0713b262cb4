"""Beside the decisions: files go when nothing wants them, and trials have a limit of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.driver import record, started, tick
from heredity.errors import Conflict
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Failed
from heredity.hands import pin, unpin
from heredity.log import Log
from heredity.settings import Settings
from heredity.stores.memory import MemoryStore
from heredity.upkeep import TIMEOUT_FLOOR_S, Upkeep, over_limit, sweep, sweep_closed
from toys import NAME, toy_study

NO_FINALS = Finals(0, 0)


class House:
    """A study of four members whose trials run when a test says so, and the upkeep of its files."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        study = toy_study(**{"budget": hd.Trials(1000), **changes})
        self.definition, self.budget = study.definition, study.budget
        self.settings = study.settings
        self.checkpoints = LocalCheckpoints(folder / "checkpoints")
        self.store = MemoryStore()
        created = ev.StudyCreated(self.definition.as_json(), self.budget)
        self.store.create(NAME, [created])
        self.log = Log(self.store, NAME)
        self.marked: list[str] = []
        self.upkeep = self.another()

    def another(self) -> Upkeep:
        """What the next process has: the same study, and nothing else remembered."""

        def mark(checkpoint: Checkpoint) -> None:
            self.marked.append(checkpoint.uri)

        return Upkeep(self.log, self.definition, self.checkpoints, self.settings, mark)

    def start(self) -> int:
        events = tick(self.log, self.definition, lambda _: 1, 0.0, NO_FINALS)
        (trial,) = started(events)
        return trial

    def save(self, trial: int, attempt: int = 0) -> Checkpoint:
        return self.checkpoints.save(trial, attempt, write)

    def finish(self, trial: int, loss: float) -> None:
        ran = self.log.population.trial(trial)
        saved = self.save(trial, ran.attempt)
        done = Completed(trial, ran.attempt, ran.stop, {"loss": loss}, saved, 1.0)
        assert record(self.log, done, "loss", "")

    def run(self, *losses: float) -> list[int]:
        """One trial after the other, to these losses."""
        trials = []
        for loss in losses:
            trials.append(self.start())
            self.finish(trials[-1], loss)
        return trials

    def uris(self) -> dict[int, str]:
        """What lies on the disk, by trial."""
        return {stored.trial: stored.uri for stored in self.checkpoints.list()}

    def tidied(self) -> set[int]:
        """The trials whose files are left once there was time to tidy up."""
        self.upkeep.release()
        self.upkeep.delete()
        return set(self.uris())

    @property
    def releases(self) -> list[ev.CheckpointsReleased]:
        return [e for e in self.store.read(NAME) if isinstance(e, ev.CheckpointsReleased)]


def write(folder: Path) -> None:
    (folder / "x").write_bytes(b"x" * 1000)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# Time --------------------------------------------------------------------------------------


def test_there_is_no_limit_before_anything_ended(house: House) -> None:
    assert house.upkeep.timeout_s is None
    assert house.upkeep.task(house.start()).timeout_s is None


def test_the_limit_is_twenty_medians_and_never_short(house: House) -> None:
    for elapsed_s in (1.0, 1.0, 1000.0):
        house.upkeep.took(elapsed_s)
    assert house.upkeep.timeout_s == TIMEOUT_FLOOR_S
    for _ in range(4):
        house.upkeep.took(1000.0)
    assert house.upkeep.timeout_s == 20_000.0


def test_the_limit_outlives_the_process_that_learnt_it(house: House) -> None:
    house.run(1.0)
    assert house.upkeep.timeout_s is None, "nobody told it"
    assert house.another().timeout_s == TIMEOUT_FLOOR_S, "the log did"


def test_a_limit_that_was_set_is_the_limit(tmp_path: Path) -> None:
    house = House(tmp_path, trial_timeout_s=5.0)
    house.upkeep.took(1000.0)
    assert house.upkeep.timeout_s == house.upkeep.task(house.start()).timeout_s == 5.0


def test_a_task_holds_the_checkpoint_that_it_begins_from(house: House) -> None:
    first = house.run(4.0, 3.0, 2.0, 1.0)
    tasks = [house.upkeep.task(house.start()) for _ in first]
    for task in tasks:
        source = task.trial.weights_from
        assert source is not None
        assert task.restore == house.log.population.trial(source).checkpoint


# The best ----------------------------------------------------------------------------------


def test_each_new_best_is_marked_once(house: House) -> None:
    one, two = house.run(2.0, 3.0)
    for _ in range(2):
        house.upkeep.mark_best()
    assert house.marked == [house.uris()[one]]
    (three,) = house.run(1.0)
    house.upkeep.mark_best()
    assert house.marked == [house.uris()[one], house.uris()[three]]
    assert house.uris()[two] not in house.marked


# Releasing ---------------------------------------------------------------------------------


def test_what_nothing_wants_goes_after_the_log_says_so(house: House) -> None:
    for loss in range(30, 0, -1):
        house.run(float(loss))
    kept = house.tidied()
    (released,) = house.releases
    assert kept == set(house.log.population.held)
    assert not kept & set(released.trials)
    assert kept | set(released.trials) == set(range(30))
    assert house.log.population.best in kept


def test_files_stay_until_they_are_deleted_a_few_at_a_time(house: House) -> None:
    house.run(*map(float, range(30, 0, -1)))
    house.upkeep.release()
    (released,) = house.releases
    assert len(house.uris()) == 30
    house.upkeep.delete(most=2)
    assert len(house.uris()) == 28
    house.upkeep.delete()
    assert len(house.uris()) == 30 - len(released.trials)


def test_a_pin_keeps_a_checkpoint(house: House) -> None:
    (first, *_) = house.run(*map(float, range(30, 15, -1)))
    pin(house.log, first)
    assert first in house.tidied()
    unpin(house.log, first)
    house.run(1.0)
    assert first not in house.tidied()


def test_all_may_be_kept(tmp_path: Path) -> None:
    house = House(tmp_path, keep="all")
    trials = house.run(*map(float, range(20, 0, -1)))
    assert house.tidied() == set(trials)
    assert house.releases == []


def test_a_large_population_is_tidied_after_its_sixteenth(tmp_path: Path) -> None:
    house = House(tmp_path, population=64)
    (first, *_) = house.run(*map(float, range(300, 100, -1)))
    pin(house.log, first)
    assert first in house.tidied()
    unpin(house.log, first)
    for loss in (3.0, 2.0, 1.0):
        house.run(loss)
        assert first in house.tidied()
    house.run(0.5)
    assert first not in house.tidied()


def test_who_is_beaten_to_the_log_deletes_nothing(house: House, monkeypatch: Any) -> None:
    house.run(*map(float, range(30, 0, -1)))

    def beaten(events: Any) -> None:
        raise Conflict("another was first")

    with monkeypatch.context() as patched:
        patched.setattr(house.log, "append", beaten)
        assert len(house.tidied()) == 30
    house.run(0.5)
    assert len(house.tidied()) < 30


# Failures ----------------------------------------------------------------------------------


def test_a_damaged_checkpoint_goes_though_the_algorithm_wants_it(house: House) -> None:
    house.run(4.0, 3.0, 2.0, 1.0)
    trial = house.start()
    source = house.log.population.trial(trial).weights_from
    assert source is not None
    for attempt in (0, 1):
        failed = Failed(trial, attempt, "error", "damaged", corrupt=True)
        record(house.log, failed, "loss", "")
        house.upkeep.after_failure(failed)
        assert house.upkeep.urgent == (attempt == 1), "it may have been the reader"
        if attempt == 0:
            tick(house.log, house.definition, lambda _: 1, 0.0, NO_FINALS)
    pin(house.log, source)
    assert source in house.tidied(), "it is a person's to look at"
    unpin(house.log, source)
    assert source not in house.tidied()
    assert not house.upkeep.urgent


def test_an_attempt_that_failed_leaves_nothing_behind(house: House) -> None:
    trial, other = house.start(), house.start()
    for number, attempt in ((trial, 0), (trial, 1), (other, 0)):
        house.save(number, attempt)
    house.upkeep.clean_up(trial, lambda attempt: attempt == 0)
    left = {(stored.trial, stored.attempt) for stored in house.checkpoints.list()}
    assert left == {(trial, 1), (other, 0)}


# Room on the disk --------------------------------------------------------------------------


def test_nothing_starts_when_the_limit_is_passed(tmp_path: Path) -> None:
    house = House(tmp_path, disk_limit_bytes=2500, keep="all")
    house.run(3.0, 2.0)
    assert over_limit(house.log.population, house.settings) is None
    house.run(1.0)
    told = over_limit(house.log.population, house.settings)
    assert told is not None
    assert "3 checkpoints take" in told
    assert "raise disk_limit_bytes" in told
    assert house.upkeep.disk_problem(slots=1) == told


def test_what_will_not_fit_is_foreseen_from_the_first_checkpoint(tmp_path: Path) -> None:
    """Four members need about ten checkpoints; one of them has shown how large they are."""
    house = House(tmp_path, disk_limit_bytes=5000)
    assert house.upkeep.disk_problem(slots=1) is None
    house.run(1.0)
    told = house.upkeep.disk_problem(slots=1)
    assert told is not None
    assert "raise disk_limit_bytes" in told


def test_without_a_limit_there_is_room() -> None:
    log = toy_study()._workshop
    log.begin()
    assert over_limit(log.log().population, Settings()) is None


# Sweeping ----------------------------------------------------------------------------------


def test_a_sweep_leaves_what_the_log_names(house: House) -> None:
    kept = house.run(2.0, 1.0)
    running = house.start()
    house.save(running)
    house.save(kept[0], attempt=7)
    size = next(s.size_bytes for s in house.checkpoints.list() if s.attempt == 7)
    assert sweep_closed(house.log, house.checkpoints) == size, "what runs is left alone"
    assert set(house.uris()) == {*kept, running}
    assert sweep(house.log, house.checkpoints) == size
    assert set(house.uris()) == set(kept)
    assert sweep(house.log, house.checkpoints) == 0
