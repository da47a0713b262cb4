"""What every Store must do. Subclass `StoreSuite` and give it a fixture `store`, empty and yours.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            with closing(MyStore(tmp_path)) as store:
                yield store

This file knows the protocol and no store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from heredity.errors import Conflict, NotFound, StoreError, UsageError
from heredity.evolution.budget import Seconds, Steps, Target, Trials
from heredity.evolution.events import (
    BoundsChanged,
    BudgetChanged,
    CheckpointPinned,
    CheckpointsReleased,
    CheckpointUnpinned,
    ChunkChosen,
    Event,
    RoundFinished,
    StudyCreated,
    StudyEnded,
    StudyPaused,
    StudyResumed,
    StudyStopRequested,
    TrialDiverged,
    TrialFailed,
    TrialFinished,
    TrialInjected,
    TrialMeasured,
    TrialProposed,
    TrialStarted,
    TrialStopped,
    TrialStopRequested,
)
from heredity.evolution.trial import Checkpoint, Proposal
from heredity.stores.base import Point, Store

CREATED = StudyCreated({"population": 2}, (Steps(100),))

PROPOSAL = Proposal(
    member=1,
    turn=2,
    hparams={"lr": 0.1 + 0.2, "batch_size": 64, "name": "ünï\n'\"", "on": True, "off": None},
    start=100,
    stop=200,
    weights_from=3,
    hparams_from=(3, 4),
    ramp_from={"lr": 0.1},
    ramp_steps=10,
    transform="shrink",
    evidence=(3, 4, 5),
    injection=1,
    reason="takes over trial 3",
)

ONE_OF_EACH: tuple[Event, ...] = (
    StudyCreated({"space": [["lr", {"low": 1e-300}]]}, (Trials(3), Steps(3)), {"git": "abc"}),
    TrialProposed(0, 2**127, PROPOSAL),
    TrialStarted(0, 0, "local-1"),
    TrialMeasured(0, 0, 50, {"loss": 1.0}),
    TrialFinished(0, 0, 0.5, {"accuracy": 0.5}, Checkpoint("0/0", 10**12, "ab"), 1.5),
    TrialFinished(1, 0, None, {}, None),
    TrialDiverged(2, 0, "nan", {"accuracy": 0.5}, 1.5),
    TrialFailed(3, 1, "lost", "the worker died", "Traceback", 1.5),
    TrialStopRequested(4, "too slow"),
    TrialStopped(4, 0, 42, 0.25, {"accuracy": 0.25}, Checkpoint("4/0", 1, "cd", row=7), 1.5),
    RoundFinished(
        first=5,
        count=2,
        proposals={"hparams": {"lr": [0.1, 0.2]}, "seed": [1, 2], "start": [0], "stop": [50]},
        scores=[0.5, None],
        metrics={"accuracy": [0.5, None]},
        diverged={"1": "accuracy is nan"},
        elapsed_s=1.5,
        checkpoint=Checkpoint("5-0", 10**12, "ef"),
        saved=(5, 2),
        rows=(0, -1),
    ),
    ChunkChosen(32, "out of memory"),
    CheckpointsReleased((0, 4)),
    CheckpointPinned(0),
    CheckpointUnpinned(0),
    BudgetChanged((Seconds(1.5), Target(0.9))),
    BoundsChanged("lr", 1e-5, 1e-2),
    TrialInjected(1, {"lr": 0.1}, None),
    StudyPaused("failures"),
    StudyResumed(),
    StudyStopRequested("by hand"),
    StudyEnded("budget"),
)
"""At least one event of every type, with the values that are easiest to get wrong."""

UNSTORABLE: dict[str, tuple[Event, str]] = {
    "nan score": (TrialFinished(0, 0, float("nan"), {}, None), "score"),
    "infinite metric": (TrialFinished(0, 0, 1.0, {"loss": float("inf")}, None), "loss"),
    "infinite time": (TrialFinished(0, 0, 1.0, {}, None, float("-inf")), "elapsed_s"),
    "numpy float": (TrialFinished(0, 0, np.float64(0.5), {}, None), "score"),
    "numpy integer": (TrialStarted(np.int64(0), 0, "w"), "trial"),  # type: ignore[arg-type]
    "numpy hparam": (TrialInjected(0, {"lr": np.float32(0.5)}, None), "lr"),
    "nested nan": (StudyCreated({"a": [{"b": float("nan")}]}, (Steps(1),)), "b"),
    "tuple for a list": (TrialInjected(0, {"sizes": (1, 2)}, None), "sizes"),
    "key of another type": (TrialInjected(0, {3: 0.5}, None), "3"),  # type: ignore[dict-item]
    "text for a number": (TrialFinished(0, 0, "0.5", {}, None), "score"),  # type: ignore[arg-type]
}
"""Events that would not read back as they are, and the field that a message must name."""

CALLS_ON_A_STUDY: dict[str, Callable[[Store], Any]] = {
    "append": lambda store: store.append("missing", [StudyResumed()], 1),
    "append nothing": lambda store: store.append("missing", [], 0),
    "read": lambda store: store.read("missing"),
    "read after": lambda store: store.read("missing", 5),
    "remove": lambda store: store.remove("missing"),
    "snapshot": lambda store: store.snapshot("missing"),
    "save_snapshot": lambda store: store.save_snapshot("missing", 1, b""),
    "record": lambda store: store.record("missing", [Point(0, 0, {})]),
    "curve": lambda store: store.curve("missing", 0),
    "heartbeat": lambda store: store.heartbeat("missing", "driver", 1.0),
    "alive_s": lambda store: store.alive_s("missing"),
    "lease": lambda store: store.lease("missing", 0, 0, "worker", 1.0),
    "leases": lambda store: store.leases("missing"),
    "end_lease": lambda store: store.end_lease("missing", 0),
    "holder": lambda store: store.holder("missing"),
    "lock": lambda store: store.lock("missing").__enter__(),
}


class StoreSuite:
    """Tests of a Store: the log, its conflicts, what it refuses, and the tables beside it."""

    # The log --------------------------------------------------------------------------------------

    def test_an_empty_store_has_no_studies(self, store: Store) -> None:
        assert list(store.studies()) == []

    def test_events_read_back_equal(self, store: Store) -> None:
        assert {type(event) for event in ONE_OF_EACH} == set(get_args(Event))
        assert store.create("s", ONE_OF_EACH) == len(ONE_OF_EACH)
        assert tuple(store.read("s")) == ONE_OF_EACH

    def test_types_read_back_the_same(self, store: Store) -> None:
        """Equality alone does not tell True from 1, nor a tuple's list from a list's tuple."""
        store.create("s", ONE_OF_EACH)
        assert [repr(event) for event in store.read("s")] == [repr(event) for event in ONE_OF_EACH]

    def test_events_are_numbered_from_one_without_gaps(self, store: Store) -> None:
        assert store.create("s", [CREATED]) == 1
        assert store.append("s", [CheckpointPinned(0), CheckpointPinned(1)], 1) == 3
        assert store.append("s", [CheckpointPinned(2)], 3) == 4
        assert list(store.read("s", 1)) == [
            CheckpointPinned(0),
            CheckpointPinned(1),
            CheckpointPinned(2),
        ]
        assert list(store.read("s", 3)) == [CheckpointPinned(2)]
        assert list(store.read("s", 4)) == []

    def test_an_empty_block_changes_nothing(self, store: Store) -> None:
        store.create("s", [CREATED])
        assert store.append("s", [], 1) == 1
        assert list(store.read("s")) == [CREATED]

    def test_studies_are_apart_and_listed_oldest_first(self, store: Store) -> None:
        for name in ["z", "a", "ü 'x'/\"y\"\n %s :x"]:
            store.create(name, [CREATED])
        store.append("z", [StudyPaused("z")], 1)
        store.append("a", [StudyPaused("a")], 1)
        assert list(store.studies()) == ["z", "a", "ü 'x'/\"y\"\n %s :x"]
        assert list(store.read("a", 1)) == [StudyPaused("a")]
        assert list(store.read("z", 1)) == [StudyPaused("z")]

    def test_the_log_does_not_share_the_callers_values(self, store: Store) -> None:
        hparams = {"lr": 0.1}
        store.create("s", [CREATED, TrialInjected(0, hparams, None)])
        hparams["lr"] = 9.0
        assert list(store.read("s", 1)) == [TrialInjected(0, {"lr": 0.1}, None)]

    # Conflicts ------------------------------------------------------------------------------------

    def test_a_taken_name_is_a_conflict(self, store: Store) -> None:
        store.create("s", [CREATED])
        with pytest.raises(Conflict):
            store.create("s", [CREATED, StudyPaused("second")])
        assert list(store.read("s")) == [CREATED]

    @pytest.mark.parametrize("expected", [0, 1, 3, 100])
    def test_another_seq_than_the_last_is_a_conflict(self, store: Store, expected: int) -> None:
        store.create("s", [CREATED, StudyPaused("")])
        with pytest.raises(Conflict):
            store.append("s", [StudyResumed()], expected)
        assert list(store.read("s")) == [CREATED, StudyPaused("")]

    def test_of_threads_at_one_seq_exactly_one_succeeds(self, store: Store) -> None:
        store.create("s", [CREATED])
        failures: list[BaseException] = []
        won: list[int] = []

        def write(trial: int) -> None:
            try:
                for seq in range(1, 21):
                    try:
                        store.append("s", [CheckpointPinned(trial)], seq)
                        won.append(seq)
                    except Conflict:
                        while len(store.read("s")) <= seq:
                            pass
            except BaseException as failure:
                failures.append(failure)

        writers = [threading.Thread(target=write, args=(trial,)) for trial in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert failures == []
        assert sorted(won) == list(range(1, 21))
        assert len(store.read("s")) == 21

    # Refusals -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("case", UNSTORABLE)
    def test_what_would_not_read_back_is_refused_by_name(self, store: Store, case: str) -> None:
        event, field = UNSTORABLE[case]
        store.create("s", [CREATED])
        with pytest.raises(StoreError, match=field):
            store.append("s", [StudyPaused("first of the block"), event], 1)
        with pytest.raises(StoreError, match=field):
            store.create("t", [event])
        assert list(store.read("s")) == [CREATED]
        assert list(store.studies()) == ["s"]

    @pytest.mark.parametrize("call", CALLS_ON_A_STUDY)
    def test_a_study_that_does_not_exist_is_not_found(self, store: Store, call: str) -> None:
        store.create("mising", [CREATED])
        with pytest.raises(NotFound, match="Did you mean `mising`"):
            CALLS_ON_A_STUDY[call](store)
        assert list(store.studies()) == ["mising"]

    # Beside the log -------------------------------------------------------------------------------

    def test_the_newest_snapshot_is_kept(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.create("t", [CREATED])
        assert store.snapshot("s") is None
        store.save_snapshot("s", 1, b"one")
        store.save_snapshot("s", 2, bytes(range(256)))
        assert store.snapshot("s") == (2, bytes(range(256)))
        assert store.snapshot("t") is None

    def test_a_curve_is_in_the_order_of_steps(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.record("s", [Point(1, 20, {"loss": 0.2}), Point(2, 5, {"loss": 9.0})])
        store.record("s", [Point(1, 3, {"loss": 0.3, "lr": 0.1}), Point(1, 2**40, {})])
        store.record("s", [])
        assert list(store.curve("s", 1)) == [
            Point(1, 3, {"loss": 0.3, "lr": 0.1}),
            Point(1, 20, {"loss": 0.2}),
            Point(1, 2**40, {}),
        ]
        assert list(store.curve("s", 3)) == []

    def test_a_point_replaces_the_earlier_one_of_its_step(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.record("s", [Point(1, 2, {"loss": 0.1}), Point(1, 2, {"loss": 0.2})])
        assert list(store.curve("s", 1)) == [Point(1, 2, {"loss": 0.2})]
        store.record("s", [Point(1, 2, {"loss": 0.3})])
        assert list(store.curve("s", 1)) == [Point(1, 2, {"loss": 0.3})]

    def test_a_point_that_is_not_finite_is_refused(self, store: Store) -> None:
        store.create("s", [CREATED])
        with pytest.raises(StoreError, match="loss"):
            store.record("s", [Point(1, 1, {"loss": 0.5}), Point(1, 2, {"loss": float("nan")})])
        assert list(store.curve("s", 1)) == []

    def test_alive_time_adds_up_over_drivers(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.create("t", [CREATED])
        assert store.alive_s("s") == 0.0
        store.heartbeat("s", "first", 1.5)
        store.heartbeat("s", "first", 2.5)
        store.heartbeat("s", "second", 4.0)
        store.heartbeat("t", "first", 100.0)
        assert store.alive_s("s") == 6.5

    # Leases ---------------------------------------------------------------------------------------

    def test_a_lease_runs_from_now_by_the_stores_clock(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.create("t", [CREATED])
        assert list(store.leases("s")) == []
        store.lease("s", 7, 1, "wörker '1'", 1000.0)
        store.lease("s", 3, 0, "worker-2", 2000.0)
        store.lease("t", 7, 0, "worker-3", 1000.0)
        leases = store.leases("s")
        assert [(lease.trial, lease.attempt, lease.worker) for lease in leases] == [
            (3, 0, "worker-2"),
            (7, 1, "wörker '1'"),
        ]
        assert 1900 < leases[0].left_s <= 2000
        assert 900 < leases[1].left_s <= 1000

    def test_a_lease_goes_to_whoever_takes_it_last(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.lease("s", 7, 0, "worker-1", 1000.0)
        store.lease("s", 7, 0, "worker-1", 3000.0)
        (lease,) = store.leases("s")
        assert 2900 < lease.left_s <= 3000
        store.lease("s", 7, 1, "worker-2", 1000.0)
        (lease,) = store.leases("s")
        assert (lease.attempt, lease.worker) == (1, "worker-2")
        assert 900 < lease.left_s <= 1000

    def test_a_lease_that_has_run_out_is_there_until_it_is_ended(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.lease("s", 7, 0, "worker-1", -50.0)
        store.lease("s", 8, 0, "worker-2", 0.0)
        gone, going = store.leases("s")
        assert -100 < gone.left_s <= -50
        assert -50 < going.left_s <= 0
        store.end_lease("s", 7)
        store.end_lease("s", 7)
        assert [lease.trial for lease in store.leases("s")] == [8]

    def test_of_threads_that_take_a_lease_one_has_it(self, store: Store) -> None:
        store.create("s", [CREATED])
        failures: list[BaseException] = []

        def take(worker: int) -> None:
            try:
                for attempt in range(20):
                    store.lease("s", 7, attempt, f"worker-{worker}", 1000.0)
            except BaseException as failure:
                failures.append(failure)

        workers = [threading.Thread(target=take, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert failures == []
        (lease,) = store.leases("s")
        assert lease.attempt == 19

    # Removal and the driver's lock ----------------------------------------------------------------

    def test_a_removed_study_leaves_nothing(self, store: Store) -> None:
        for name in ["s", "t"]:
            store.create(name, [CREATED])
            store.save_snapshot(name, 1, b"cache")
            store.record(name, [Point(0, 1, {"loss": 0.1})])
            store.heartbeat(name, "driver", 3.0)
            store.lease(name, 0, 0, "worker", 100.0)
        store.remove("s")
        assert list(store.studies()) == ["t"]
        assert store.create("s", [CREATED, StudyPaused("again")]) == 2
        assert list(store.read("s")) == [CREATED, StudyPaused("again")]
        assert store.snapshot("s") is None
        assert list(store.curve("s", 0)) == []
        assert store.alive_s("s") == 0.0
        assert store.alive_s("t") == 3.0
        assert list(store.leases("s")) == []
        assert len(store.leases("t")) == 1
        assert len(store.curve("t", 0)) == 1

    def test_a_lock_is_held_once_for_each_study(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.create("t", [CREATED])
        with store.lock("s"), store.lock("t"):
            with pytest.raises(UsageError, match="'s'"), store.lock("s"):
                pass
            store.append("s", [StudyPaused("a lock is a courtesy")], 1)

    def test_the_holder_of_a_lock_is_told_while_there_is_one(self, store: Store) -> None:
        store.create("s", [CREATED])
        store.create("t", [CREATED])
        assert store.holder("s") is None
        with store.lock("s"):
            assert f"pid {os.getpid()}" in (store.holder("s") or "")
            assert store.holder("t") is None
        assert store.holder("s") is None

    def test_looking_for_the_holder_never_takes_the_lock(self, store: Store) -> None:
        store.create("s", [CREATED])
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                store.holder("s")

        watchers = [threading.Thread(target=look) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        try:
            for _ in range(50):
                with store.lock("s"):
                    pass
        finally:
            done.set()
            for watcher in watchers:
                watcher.join()

    def test_a_lock_ends_with_its_block(self, store: Store) -> None:
        store.create("s", [CREATED])
        with pytest.raises(ZeroDivisionError), store.lock("s"):
            raise ZeroDivisionError
        with store.lock("s"):
            pass
