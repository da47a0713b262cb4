"""The desk: who is given what, which reports count, and what becomes of the silent."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.desk import Beat, Desk
from heredity.driver import LEASE_S
from heredity.errors import NotFound, UsageError
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Decision
from heredity.evolution.budget import Finals, as_budget
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.trial import Checkpoint
from heredity.evolution.view import View
from heredity.executors.base import Completed, Failed, Measured, Task
from heredity.log import Log
from heredity.settings import Settings
from heredity.stores import open_store
from heredity.stores.base import Store
from heredity.stores.memory import MemoryStore
from heredity.testing.clock import FakeClock
from heredity.upkeep import TIMEOUT_FLOOR_S

NAME = "served"


class Bench:
    """A study in a store, the clock that ends its leases, and as many desks as are wanted."""

    def __init__(
        self,
        folder: Path,
        algorithm: Any = None,
        members: int = 4,
        budget: Any = None,
        settings: Settings = Settings(finals=Finals(0, 0)),
        store: Store | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.store = store or MemoryStore(self.clock)
        self.settings = settings
        self.checkpoints = LocalCheckpoints(folder / "checkpoints")
        self.definition = Definition(
            space=hd.Space(lr=hd.LogUniform(1e-4, 1e-1)),
            objectives=(hd.maximize("q"),),
            population=members,
            interval=10,
            algorithm=algorithm or hd.PBT(),
            seed=0,
            trainable="class",
        )
        limits = as_budget(budget or hd.Steps(30))
        self.store.create(NAME, [ev.StudyCreated(self.definition.as_json(), limits)])

    def desk(self, **options: Any) -> Desk:
        log = Log(self.store, NAME)
        options = {"clock": self.clock, **options}
        return Desk(log, self.definition, self.checkpoints, self.settings, **options)

    def events(self, kind: type) -> list[Any]:
        return [event for event in self.store.read(NAME) if isinstance(event, kind)]

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def result(self, task: Task, score: float = 0.5) -> Completed:
        """What a worker reports once it has saved."""
        trial, saved = task.trial, None
        if trial.kind == "train":
            saved = self.checkpoints.save(
                trial.id, trial.attempt, lambda folder: write(folder, score)
            )
        return Completed(trial.id, trial.attempt, trial.stop, {"q": score}, saved, 1.0)

    def stored(self) -> set[str]:
        return {stored.uri for stored in self.checkpoints.list()}


def write(folder: Path, score: float) -> None:
    (folder / "score").write_text(repr(score))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def one(tasks: Sequence[Task]) -> Task:
    (task,) = tasks
    return task


# Handing out ---------------------------------------------------------------------------------


def test_a_worker_is_given_its_unfinished_trial_again_whichever_desk_it_asks(bench: Bench) -> None:
    first, second = bench.desk(), bench.desk()
    task = one(first.suggest("a"))
    assert one(first.suggest("a")) == one(second.suggest("a")) == task
    assert one(second.suggest("b")).trial.id != task.trial.id
    assert len(bench.events(ev.TrialStarted)) == 2


def test_count_is_how_many_a_worker_holds_in_all(bench: Bench) -> None:
    desk = bench.desk()
    held = [task.trial.id for task in desk.suggest("a", 2)]
    assert [task.trial.id for task in desk.suggest("a", 1)] == held[:1]
    assert [task.trial.id for task in desk.suggest("a", 3)][:2] == held
    assert len(desk.suggest("b", 9)) == 1, "there are four members"
    assert desk.suggest("c") == []


def test_the_log_says_who_was_given_a_trial(bench: Bench) -> None:
    desk = bench.desk()
    task = one(desk.suggest("machine-7"))
    assert bench.events(ev.TrialStarted)[0].worker == "machine-7"
    desk.complete("machine-7", bench.result(task))
    assert bench.events(ev.TrialFinished)[0].worker == "machine-7"


def test_a_task_names_the_checkpoint_it_begins_from(bench: Bench) -> None:
    desk = bench.desk()
    for task in desk.suggest("a", 4):
        desk.complete("a", bench.result(task, score=task.trial.member / 10))
    task = one(desk.suggest("a"))
    assert task.trial.weights_from is not None
    assert task.restore == desk.log.population.trial(task.trial.weights_from).checkpoint
    with bench.checkpoints.open(task.restore) as folder:
        assert (folder / "score").exists()
    assert task.timeout_s == TIMEOUT_FLOOR_S


def test_a_desk_reads_on_before_it_has_nothing_to_give(bench: Bench) -> None:
    """What another desk freed is given at once, without waiting for the next look around."""
    first, second = bench.desk(), bench.desk()
    tasks = first.suggest("a", 4)
    assert second.suggest("b") == []
    first.complete("a", bench.result(tasks[0]))
    assert one(second.suggest("b")).trial.member == tasks[0].trial.member


def test_nothing_is_given_while_the_study_is_paused_but_what_runs_is_finished(
    bench: Bench,
) -> None:
    desk = bench.desk()
    task = one(desk.suggest("a"))
    Log(bench.store, NAME).append([ev.StudyPaused("to look at it")])
    assert desk.suggest("b") == []
    assert desk.status == "paused"
    assert one(desk.suggest("a")) == task
    assert desk.complete("a", bench.result(task)) == "recorded"
    Log(bench.store, NAME).append([ev.StudyResumed()])
    assert len(desk.suggest("b", 4)) == 4


def test_a_full_disk_pauses_the_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings=Settings(disk_limit_bytes=2))
    desk = bench.desk()
    desk.complete("a", bench.result(one(desk.suggest("a"))))
    assert desk.suggest("a") == []
    assert desk.status == "paused"
    assert "disk_limit_bytes" in desk.log.population.reason


# Reports -------------------------------------------------------------------------------------


def test_a_completion_that_is_sent_again_counts_once(bench: Bench) -> None:
    desk, other = bench.desk(), bench.desk()
    report = bench.result(one(desk.suggest("a")))
    assert desk.complete("a", report) == "recorded"
    assert desk.complete("a", report) == other.complete("a", report) == "already done"
    assert len(bench.events(ev.TrialFinished)) == 1
    assert report.checkpoint is not None
    assert report.checkpoint.uri in bench.stored(), "sending it again must not delete it"


def test_reports_in_the_wrong_order_do_no_harm(bench: Bench) -> None:
    desk = bench.desk()
    task = one(desk.suggest("a"))
    trial = task.trial.id
    report = bench.result(task)
    assert desk.complete("a", report) == "recorded"
    assert desk.fail("a", Failed(trial, 0, "error", "late")) == "already done"
    measured = [Measured(trial, 0, 5, {"q": 0.1})]
    assert desk.heartbeat("a", trial, 0, measured) == Beat(stop=True, lost=True)
    assert bench.events(ev.TrialFailed) == []
    assert report.checkpoint is not None
    assert report.checkpoint.uri in bench.stored()


def test_a_score_that_is_not_finite_is_a_divergence(bench: Bench) -> None:
    desk = bench.desk()
    trial = one(desk.suggest("a")).trial
    bad = Completed(trial.id, 0, trial.stop, {"q": float("nan")}, None, 1.0)
    assert desk.complete("a", bad) == "recorded"
    assert bench.events(ev.TrialDiverged)[0].value == "q is nan"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reached": 11}, "from step 0 to 10; it cannot have reached step 11"),
        ({"reached": -1}, "cannot have reached step -1"),
        ({"metrics": {"qq": 1.0}}, "Did you mean `q`?"),
        ({"metrics": {}}, "without `q`, which is the objective"),
    ],
)
def test_a_report_that_cannot_be_is_refused_and_the_trial_goes_on(
    bench: Bench, change: dict[str, Any], said: str
) -> None:
    desk = bench.desk()
    task = one(desk.suggest("a"))
    before = len(bench.store.read(NAME))
    with pytest.raises(UsageError, match=said):
        desk.complete("a", replace(bench.result(task), **change))
    assert len(bench.store.read(NAME)) == before
    assert desk.complete("a", bench.result(task)) == "recorded"


def test_a_trial_that_was_stopped_before_it_was_measured_counts_as_far_as_it_came(
    bench: Bench,
) -> None:
    desk = bench.desk()
    trial = one(desk.suggest("a")).trial
    assert desk.complete("a", Completed(trial.id, 0, 4, {}, None, 1.0)) == "recorded"
    assert bench.events(ev.TrialStopped)[0].reached == 4
    assert desk.log.population.spent[trial.member] == 4


def test_trials_that_nobody_was_given_are_not_found(bench: Bench) -> None:
    desk = bench.desk()
    for trial in (-1, 0, 99):
        with pytest.raises(NotFound):
            desk.complete("a", Completed(trial, 0, 10, {"q": 1.0}, None, 1.0))
        with pytest.raises(NotFound):
            desk.fail("a", Failed(trial, 0, "error", "why"))
        with pytest.raises(NotFound):
            desk.heartbeat("a", trial, 0)


def test_a_report_finds_its_trial_though_another_desk_gave_it(bench: Bench) -> None:
    first, second = bench.desk(), bench.desk()
    tasks = [one(first.suggest(worker)) for worker in "abc"]
    assert second.heartbeat("a", 0, 0) == Beat(stop=False, lost=False)
    third = bench.desk()
    tasks.append(one(first.suggest("d")))
    assert third.complete("d", bench.result(tasks[-1])) == "recorded"
    fourth = bench.desk()
    first.complete("a", bench.result(tasks[0]))
    again = one(first.suggest("a")).trial
    assert fourth.fail("a", Failed(again.id, 0, "error", "broke")) == "recorded"


def test_a_failure_counts_though_another_desk_gave_that_attempt(bench: Bench) -> None:
    first, second = bench.desk(), bench.desk()
    trial = one(first.suggest("a")).trial.id
    second.refresh()
    first.fail("a", Failed(trial, 0, "error", "broke"))
    assert one(first.suggest("a")).trial.attempt == 1
    assert second.fail("a", Failed(trial, 1, "error", "broke again")) == "recorded"
    assert len(bench.events(ev.TrialFailed)) == 2


def test_a_failure_is_issued_again_and_what_was_left_is_deleted_in_the_end(bench: Bench) -> None:
    desk = bench.desk()
    task = one(desk.suggest("a"))
    bench.result(task)
    failed = Failed(task.trial.id, 0, "error", "broke")
    assert desk.fail("a", failed) == "recorded"
    assert desk.fail("a", failed) == "already done"
    again = one(desk.suggest("b")).trial
    assert (again.id, again.attempt, again.seed) == (task.trial.id, 1, task.trial.seed)
    assert desk.fail("a", failed) == "already done", "attempt 1 runs, and did not fail"
    assert desk.heartbeat("b", again.id, 1) == Beat(stop=False, lost=False)
    assert desk.fail("b", Failed(again.id, 1, "error", "broke")) == "recorded"
    assert bench.stored() == set(), "tried twice: nothing of it can count any more"


def test_a_bug_pauses_the_study(bench: Bench) -> None:
    desk = bench.desk()
    for _ in range(20):
        for task in desk.suggest("a"):
            desk.fail("a", Failed(task.trial.id, task.trial.attempt, "error", "NameError: x"))
    assert desk.status == "paused"
    assert "4 failures" in desk.log.population.reason


# Leases --------------------------------------------------------------------------------------


def test_a_silent_workers_trial_is_issued_again_as_its_next_attempt(bench: Bench) -> None:
    desk = bench.desk(lease_s=60.0)
    lost = one(desk.suggest("silent")).trial
    bench.later(1.1)
    bench.desk()  # any desk that looks around gives a trial without a lease one
    bench.later(59.0)
    assert one(desk.suggest("b")).trial.id != lost.id
    assert bench.events(ev.TrialFailed) == []
    bench.later(2.0)
    again = one(desk.suggest("c")).trial
    assert (again.id, again.attempt, again.seed) == (lost.id, 1, lost.seed)
    (failed,) = bench.events(ev.TrialFailed)
    assert (failed.failure, failed.attempt) == ("lost", 0)
    assert "silent was silent for 61 s" in failed.error
    assert desk.heartbeat("silent", lost.id, 0) == Beat(stop=True, lost=True)


def test_heartbeats_keep_a_lease_for_ever(bench: Bench) -> None:
    desks = [bench.desk(lease_s=10.0), bench.desk(lease_s=10.0)]
    trial = one(desks[0].suggest("a")).trial.id
    for turn in range(50):
        bench.later(7.0)
        assert desks[turn % 2].heartbeat("a", trial, 0) == Beat(stop=False, lost=False)
    assert bench.events(ev.TrialFailed) == []


def test_asking_again_is_a_sign_of_life(bench: Bench) -> None:
    desk = bench.desk(lease_s=10.0)
    trial = one(desk.suggest("a")).trial
    for _ in range(10):
        bench.later(7.0)
        assert one(desk.suggest("a")).trial == trial


def test_leases_that_were_lost_begin_anew(bench: Bench) -> None:
    desk = bench.desk(lease_s=10.0)
    trial = one(desk.suggest("a")).trial.id
    for _ in range(9):
        bench.later(7.0)
        desk.complete("b", bench.result(one(desk.suggest("b"))))
        bench.store.end_lease(NAME, trial)
    assert bench.events(ev.TrialFailed) == []


@pytest.mark.parametrize("reissued", [False, True])
def test_a_completion_after_the_lease_ended_counts(bench: Bench, reissued: bool) -> None:
    desk = bench.desk(lease_s=10.0)
    task = one(desk.suggest("slow"))
    report = bench.result(task)
    desk.heartbeat("slow", task.trial.id, 0)
    bench.later(12.0)
    again = one(desk.suggest("b")) if reissued else None
    bench.desk(lease_s=10.0)
    assert len(bench.events(ev.TrialFailed)) == 1
    assert desk.complete("slow", report) == "recorded"
    assert report.checkpoint is not None
    assert desk.log.population.trial(task.trial.id).checkpoint == report.checkpoint
    if again is not None:
        assert desk.heartbeat("b", again.trial.id, 1).lost
        late = bench.result(again)
        assert desk.complete("b", late) == "already done"
        assert bench.stored() == {report.checkpoint.uri}, "what came too late is deleted"


def test_what_a_lost_attempt_saved_stays_until_the_trial_is_closed(bench: Bench) -> None:
    desk = bench.desk(lease_s=10.0)
    report = bench.result(one(desk.suggest("slow")))
    for attempt, (holder, worker) in enumerate([("slow", "b"), ("b", "c")]):
        desk.heartbeat(holder, report.trial, attempt)
        bench.later(11.0)
        assert one(desk.suggest(worker)).trial.id == report.trial
    assert len(bench.events(ev.TrialFailed)) == 2
    assert desk.complete("slow", report) == "recorded"
    assert report.checkpoint is not None
    with bench.checkpoints.open(report.checkpoint):
        pass


def test_leases_of_what_has_ended_are_ended(bench: Bench) -> None:
    desk = bench.desk()
    task = one(desk.suggest("a"))
    desk.heartbeat("a", task.trial.id, 0)
    assert [lease.trial for lease in bench.store.leases(NAME)] == [task.trial.id]
    desk.complete("a", bench.result(task))
    bench.later(2.0)
    desk.refresh()
    bench.desk()
    assert bench.store.leases(NAME) == []


def test_what_a_driver_runs_is_its_own_while_it_holds_the_study(bench: Bench) -> None:
    """A driver's trials have no lease: they are lost when its lock is free, and not before."""
    one(bench.desk().suggest("a"))
    log = Log(bench.store, NAME)
    with bench.store.lock(NAME):
        (decided,) = next_events(log.population, bench.definition, 1)
        log.append([decided, ev.TrialStarted(decided.trial, 0)])
        for _ in range(5):
            bench.later(LEASE_S)
            bench.desk()
        assert bench.events(ev.TrialFailed) == []
    bench.later(2.0)
    bench.desk()
    (failed,) = bench.events(ev.TrialFailed)
    assert (failed.trial, failed.error) == (
        decided.trial,
        "the driver ended while the trial ran",
    )


def test_a_trial_that_hangs_with_a_beating_heart_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings=Settings(timeout_s=100.0, finals=Finals(0, 0)))
    desk = bench.desk(lease_s=30.0)
    trial = one(desk.suggest("a")).trial.id
    beats = []
    for _ in range(10):
        bench.later(20.0)
        beats.append(desk.heartbeat("a", trial, 0).lost)
    assert beats.index(True) == 6, "100 s, from when the desk first looked"
    (failed,) = bench.events(ev.TrialFailed)
    assert (failed.failure, failed.error) == ("timeout", "it took longer than 100 s")


# Stops and measurements ----------------------------------------------------------------------


class Watching(hd.PBT):
    """Ends a trial that measures less than 0 on the way."""

    watches = True

    def decide(self, view: View, free: int) -> Decision:
        decision = super().decide(view, free)
        bad = [t for t in view.running if any(m["q"] < 0 for _, m in view.measurements(t))]
        return replace(decision, stop=tuple(bad))


def test_a_stop_is_the_answer_to_the_heartbeat_that_led_to_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Watching())
    desk = bench.desk()
    task = one(desk.suggest("a"))
    trial = task.trial.id
    assert not desk.heartbeat("a", trial, 0, [Measured(trial, 0, 2, {"q": 0.5})]).stop
    assert desk.heartbeat("a", trial, 0, [Measured(trial, 0, 4, {"q": -0.5})]).stop
    assert bench.desk().heartbeat("a", trial, 0).stop, "until it has ended"
    report = replace(bench.result(task), reached=4)
    assert desk.complete("a", report) == "recorded"
    assert bench.events(ev.TrialStopped)[0].reached == 4
    curve = bench.store.curve(NAME, trial)
    assert [(point.step, point.metrics["q"]) for point in curve] == [(2, 0.5), (4, -0.5)]


def test_measurements_are_events_once_each_and_not_without_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Watching())
    desk = bench.desk()
    trial = one(desk.suggest("a")).trial.id
    many = [Measured(trial, 0, step, {"q": 0.1}) for step in range(100)]
    for _ in range(2):
        desk.heartbeat("a", trial, 0, many)
    assert len(bench.events(ev.TrialMeasured)) == 20
    other = [Measured(trial + 1, 0, 3, {"q": 0.1}), Measured(trial, 7, 3, {"q": 0.1})]
    desk.heartbeat("a", trial, 0, other)
    assert bench.store.curve(NAME, trial + 1) == []


def test_measurements_are_no_events_where_no_algorithm_watches(bench: Bench) -> None:
    desk = bench.desk()
    trial = one(desk.suggest("a")).trial.id
    desk.heartbeat("a", trial, 0, [Measured(trial, 0, 4, {"q": 0.1, "bad": float("inf")})])
    assert bench.events(ev.TrialMeasured) == []
    assert bench.store.curve(NAME, trial)[0].metrics == {"q": 0.1}


# Checkpoints ---------------------------------------------------------------------------------


def test_checkpoints_are_released_and_the_best_is_marked_before_its_predecessor_goes(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, budget=hd.Steps(200))
    marked: list[Checkpoint] = []

    def note(checkpoint: Checkpoint) -> None:
        assert all(checkpoint.uri in bench.stored() for checkpoint in [*marked[-1:], checkpoint])
        marked.append(checkpoint)

    desk, score, held = bench.desk(new_best=note), 0.0, []
    while tasks := desk.suggest("a"):
        score += 0.01
        desk.complete("a", bench.result(tasks[0], score))
        held.append(len(bench.stored()))
    assert desk.status == "ended"
    assert len(marked) == 80
    assert max(held) < 20


def test_many_files_go_a_few_at_a_time_and_all_by_the_end(tmp_path: Path) -> None:
    """Nobody waits until hundreds are deleted: how many each report deleted."""
    bench = Bench(tmp_path, members=64, budget=hd.Steps(30))
    desk, deleted = bench.desk(), [0]
    while tasks := desk.suggest("a"):
        report = bench.result(tasks[0], tasks[0].trial.hparams["lr"])
        before = len(bench.stored())
        desk.complete("a", report)
        deleted.append(before - len(bench.stored()))
    assert desk.status == "ended"
    assert max(deleted) == 8
    population = desk.log.population
    named = [population.trial(trial).checkpoint for trial in population.held]
    assert bench.stored() == {checkpoint.uri for checkpoint in named if checkpoint is not None}


def test_a_damaged_checkpoint_is_begun_from_by_nobody_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path, members=1, budget=hd.Steps(50))
    desk = bench.desk()
    desk.complete("a", bench.result(one(desk.suggest("a"))))
    source = desk.log.population.held.copy()
    for _ in range(2):
        trial = one(desk.suggest("a")).trial
        assert {trial.weights_from} == source
        failed = Failed(trial.id, trial.attempt, "error", "damaged", corrupt=True)
        desk.fail("a", failed)
    assert one(desk.suggest("a")).trial.weights_from is None
    assert bench.stored() == set()


def test_what_closed_trials_left_behind_is_swept_and_what_runs_is_not(bench: Bench) -> None:
    desk = bench.desk()
    ended, runs = one(desk.suggest("a")), one(desk.suggest("b"))
    report = bench.result(ended)
    desk.complete("a", report)
    root = bench.checkpoints.root
    for name in (f".partial-{ended.trial.id}-0-1-abc", f"{ended.trial.id}-1"):
        (root / name).mkdir()
    (root / f".partial-{runs.trial.id}-0-1-abc").mkdir()
    (root / ".partial-77-0-1-abc").mkdir()  # of a trial that this desk has not read of yet
    bench.desk()
    assert report.checkpoint is not None
    left = {report.checkpoint.uri, f".partial-{runs.trial.id}-0-1-abc", ".partial-77-0-1-abc"}
    assert bench.stored() == left


# Whole studies -------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [hd.PBT(), hd.PBT(mode="sync"), hd.RandomSearch()], ids=str)
@pytest.mark.parametrize("workers", [1, 3, 9])
def test_a_study_ends_exactly(tmp_path: Path, algorithm: Any, workers: int) -> None:
    bench = Bench(tmp_path, algorithm, 5, hd.Steps(45), Settings(finals=Finals(2, 2)))
    desk = bench.desk()
    while desk.status != "ended":
        for worker in range(workers):
            for task in desk.suggest(str(worker)):
                desk.complete(str(worker), bench.result(task, task.trial.hparams["lr"]))
    population = desk.log.population
    assert population.spent.tolist() == [45] * 5
    assert population.ended_count == 25
    assert len(population.confirmed) == 2


def test_seconds_are_those_in_which_somebody_was_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, budget=hd.Seconds(100))
    desks = [bench.desk(lease_s=10.0), bench.desk(lease_s=10.0)]
    for turn in range(300):
        bench.later(0.5)
        desk = desks[turn % 2]
        for task in desk.suggest("a"):
            desk.complete("a", bench.result(task))
        if desk.status == "ended":
            break
    assert 98 <= bench.clock.now_s <= 103, "two desks at once count once"
    again = Bench(tmp_path / "again", budget=hd.Seconds(100))
    desk = again.desk(lease_s=10.0)
    again.later(1000.0)
    assert desk.suggest("a"), "a silence counts no longer than a lease"


class Steps:
    """Any order of calls by workers that crash, repeat themselves and come too late."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.bench = Bench(folder, members=5, budget=hd.Trials(30))
        self.random = random.Random(seed)
        self.desks = [self.bench.desk(lease_s=10.0) for _ in range(2)]
        self.sent: list[tuple[str, Any]] = []
        self.recorded: Counter[int] = Counter()

    def run(self) -> None:
        for _ in range(4000):
            self.bench.later(self.random.choice([0.1, 0.1, 1.0, 4.0]))
            self.turn(self.random.choice(self.desks), self.random.choice("abc"))
            if self.desks[0].status == self.desks[1].status == "ended":
                return
        raise AssertionError("the study does not end")

    def turn(self, desk: Desk, worker: str) -> None:
        if self.random.random() < 0.05:
            self.desks[0] = self.bench.desk(lease_s=10.0)
        if self.sent and self.random.random() < 0.3:
            return self.send(desk, *self.random.choice(self.sent))
        for task in desk.suggest(worker):
            self.work(desk, worker, task)
        return None

    def work(self, desk: Desk, worker: str, task: Task) -> None:
        trial, dice = task.trial, self.random.random()
        if dice < 0.1:
            return  # its worker dies, or forgets
        if dice < 0.2:
            failed = Failed(trial.id, trial.attempt, "error", "unlucky")
            self.sent.append((worker, failed))
        elif dice < 0.5:
            self.sent.append((worker, self.result(task)))
            return  # and arrives later
        else:
            self.sent.append((worker, self.result(task)))
        self.send(desk, *self.sent[-1])

    def result(self, task: Task) -> Completed:
        """The same for the same trial, as training from one seed is."""
        return self.bench.result(task, task.trial.seed / 2**31)

    def send(self, desk: Desk, worker: str, report: Completed | Failed) -> None:
        if isinstance(report, Failed):
            desk.fail(worker, report)
        elif desk.complete(worker, report) == "recorded":
            self.recorded[report.trial] += 1


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_every_trial_counts_once_whatever_workers_do(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    steps = Steps(tmp_path_factory.mktemp("steps"), seed)
    steps.run()
    log = Log(steps.bench.store, NAME)
    finished = Counter(event.trial for event in steps.bench.events(ev.TrialFinished))
    assert finished == steps.recorded
    assert set(finished.values()) == {1}
    assert log.population.ended_count == 30
    assert log.population.held
    for trial in log.population.held:
        checkpoint = log.population.trial(trial).checkpoint
        assert checkpoint is not None
        with steps.bench.checkpoints.open(checkpoint) as folder:
            assert (folder / "score").exists()


def test_two_desks_and_eight_workers_issue_no_trial_twice(tmp_path: Path) -> None:
    """Threads on two stores of one database, as two replicas with their workers."""
    bench = Bench(tmp_path, members=8, budget=hd.Trials(200), store=open_store(tmp_path / "db"))
    stores = [open_store(tmp_path / "db") for _ in range(2)]
    desks = [
        Desk(Log(store, NAME), bench.definition, bench.checkpoints, bench.settings)
        for store in stores
    ]
    given: list[tuple[int, int]] = []
    errors: list[BaseException] = []

    def work(worker: str, mine: Sequence[Desk]) -> None:
        chance = random.Random(worker)
        try:
            while mine[0].status != "ended":
                for task in chance.choice(mine).suggest(worker):
                    given.append((task.trial.id, task.trial.attempt))
                    chance.choice(mine).complete(worker, bench.result(task, chance.random()))
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(f"w{n}", desks)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert sorted(given) == [(trial, 0) for trial in range(200)]
    assert Log(bench.store, NAME).population.ended_count == 200
    for store in [*stores, bench.store]:
        store.close()
