"""A worker pulls a study to its end, whatever happens to the service meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import Served, begin, served

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import NotFound
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.executors.base import Completed, Failed, Measured, Report, Task, Workload
from heredity.executors.inline import Inline
from heredity.legible import ERROR_CHARACTERS, TRACEBACK_CHARACTERS
from heredity.log import Log
from heredity.service.beats import Beats
from heredity.service.client import Client, Unreachable
from heredity.service.worker import Absence, PullWorker
from heredity.stores import open_store
from heredity.testing.clock import FakeClock
from toys import Toy, events_of, run, toy_study


def workload(storage: Path, trainable: Any = Toy) -> Workload:
    checkpoints = LocalCheckpoints(storage / "toy" / "checkpoints")
    return Workload(trainable, checkpoints, logs=None, metric="loss", names=("lr",))


@contextlib.contextmanager
def worker(
    client: Client, storage: Path, executor: Any = None, **options: Any
) -> Iterator[PullWorker]:
    executor = executor or Inline()
    executor.open(workload(storage))
    with contextlib.closing(executor):
        yield PullWorker(client, "toy", "host-0", executor, **{"beat_s": 60.0, **options})


def population(storage: Path) -> Population:
    return Population.fold(events_of(storage))


def decisions(storage: Path) -> list[Any]:
    return [event.proposal for event in population(storage).proposed]


def test_it_runs_the_study_to_its_end(service: Served, client: Client) -> None:
    with worker(client, service.storage) as puller:
        puller.run()
    found = population(service.storage)
    assert found.status == "ended"
    assert found.spent.tolist() == [30] * 4
    assert puller.status == "ended"
    assert puller.trials == len(found) == found.ended_count + len(found.confirmed)
    assert {event.worker for event in found.outcomes} == {"host-0/0"}
    assert (service.storage / "toy" / "best" / "x.json").is_file()


def test_it_decides_what_a_driver_decides(tmp_path: Path) -> None:
    algorithm = hd.PBT(mode="sync")
    run(toy_study(tmp_path / "driven", algorithm=algorithm))
    storage = tmp_path / "pulled"
    begin(storage, algorithm=algorithm)
    with (
        served(storage) as service,
        contextlib.closing(service.client()) as client,
        worker(client, storage) as puller,
    ):
        puller.run()
    assert decisions(storage) == decisions(tmp_path / "driven")


def test_a_worker_that_was_told_to_stop_asks_for_nothing(service: Served, client: Client) -> None:
    with worker(client, service.storage) as puller:
        puller.stop()
        puller.run()
    assert len(population(service.storage)) == 0


class StopsAfter(Inline):
    """Runs trials here, and tells its worker to stop once it has run some."""

    def wait(self, timeout_s: float) -> Sequence[Report]:
        reports = super().wait(timeout_s)
        self.ran = getattr(self, "ran", 0) + len(reports)
        if self.ran >= 3:
            self.worker.stop()
        return reports


def test_what_ran_when_it_was_told_to_stop_is_reported(service: Served, client: Client) -> None:
    executor = StopsAfter()
    with worker(client, service.storage, executor) as puller:
        executor.worker = puller
        puller.run()
    found = population(service.storage)
    assert found.ended_count == puller.trials == 3
    assert not found.open


class Restarts(Inline):
    """Runs trials here, and has the service restarted after each of them."""

    def wait(self, timeout_s: float) -> Sequence[Report]:
        reports = super().wait(timeout_s)
        if reports:
            self.restart()
        return reports


def test_a_service_that_restarts_is_found_again(tmp_path: Path) -> None:
    begin(tmp_path, budget=hd.Trials(6), finalists=0)
    with contextlib.ExitStack() as running, contextlib.ExitStack() as running_client:
        service = running.enter_context(served(tmp_path))
        port = int(service.url.rpartition(":")[2])
        executor = Restarts()

        def restart() -> None:
            running.close()
            running.enter_context(served(tmp_path, port=port))

        executor.restart = restart
        client = running_client.enter_context(contextlib.closing(service.client()))
        running_client.enter_context(worker(client, tmp_path, executor)).run()
    found = population(tmp_path)
    assert found.status == "ended"
    assert found.ended_count == 6
    assert found.failures == 0


class Vanishing(Inline):
    """Runs one trial, while the service goes away for good."""

    def wait(self, timeout_s: float) -> Sequence[Report]:
        self.vanish()
        return super().wait(timeout_s)


class Hurrying(FakeClock):
    """Twenty seconds go by at every look."""

    def __call__(self) -> float:
        self.advance(20.0)
        return super().__call__()


def test_a_service_that_stays_away_is_given_up(tmp_path: Path) -> None:
    begin(tmp_path)
    said: list[str] = []
    clock, executor = Hurrying(), Vanishing()
    with contextlib.ExitStack() as running, contextlib.ExitStack() as opened:
        service = running.enter_context(served(tmp_path))
        executor.vanish = running.close
        client = opened.enter_context(contextlib.closing(service.client()))
        options = {"say": said.append, "clock": clock, "patience_s": 100.0}
        puller = opened.enter_context(worker(client, tmp_path, executor, **options))
        with pytest.raises(Unreachable) as caught:
            puller.run()
    assert "nothing is lost" in "".join(caught.value.__notes__)
    assert len([text for text in said if "trying again" in text]) == 1
    assert clock() > 100


def test_a_service_that_is_away_is_left_alone_for_a_while(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("refused")

    clock = FakeClock()
    client = Client("http://127.0.0.1:1", transport=httpx.MockTransport(refuse))
    with worker(client, tmp_path, clock=clock) as puller:
        for _ in range(3):
            puller._talk()
        assert len(asked) == 1
        clock.advance(1.0)
        puller._talk()
        assert len(asked) == 2


def test_it_waits_longer_each_time_and_begins_anew() -> None:
    clock = FakeClock()
    absence = Absence(1000.0, clock)
    error = Unreachable("away")
    waits = []
    for number in range(12):
        assert absence.noticed(error) == (number == 0)
        waits.append(absence.left_s)
        assert absence.lasts
        clock.advance(absence.left_s)
        assert not absence.lasts
    assert waits[0] < 0.2
    assert 5 < waits[-1] < 25
    absence.is_over()
    assert not absence.lasts
    assert absence.noticed(error)
    assert absence.left_s < 0.2


# What the service wants ended --------------------------------------------------------------


class Endless:
    """An executor whose one trial measures, and runs until it is asked to stop at step 3."""

    slots = 1
    task: Task | None = None
    asked = measured = False

    def __init__(self, act: Callable[[Task], None] = lambda task: None) -> None:
        self.act = act

    def open(self, workload: Workload) -> None:
        self.checkpoints = workload.checkpoints

    def submit(self, task: Task) -> str:
        self.task = task
        self.act(task)
        return "here"

    def wait(self, timeout_s: float) -> Sequence[Report]:
        assert self.task is not None
        trial = self.task.trial
        if not self.asked and not self.measured:
            self.measured = True
            return [Measured(trial.id, trial.attempt, 1, {"loss": 1.0})]
        if not self.asked:
            time.sleep(min(timeout_s, 0.01))
            return []
        self.task = None
        self.worker.stop()
        saved = self.checkpoints.save(trial.id, trial.attempt, lambda folder: None)
        return [Completed(trial.id, trial.attempt, 3, {"loss": 0.5}, saved, 0.1)]

    def request_stop(self, trial: int) -> None:
        assert self.task is not None
        assert self.task.trial.id == trial
        self.asked = True

    def limit(self, trial: int, timeout_s: float) -> None:
        """It has no limit."""

    def close(self) -> None:
        """Nothing to end."""


def pull(service: Served, client: Client, executor: Any) -> Population:
    with worker(client, service.storage, executor, beat_s=0.01) as puller:
        executor.worker = puller
        puller.run()
    return population(service.storage)


def test_a_stop_that_is_asked_for_ends_the_trial_early(service: Served, client: Client) -> None:
    def ask(task: Task) -> None:
        with contextlib.closing(open_store(service.storage)) as store:
            Log(store, "toy").append([ev.TrialStopRequested(task.trial.id, "a rule")])
        client.suggest("toy", "other")  # has the service read on

    found = pull(service, client, Endless(ask))
    assert found.statuses[0] == "stopped"
    assert found.trial(0).reached == 3


def test_a_trial_that_became_anothers_is_not_cut_short(service: Served, client: Client) -> None:
    """It ran on here after its lease had ended: to be cut short then is no result."""

    def take_away(task: Task) -> None:
        lost = Failed(task.trial.id, 0, "lost", "nothing was heard")
        client.fail("toy", "host-0/0", lost)
        assert client.suggest("toy", "other").tasks[0].trial.id == task.trial.id

    found = pull(service, client, Endless(take_away))
    assert found.statuses[0] == "running"
    assert found.attempts[0] == 1
    saved = workload(service.storage).checkpoints.save(0, 1, lambda folder: None)
    report = Completed(0, 1, 5, {"loss": 0.1}, saved, 1.0)
    assert client.complete("toy", "other", report) == "recorded"


def test_what_was_measured_reaches_the_service(service: Served, client: Client) -> None:
    executor = Endless()
    with worker(client, service.storage, executor, beat_s=60.0) as puller:
        executor.worker = puller
        executor.wait = measuring(executor)  # type: ignore[method-assign]
        puller.run()
    with contextlib.closing(open_store(service.storage, read_only=True)) as store:
        assert [point.step for point in store.curve("toy", 0)] == [1]


def measuring(executor: Endless) -> Callable[[float], Sequence[Report]]:
    """It measures once, with its end, before any sign of life is due."""

    def wait(timeout_s: float) -> Sequence[Report]:
        executor.asked = False
        measured = Endless.wait(executor, timeout_s)
        executor.asked = True
        return [*measured, *Endless.wait(executor, timeout_s)]

    return wait


# Reports that are refused ------------------------------------------------------------------


class Reporting(Endless):
    """An executor whose one trial ends at once with a report that the test makes."""

    def __init__(self, made: Callable[[Task], Report]) -> None:
        super().__init__()
        self.made = made

    def wait(self, timeout_s: float) -> Sequence[Report]:
        assert self.task is not None
        report, self.task = self.made(self.task), None
        self.worker.stop()
        return [report]


@pytest.mark.parametrize("text", ["x", "\n", "\U0001f9ec", "\ud800"])
def test_a_failure_of_any_length_arrives_shortened(
    service: Served, client: Client, text: str
) -> None:
    """Were it refused and dropped, the service would give the trial back for ever."""

    def made(task: Task) -> Report:
        error, trace = "because" + text * 3_000_000, text * 3_000_000 + "the last line"
        return Failed(task.trial.id, 0, "error", error, trace, 1.0)

    pull(service, client, Reporting(made))
    [failed] = [e for e in events_of(service.storage) if isinstance(e, ev.TrialFailed)]
    assert failed.error.startswith("because")
    assert failed.traceback.endswith("the last line")
    assert len(failed.error) == ERROR_CHARACTERS
    assert len(failed.traceback) == TRACEBACK_CHARACTERS


def test_half_characters_in_names_and_texts_cross(service: Served, client: Client) -> None:
    """As Python reads them from bytes that are no UTF-8."""
    [task] = client.suggest("toy", "a").tasks
    metrics = {"loss": float("nan"), "caf\udce9": 1.0}
    client.heartbeat("toy", "a", task.trial.id, 0, [Measured(task.trial.id, 0, 1, metrics)])
    report = Completed(task.trial.id, 0, 5, metrics, None, 1.0, unverified=("\ud800",))
    assert client.complete("toy", "a", report) == "recorded"
    [diverged] = [e for e in events_of(service.storage) if isinstance(e, ev.TrialDiverged)]
    assert diverged.metrics == {"caf\\udce9": 1.0}


@pytest.mark.parametrize("elapsed_s", [float("nan"), -1.0])
def test_a_failure_that_is_refused_is_reported_in_short(
    service: Served, client: Client, elapsed_s: float
) -> None:
    def made(task: Task) -> Report:
        return Failed(task.trial.id, 0, "error", "out of luck", "a traceback", elapsed_s)

    with worker(client, service.storage, executor := Reporting(made)) as puller:
        executor.worker = puller
        puller.run()
    [failed] = [e for e in events_of(service.storage) if isinstance(e, ev.TrialFailed)]
    assert failed.error.startswith("out of luck (its report was refused: ")
    assert "elapsed_s" in failed.error
    assert puller.trials == 0


def test_a_failure_that_is_never_taken_ends_the_worker(service: Served, client: Client) -> None:
    with worker(client, service.storage) as puller:
        [slot] = puller._slots
        puller._ask(slot)
        slot.report = Failed(99, 0, "error", "of no trial")
        with pytest.raises(NotFound):
            puller._talk()


def test_news_that_are_too_many_do_not_keep_a_sign_of_life_back(
    service: Served, client: Client
) -> None:
    beats = Beats(client, "toy", 60.0)
    [task] = client.suggest("toy", "host-0/0").tasks
    beats.begin("host-0/0", run := (task.trial.id, 0))
    beats.measured(Measured(*run, 1, {f"metric {n}": 0.5 for n in range(100_000)}))
    client.fail("toy", "host-0/0", Failed(*run, "lost", "nothing was heard"))
    beats.end(run)
    assert [unwanted.lost for unwanted in beats.unwanted()] == [True]
