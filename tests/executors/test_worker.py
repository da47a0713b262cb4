"""The worker: one trial after another with one live object, whatever user code does."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from heredity.checkpoints.local import LocalCheckpoints
from heredity.evolution.trial import Checkpoint, Trial
from heredity.executors.base import Completed, Failed, Measured, Task, Workload
from heredity.executors.worker import Worker
from heredity.trainables.function import as_trainable
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


class Counter(Trainable):
    """Its weight grows by `lr` at each step, with a noise drawn from the global generators."""

    def prepare(self) -> None:
        CALLS.append("prepare")

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        CALLS.append("setup")
        self.weight = random.random()

    def train(self, steps: int) -> None:
        CALLS.append("train")
        self.weight += steps * self.hparams["lr"] + float(np.random.random())

    def evaluate(self) -> Any:
        CALLS.append("evaluate")
        return {"score": self.weight, "drawn": random.random()}

    def save(self, directory: Path) -> None:
        CALLS.append("save")
        (directory / "weight").write_text(json.dumps(self.weight))

    def load(self, directory: Path) -> None:
        CALLS.append("load")
        self.weight = json.loads((directory / "weight").read_text())


def workload(root: Path, trainable: Any = Counter, names: tuple[str, ...] = ("lr",)) -> Workload:
    return Workload(
        trainable=as_trainable(trainable),
        checkpoints=LocalCheckpoints(root / "check points"),
        logs=None,
        metric="score",
        names=names,
        interpolate=lambda a, b, fraction: {"lr": a["lr"] + fraction * (b["lr"] - a["lr"])},
    )


def trial(number: int = 0, **changes: Any) -> Trial:
    given: dict[str, Any] = {
        "id": number, "seed": 5 + number, "member": 0, "turn": number, "hparams": {"lr": 0.5},
        "start": 10 * number, "stop": 10 * number + 10,
        "weights_from": number - 1 if number else None,
    }  # fmt: skip
    return Trial(**(given | changes))


def refuse(measured: Measured) -> None:
    raise AssertionError(f"unexpected {measured}")


def run(worker: Worker, record: Trial, restore: Checkpoint | None = None) -> Completed:
    completed = worker.run(Task(record, restore), refuse)
    assert isinstance(completed, Completed), completed
    return completed


def fail(worker: Worker, record: Trial, restore: Checkpoint | None = None) -> Failed:
    failed = worker.run(Task(record, restore), refuse)
    assert isinstance(failed, Failed), failed
    assert failed.failure == "error"
    assert (failed.trial, failed.attempt) == (record.id, record.attempt)
    return failed


def mistaken(**methods: Any) -> type[Trainable]:
    return type("Mistaken", (Counter,), methods)


# Weights -------------------------------------------------------------------------------


def test_what_won_is_what_is_saved(tmp_path: Path) -> None:
    load = workload(tmp_path)
    done = run(Worker(load), trial())
    assert done.checkpoint is not None
    with load.checkpoints.open(done.checkpoint) as folder:
        assert json.loads((folder / "weight").read_text()) == done.metrics["score"]
    assert done.reached == 10


def test_the_child_gets_the_winners_weights_and_its_own_hparams(tmp_path: Path) -> None:
    load = workload(tmp_path)
    parent = run(Worker(load), trial())
    child = run(Worker(load), trial(1, hparams={"lr": 2.0}), parent.checkpoint)
    growth = child.metrics["score"] - parent.metrics["score"]
    assert 20.0 <= growth < 21.0


def test_a_member_that_continues_is_not_loaded_and_ends_the_same(tmp_path: Path) -> None:
    load = workload(tmp_path)
    resident = Worker(load)
    first = run(resident, trial())
    CALLS.clear()
    continued = run(resident, trial(1), first.checkpoint)
    assert CALLS == ["train", "evaluate", "save"]
    loaded = run(Worker(load), trial(1, attempt=1), first.checkpoint)
    assert continued.metrics == loaded.metrics


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hparams": {"lr": 0.7}}, "other hparams"),
        ({"ramp_from": {"lr": 0.1}, "ramp_steps": 5}, "a ramp"),
    ],
)
def test_it_is_loaded_again_for(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    worker = Worker(workload(tmp_path))
    first = run(worker, trial())
    CALLS.clear()
    run(worker, trial(1, **changes), first.checkpoint)
    assert CALLS[:2] == ["setup", "load"], why


def test_it_is_loaded_again_for_another_checkpoint(tmp_path: Path) -> None:
    load = workload(tmp_path)
    worker = Worker(load)
    other = run(Worker(load), trial(7, weights_from=None))
    run(worker, trial())
    child = run(worker, trial(8), other.checkpoint)
    assert child.metrics["score"] >= other.metrics["score"] + 5.0


def test_a_new_start_begins_from_scratch(tmp_path: Path) -> None:
    worker = Worker(workload(tmp_path))
    run(worker, trial())
    CALLS.clear()
    assert run(worker, trial(1, weights_from=None, start=0, stop=10)).metrics["score"] < 7.0
    assert "load" not in CALLS


def test_it_is_prepared_once(tmp_path: Path) -> None:
    worker = Worker(workload(tmp_path))
    checkpoint = run(worker, trial()).checkpoint
    run(worker, trial(1), checkpoint)
    run(worker, trial(2, weights_from=None))
    assert CALLS.count("prepare") == 1


def test_the_device_is_known_from_prepare_on(tmp_path: Path) -> None:
    class OnDevice(Counter):
        def prepare(self) -> None:
            CALLS.append(self.device)

    run(Worker(workload(tmp_path, OnDevice), device="cuda:3"), trial())
    assert CALLS[0] == "cuda:3"


def test_an_evaluation_measures_saved_weights_afresh_and_saves_nothing(tmp_path: Path) -> None:
    load = workload(tmp_path)
    first = run(Worker(load), trial())
    again = run(
        Worker(load),
        trial(1, start=10, stop=10, kind="evaluate", evaluations=5),
        first.checkpoint,
    )
    assert again.metrics["score"] == pytest.approx(first.metrics["score"])
    assert again.metrics["drawn_std"] > 0
    assert again.checkpoint is None
    assert len(list(load.checkpoints.list())) == 1


def test_a_member_may_continue_after_it_was_evaluated(tmp_path: Path) -> None:
    worker = Worker(workload(tmp_path))
    first = run(worker, trial())
    run(worker, trial(9, start=10, stop=10, kind="evaluate", weights_from=0), first.checkpoint)
    CALLS.clear()
    run(worker, trial(1), first.checkpoint)
    assert CALLS == ["train", "evaluate", "save"]


def test_functions_are_restored_every_time(tmp_path: Path) -> None:
    def count(session: Session) -> None:
        start = float((session.restore / "w").read_text()) if session.restore else 0.0
        (session.save / "w").write_text(str(start + session.hparams["lr"]))
        session.report(score=start + session.hparams["lr"])

    worker = Worker(workload(tmp_path, count))
    first = run(worker, trial())
    assert run(worker, trial(1), first.checkpoint).metrics["score"] == 1.0


# Results -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_is_a_result_and_never_stored(tmp_path: Path, value: float) -> None:
    load = workload(tmp_path, mistaken(evaluate=lambda self: value))
    done = run(Worker(load), trial())
    assert done.metrics["score"] == pytest.approx(value, nan_ok=True)
    assert done.checkpoint is None
    assert list(load.checkpoints.list()) == []


def test_a_diverged_member_is_never_continued(tmp_path: Path) -> None:
    worker = Worker(workload(tmp_path, mistaken(evaluate=lambda self: float("nan"))))
    run(worker, trial())
    assert worker.held is None


def test_measurements_come_out_while_it_trains(tmp_path: Path) -> None:
    def train(self: Counter, steps: int) -> None:
        self.session.report(step=4, score=self.hparams["lr"])

    seen: list[Measured] = []
    worker = Worker(workload(tmp_path, mistaken(train=train)))
    worker.run(Task(trial(attempt=1)), seen.append)
    assert seen == [Measured(0, 1, 4, {"score": 0.5})]


def test_a_request_to_stop_reaches_the_user(tmp_path: Path) -> None:
    def train(self: Counter, steps: int) -> int:
        return 3 if self.session.stop_requested and self.hparams["lr"] else steps

    worker = Worker(workload(tmp_path, mistaken(train=train)))
    done = worker.run(Task(trial()), refuse, lambda: True)
    assert isinstance(done, Completed)
    assert done.reached == 3
    assert done.checkpoint is not None


def test_what_could_not_be_verified_is_listed(tmp_path: Path) -> None:
    hparams = {"lr": 0.5, "width": 3}

    def train(self: Counter, steps: int) -> None:
        self.session.applied(lr=self.hparams["lr"])
        assert self.hparams["width"]

    load = workload(tmp_path, mistaken(train=train), names=("lr", "width"))
    assert run(Worker(load), trial(hparams=hparams)).unverified == ("width",)


# Failures ------------------------------------------------------------------------------


def test_a_hyperparameter_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    load = workload(tmp_path, names=("lr", "dropout"))
    failed = fail(Worker(load), trial(hparams={"lr": 0.5, "dropout": 0.1}))
    assert failed.error == (
        'nothing used the hparam `dropout`: read hparams["dropout"] where it takes effect, or take '
        "it out of the space"
    )
    assert list(load.checkpoints.list()) == []


def test_a_member_that_continues_is_not_asked_again(tmp_path: Path) -> None:
    def setup(self: Counter, hparams: Mapping[str, Any], seed: int) -> None:
        self.weight = hparams["lr"]

    worker = Worker(workload(tmp_path, mistaken(setup=setup, train=lambda self, steps: None)))
    first = run(worker, trial())
    run(worker, trial(1), first.checkpoint)


def bug(self: Any, *arguments: Any) -> Any:
    raise ValueError("first line\nsecond line")


@pytest.mark.parametrize("method", ["prepare", "setup", "train", "evaluate", "save", "configure"])
def test_a_bug_anywhere_shows_the_users_own_frames(tmp_path: Path, method: str) -> None:
    load = workload(tmp_path, mistaken(**{method: bug}))
    failed = fail(Worker(load), trial())
    assert failed.error == "ValueError: first line …"
    assert "in bug" in failed.traceback
    assert "heredity/trainables/" not in failed.traceback.replace(str(Path(__file__)), "")
    assert list(load.checkpoints.list()) == []


def test_a_failed_object_is_dropped_with_its_state(tmp_path: Path) -> None:
    class Once(Counter):
        made: ClassVar[list[Any]] = []

        def train(self, steps: int) -> None:
            self.made.append(self)
            if len(self.made) == 1:
                raise RuntimeError
            super().train(steps)

    worker = Worker(workload(tmp_path, Once))
    fail(worker, trial())
    run(worker, trial(attempt=1))
    assert Once.made[0] is not Once.made[1]
    assert CALLS.count("prepare") == 2


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), RecursionError("deep")])
def test_no_error_of_user_code_ends_the_worker(tmp_path: Path, error: BaseException) -> None:
    def raising(self: Any, steps: int) -> None:
        raise error

    failed = fail(Worker(workload(tmp_path, mistaken(train=raising))), trial())
    assert failed.error.startswith(type(error).__name__)


def test_an_interrupt_passes_through_and_drops_the_object(tmp_path: Path) -> None:
    def interrupted(self: Any, steps: int) -> None:
        raise KeyboardInterrupt

    load = workload(tmp_path, mistaken(train=interrupted))
    worker = Worker(load)
    with pytest.raises(KeyboardInterrupt):
        worker.run(Task(trial()), refuse)
    assert worker.held is None
    assert list(load.checkpoints.list()) == []


def test_a_corrupt_checkpoint_is_one_clear_message(tmp_path: Path) -> None:
    load = workload(tmp_path)
    first = run(Worker(load), trial())
    assert first.checkpoint is not None
    with load.checkpoints.open(first.checkpoint) as folder:
        (folder / "weight").write_text("8")
    failed = fail(Worker(load), trial(1), first.checkpoint)
    assert str(folder) in failed.error
    assert failed.traceback == ""
    assert "train" not in CALLS[CALLS.index("save") :]


def test_a_trial_without_its_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "without the checkpoint of 0" in fail(Worker(workload(tmp_path)), trial(1)).error


def test_a_transform_is_refused(tmp_path: Path) -> None:
    worker = Worker(workload(tmp_path))
    first = run(worker, trial())
    failed = fail(worker, replace(trial(1), transform="shrink"), first.checkpoint)
    assert 'transform "shrink" is not possible' in failed.error


def test_a_factory_that_makes_something_else_is_explained(tmp_path: Path) -> None:
    failed = fail(Worker(workload(tmp_path, lambda: 3)), trial())
    assert "returned 3" in failed.error
