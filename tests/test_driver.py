"""The loop between log and executor: what it launches, records, releases and recovers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.driver import Driver
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Decision
from heredity.evolution.budget import Finals, as_budget
from heredity.evolution.collect import expected_checkpoints
from heredity.evolution.definition import Definition
from heredity.evolution.view import View
from heredity.executors.base import Completed, Failed, Report, Task
from heredity.log import Log
from heredity.settings import Settings
from heredity.stores.memory import MemoryStore
from heredity.testing.simulated import Simulated
from heredity.upkeep import TIMEOUT_FLOOR_S, sweep
from toys import NAME, Toy, run, toy_study, trained


def test_trials_that_began_before_any_had_ended_get_their_limit_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial of the first ones that hangs must not hang the study."""
    monkeypatch.setattr("heredity.pulse.EVERY_S", 0.0)
    bench = Bench(tmp_path, speeds=(1.0, 0.01))
    given: list[tuple[int, float]] = []
    monkeypatch.setattr(bench.executor, "limit", lambda *limit: given.append(limit))
    bench.driver().run()
    assert given == [(1, TIMEOUT_FLOOR_S)]


# A study driven in simulated time --------------------------------------------------------------


@dataclass
class Bench:
    """A driver on simulated workers, with real checkpoints in `folder`."""

    folder: Path
    algorithm: Any = field(default_factory=hd.PBT)
    members: int = 4
    budget: Any = field(default_factory=lambda: hd.Steps(100))
    speeds: Sequence[float] = (1.0, 1.0)
    settings: Settings = field(default_factory=lambda: Settings(finals=Finals(2, 2)))
    size_bytes: int = 100
    gain: float = 1.0

    def __post_init__(self) -> None:
        self.definition = Definition(
            space=hd.Space(lr=hd.LogUniform(1e-4, 1e-1)),
            objectives=(hd.maximize("q"),),
            population=self.members,
            interval=10,
            algorithm=self.algorithm,
            seed=0,
            trainable="class",
        )
        self.checkpoints = LocalCheckpoints(self.folder / "checkpoints")
        self.store = MemoryStore()
        created = ev.StudyCreated(self.definition.as_json(), as_budget(self.budget))
        self.store.create(NAME, [created])
        self.log = Log(self.store, NAME)
        self.tasks: list[Task] = []
        self.executor: Any = Simulated(dict(enumerate(self.speeds)), self.perform)

    def driver(self, **options: Any) -> Driver:
        return Driver(
            self.log, self.definition, self.executor, self.checkpoints, self.settings, **options
        )

    def perform(self, task: Task) -> Completed | Failed:
        """A trial whose score grows with its steps, faster with a larger lr."""
        self.tasks.append(task)
        trial = task.trial
        score = self.inherited(task) + self.gain * trial.steps * trial.hparams["lr"]
        saved = None
        if trial.kind == "train":
            saved = self.checkpoints.save(
                trial.id, trial.attempt, lambda folder: self.write(folder, score)
            )
        return Completed(trial.id, trial.attempt, trial.stop, {"q": score}, saved, 0.0)

    def inherited(self, task: Task) -> float:
        if task.restore is None:
            return 0.0
        with self.checkpoints.open(task.restore) as folder:
            return float(json.loads((folder / "score").read_text()))

    def write(self, folder: Path, score: float) -> None:
        (folder / "score").write_text(json.dumps(score))
        (folder / "ballast").write_bytes(b"x" * self.size_bytes)

    @property
    def population(self) -> Any:
        return self.log.population


PBTS = [
    hd.PBT(),
    hd.PBT(mode="sync"),
    hd.PBT(compare="latest"),
    hd.PBT(exploit=hd.Tournament(), ready=hd.Every(0)),
    hd.RandomSearch(),
]


@pytest.mark.parametrize("algorithm", PBTS, ids=str)
@pytest.mark.parametrize("speeds", [(1.0,), (1.0, 1.0, 1.0), (4.0, 1.0, 0.25)])
@pytest.mark.parametrize("members", [1, 2, 7])
def test_any_population_on_any_workers_ends_exactly(
    tmp_path: Path, algorithm: Any, speeds: Any, members: int
) -> None:
    bench = Bench(tmp_path, algorithm, members, hd.Steps(45), speeds)
    bench.driver().run()
    assert bench.population.status == "ended"
    assert bench.population.spent.tolist() == [45] * members
    assert bench.population.ended_count == 5 * members


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("count", [1, 3, 10, 23])
def test_trials_in_all_are_used_exactly_on_any_workers(
    tmp_path: Path, mode: Any, count: int
) -> None:
    bench = Bench(tmp_path, hd.PBT(mode=mode), 5, hd.Trials(count), (4.0, 1.0, 0.25))
    bench.driver().run()
    assert bench.population.status == "ended"
    assert bench.population.ended_count == count
    assert sum(task.trial.kind == "train" for task in bench.tasks) == count


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_decisions_of_a_synchronous_study_do_not_depend_on_workers(
    tmp_path: Path, mode: Any
) -> None:
    def story(speeds: Any) -> list[Any]:
        bench = Bench(tmp_path / str(len(speeds)), hd.PBT(mode=mode), 6, hd.Steps(100), speeds)
        bench.driver().run()
        return [event.proposal for event in bench.population.proposed]

    one, several = story((1.0,)), story((4.0, 1.0, 0.3, 2.0))
    assert (one == several) == (mode == "sync")


# Launching ----------------------------------------------------------------------------------


def test_no_more_trials_run_than_there_are_slots(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hd.PBT(mode="sync"), 9, speeds=(1.0, 2.0, 3.0))
    seen = []
    bench.driver(show=lambda driver: seen.append(len(driver._flying))).run()
    assert max(seen) == 3


def test_a_trial_begins_from_the_checkpoint_of_the_trial_it_inherits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hd.PBT(ready=hd.Every(0)))
    bench.driver().run()
    for task in bench.tasks:
        source = task.trial.weights_from
        saved = None if source is None else _saved_as(bench, source)
        assert task.restore == saved
    assert bench.population.exploits > 0


def _saved_as(bench: Bench, trial: int) -> Any:
    """The checkpoint that the log names, kept or not."""
    (end,) = [e for e in bench.store.read(NAME) if getattr(e, "trial", None) == trial and _ends(e)]
    return end.checkpoint


def _ends(event: ev.Event) -> bool:
    return isinstance(event, ev.TrialFinished)


def test_the_time_limit_follows_the_median_and_never_falls_below_the_floor(
    tmp_path: Path,
) -> None:
    slow = Bench(tmp_path / "slow", speeds=(0.1,))  # 100 s a trial
    slow.driver().run()
    assert slow.tasks[0].timeout_s is None
    assert slow.tasks[-1].timeout_s == pytest.approx(20 * 100)
    fast = Bench(tmp_path / "fast", speeds=(10.0,))
    fast.driver().run()
    assert {task.timeout_s for task in fast.tasks[1:]} == {TIMEOUT_FLOOR_S}


def test_the_time_limit_can_be_set_and_is_known_to_the_next_driver(tmp_path: Path) -> None:
    fixed = Bench(tmp_path / "fixed", settings=Settings(timeout_s=7.0))
    fixed.driver().run()
    assert {task.timeout_s for task in fixed.tasks} == {7.0}
    bench = Bench(tmp_path / "twice", speeds=(0.1,), budget=hd.Steps(20))
    bench.driver().run()
    bench.log.append([ev.BudgetChanged(as_budget(hd.Steps(40)))])
    first = len(bench.tasks)
    bench.driver().run()
    assert bench.tasks[first].timeout_s == pytest.approx(20 * 100)


@dataclass(frozen=True)
class StopsAtHalf(hd.PBT):
    """Asks trial 3 to end early once it has started."""

    def decide(self, view: View, free: int) -> Decision:
        decision = super().decide(view, free)
        return replace(decision, stop=(3,)) if 3 in view.running else decision


def test_a_stop_that_was_decided_reaches_the_executor_once(tmp_path: Path) -> None:
    asked: list[int] = []

    class Listening(Simulated):
        def request_stop(self, trial: int) -> None:
            asked.append(trial)

    bench = Bench(tmp_path, StopsAtHalf())
    bench.executor = Listening({0: 1.0, 1: 1.0}, bench.perform)
    bench.driver().run()
    assert asked == [3]


# Recording ----------------------------------------------------------------------------------


def test_a_result_is_recorded_though_others_append_at_the_same_time(tmp_path: Path) -> None:
    """Every append of the driver first loses the race against another writer."""
    bench = Bench(tmp_path, budget=hd.Steps(30))
    other = Log(bench.store, NAME)
    numbers = iter(range(10_000))
    honest = bench.log.store.append

    class Contested(MemoryStore):
        def append(self, study: str, events: Sequence[ev.Event], expected: int) -> int:
            if next(numbers) % 2 == 0 and not isinstance(events[0], ev.CheckpointPinned):
                other.refresh()
                bounds = ev.BoundsChanged("lr", 1e-4, 0.1)
                honest(study, [bounds], other.population.seq)
            return honest(study, events, expected)

    contested = Contested()
    contested._studies = bench.store._studies
    bench.log.store = contested
    bench.driver().run()
    assert bench.population.spent.tolist() == [30] * 4
    assert len(bench.tasks) == 12 + 2


def test_what_a_dead_worker_left_is_deleted_at_once(tmp_path: Path) -> None:
    """Once a partial folder, once a whole one whose report never came."""

    class Dying(Bench):
        def perform(self, task: Task) -> Completed | Failed:
            done = super().perform(task)
            trial = task.trial
            if trial.attempt or trial.id not in (2, 5):
                return done
            if trial.id == 5:
                whole = self.checkpoints.root / done.checkpoint.uri
                whole.rename(self.checkpoints.root / f".partial-{trial.id}-0-1-abc")
            return Failed(trial.id, trial.attempt, "error", "the worker process died")

    bench = Dying(tmp_path)
    driver = bench.driver(show=lambda driver: _assert_held(bench, len(driver._flying)))
    driver.run()
    assert bench.population.failures == 2


def _assert_held(bench: Bench, running: int) -> None:
    stored = {stored.uri for stored in bench.checkpoints.list()}
    held = {bench.population.trial(t).checkpoint.uri for t in bench.population.held}
    assert held == stored


# Checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", PBTS, ids=str)
@pytest.mark.parametrize("speeds", [(1.0,), (1.0, 1.0, 1.0), (3.0, 1.0, 0.5)])
def test_disk_is_bounded_through_the_whole_study(
    tmp_path: Path, algorithm: Any, speeds: Any
) -> None:
    """Members of even speed hold what is forecast; a member that is k times slower than another
    holds back at most k of its records beyond that."""
    members = 8
    bench = Bench(tmp_path, algorithm, members, hd.Steps(200), speeds)
    finalists = bench.settings.finals.count
    slots, uneven = len(speeds), max(speeds) / min(speeds)
    bound = expected_checkpoints(bench.definition, bench.population.budget, "needed", 0, finalists)
    bound += slots * (1 if uneven == 1 else int(2 * uneven))
    seen = []
    bench.driver(show=lambda driver: seen.append(_folders(bench))).run()
    assert len(bench.population) > 150
    assert max(seen) <= bound, max(seen)
    assert max(seen) < len(bench.population) / 3


def _folders(bench: Bench) -> int:
    """How many checkpoints there are, whole or partial."""
    root = bench.checkpoints.root
    names = os.listdir(root) if root.exists() else []
    return sum(name != ".spare" for name in names)


@pytest.mark.parametrize("gain", [1.0, -1.0], ids=["rising", "falling"])
def test_what_is_needed_is_always_there(tmp_path: Path, gain: float) -> None:
    """At each moment the best and the sources of what runs; where scores fall, the best is old."""
    algorithm = hd.PBT(ready=hd.Every(0))
    bench = Bench(tmp_path, algorithm, 6, speeds=(3.0, 1.0, 0.5), gain=gain)
    seen, best = [], []

    def look(driver: Driver) -> None:
        population = bench.population
        if population.best is None:
            return
        sources = {int(population.source[trial]) for trial in population.open} - {-1}
        for trial in {population.best, *sources}:
            with bench.checkpoints.open(population.trial(trial).checkpoint):
                seen.append(trial)
        if not population.confirmed:
            best.append(population.means[population.best, 0])

    bench.driver(show=look).run()
    assert len(seen) > 100
    assert best == sorted(best), "the best was released and another took its place"


def test_the_best_is_pointed_at_before_its_predecessor_goes(tmp_path: Path) -> None:
    pointed_at: list[str] = []
    deleted: list[str] = []

    class Watching(LocalCheckpoints):
        def delete(self, uris: Iterable[str]) -> None:
            gone = list(uris)
            assert pointed_at[-1:] == [] or pointed_at[-1] not in gone
            deleted.extend(gone)
            super().delete(gone)

    bench = Bench(tmp_path, hd.RandomSearch())  # which wants nothing but each lane's last
    bench.checkpoints = Watching(bench.checkpoints.root)
    bench.driver(new_best=lambda checkpoint: pointed_at.append(checkpoint.uri)).run()
    assert set(pointed_at) & set(deleted)


@pytest.mark.parametrize("keep", ["needed", "lineage", "all"])
def test_keep_says_which_checkpoints_remain(tmp_path: Path, keep: Any) -> None:
    bench = Bench(
        tmp_path, hd.PBT(ready=hd.Every(0)), budget=hd.Steps(80), settings=Settings(keep=keep)
    )
    bench.driver().run()
    population = bench.population
    stored = {stored.trial for stored in bench.checkpoints.list()}
    assert stored == population.held
    ancestors = set(population.lineage(population.best))
    everything = {t for t in range(len(population)) if population.proposal_of(t).kind == "train"}
    if keep == "all":
        assert stored == everything
    else:
        assert len(stored) < len(everything)
        assert (ancestors <= stored) == (keep == "lineage")


def test_a_pin_keeps_a_checkpoint_until_it_is_taken_off(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def pin(driver: Driver) -> None:
        population = bench.population
        if population.has_checkpoint(0) and not population.pins and len(population) < 20:
            bench.log.append([ev.CheckpointPinned(0)])
        if len(population) > 30 and population.pins:
            assert population.has_checkpoint(0)
            bench.log.append([ev.CheckpointUnpinned(0)])

    bench.driver(show=pin).run()
    assert not bench.population.has_checkpoint(0)


def test_a_damaged_checkpoint_is_released_and_its_lane_goes_on_from_another(
    tmp_path: Path,
) -> None:
    """Damaged while it is the best: everybody would take it over, so it must go at once."""
    bench = Bench(tmp_path, hd.PBT(ready=hd.Every(0)), budget=hd.Steps(50))
    links: list[str] = []
    bench.driver(new_best=lambda checkpoint: links.append(checkpoint.uri)).run()
    damaged, first = bench.population.best, len(bench.population)
    (bench.checkpoints.root / links[-1] / "score").write_text("999.0")
    bench.log.append([ev.BudgetChanged(as_budget(hd.Steps(100)))])
    bench.executor = _Reporting({0: 1.0, 1: 1.0}, bench.perform)
    bench.driver(new_best=lambda checkpoint: links.append(checkpoint.uri)).run()
    population = bench.population
    assert population.status == "ended"
    assert population.spent.tolist() == [100] * 4
    assert not population.has_checkpoint(damaged)
    tried = [t for t in range(len(population)) if population.source[t] == damaged]
    assert 1 <= len([t for t in tried if t >= first]) <= 2
    assert {population.status_of(t) for t in tried if t >= first} == {"failed"}
    with bench.checkpoints.open(population.trial(population.best).checkpoint):
        assert links[-1] == population.trial(population.best).checkpoint.uri


class _Reporting(Simulated):
    """Reports a damaged checkpoint as workers do."""

    def wait(self, timeout_s: float = 0.0) -> Sequence[Report]:
        head = self._running[0][2].trial if self._running else None
        try:
            return super().wait(timeout_s)
        except hd.CheckpointCorrupt as error:
            assert head is not None
            return [Failed(head.id, head.attempt, "error", str(error), corrupt=True)]


# Disk limits ----------------------------------------------------------------------------------


def test_a_forecast_beyond_the_limit_pauses_at_the_first_checkpoint(tmp_path: Path) -> None:
    limit = 4_000
    bench = Bench(tmp_path, settings=Settings(disk_limit_bytes=limit), size_bytes=1_000)
    bench.driver().run()
    assert bench.population.status == "paused"
    assert len(bench.tasks) <= 2
    for words in ("4.0 kB", "disk_limit_bytes", "checkpoints will take up to"):
        assert words in bench.population.reason
    bench.settings = Settings(disk_limit_bytes=10 * limit)
    bench.log.append([ev.StudyResumed()])
    bench.driver().run()
    assert bench.population.status == "ended"


def test_a_forecast_beyond_the_free_space_pauses_at_the_first_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, size_bytes=1_000)
    monkeypatch.setattr(LocalCheckpoints, "free_bytes", lambda self: 5_000)
    bench.driver().run()
    assert bench.population.status == "paused"
    assert "that are free: make room" in bench.population.reason
    assert len(bench.tasks) <= 2


def test_checkpoints_that_grow_beyond_the_limit_pause_the_study(tmp_path: Path) -> None:
    class Growing(Bench):
        def write(self, folder: Path, score: float) -> None:
            (folder / "score").write_text(json.dumps(score))
            (folder / "ballast").write_bytes(b"x" * 200 * len(self.tasks))

    limit = 8_000
    bench = Growing(tmp_path, settings=Settings(disk_limit_bytes=limit))
    bench.driver().run()
    population = bench.population
    assert population.status == "paused"
    assert "checkpoints take" in population.reason
    assert limit < population.bytes_kept < 2 * limit
    assert population.bytes_kept == sum(s.size_bytes for s in bench.checkpoints.list())


def test_the_study_says_how_to_go_on_after_a_pause_for_disk(tmp_path: Path) -> None:
    with pytest.raises(hd.HeredityError, match="paused: checkpoints will take up to"):
        run(toy_study(tmp_path, disk_limit_bytes=300))
    assert run(toy_study(tmp_path, disk_limit_bytes=10**9)).status == "ended"


# Recovering -----------------------------------------------------------------------------------


def test_what_ran_when_a_driver_ended_is_issued_again_with_the_same_seed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    driver = bench.driver()
    driver._recover()
    driver._launch()
    bench.executor.close()
    bench.driver().run()
    again = [task.trial for task in bench.tasks if task.trial.attempt]
    assert [(t.id, t.attempt) for t in again] == [(1, 1), (0, 1)]
    assert [t.seed for t in again] == [bench.population.proposed[t].seed for t in (1, 0)]
    assert bench.population.spent.tolist() == [100] * 4
    assert not bench.population.failures_in_a_row


def test_sweeping_deletes_what_no_event_names_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.driver().run()
    held = sorted(stored.uri for stored in bench.checkpoints.list())
    bench.checkpoints.save(999, 0, lambda folder: bench.write(folder, 0.0))
    (bench.checkpoints.root / ".partial-7-0-1-abc").mkdir()
    assert sweep(bench.log, bench.checkpoints) > 100
    assert sorted(stored.uri for stored in bench.checkpoints.list()) == held
    assert sweep(bench.log, bench.checkpoints) == 0


def test_a_link_that_a_crash_left_behind_is_put_right(tmp_path: Path) -> None:
    run(toy_study(tmp_path, budget=hd.Steps(10)))
    link = tmp_path / NAME / "best"
    link.unlink()
    link.symlink_to("checkpoints/gone")
    run(toy_study(tmp_path, budget=[hd.Steps(10), hd.Trials(10_000)]))
    assert (link / "x.json").is_file()


def test_stopping_finishes_what_runs_and_starts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    driver = bench.driver(show=lambda driver: len(bench.tasks) >= 5 and driver.stop())
    driver.run()
    assert not [t for t in bench.population.open if bench.population.status_of(t) == "running"]
    assert len(bench.tasks) <= 7
    bench.driver().run()
    assert bench.population.spent.tolist() == [100] * 4


def test_trials_that_were_trained_are_all_that_is_charged() -> None:
    class Short(Toy):
        def train(self, steps: int) -> int | None:
            super().train(steps)
            return steps

    assert len(trained(run(toy_study(trainable=Short)))) == 24
