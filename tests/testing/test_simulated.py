"""Trials in simulated time."""

import pytest

from heredity.errors import UsageError
from heredity.executors.base import Completed, Task
from heredity.testing.clock import FakeClock
from heredity.testing.executor_suite import task
from heredity.testing.simulated import Simulated


def completed(task: Task) -> Completed:
    trial = task.trial
    return Completed(trial.id, trial.attempt, trial.stop, {"score": 1.0}, None, elapsed_s=0.0)


def timeline(executor: Simulated, trials: int) -> list[tuple[float, int, str]]:
    """When each of so many trials of ten steps ends, and on which worker, all kept busy."""
    workers, ended, issued = {}, [], 0
    while len(ended) < trials:
        while len(workers) < executor.slots:
            workers[issued] = executor.submit(task(id=issued))
            issued += 1
        for report in executor.wait():
            ended.append((executor.clock(), report.trial, workers.pop(report.trial)))
    return ended


def test_a_worker_four_times_as_fast_ends_four_trials_meanwhile() -> None:
    ended = timeline(Simulated({0: 10.0, 1: 2.5}, completed), 10)
    assert [time_s for time_s, _, _ in ended] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert sum(worker == "simulated-0" for _, _, worker in ended) == 8


def test_the_same_submissions_give_the_same_reports() -> None:
    speeds = {0: 1.0, 1: 3.0, 2: 7.0}
    assert timeline(Simulated(speeds, completed), 50) == timeline(Simulated(speeds, completed), 50)


def test_a_report_says_how_long_the_trial_took() -> None:
    executor = Simulated({0: 4.0}, completed)
    executor.submit(task(stop=100))
    assert [report.elapsed_s for report in executor.wait()] == [25.0]


def test_more_tasks_than_workers_are_refused() -> None:
    executor = Simulated({0: 1.0}, completed)
    executor.submit(task(id=0))
    with pytest.raises(UsageError, match="no free slot for trial 1"):
        executor.submit(task(id=1))


def test_waiting_for_nothing_passes_the_time() -> None:
    clock = FakeClock(100.0)
    assert Simulated({0: 1.0}, completed, clock).wait(5.0) == []
    assert clock() == 105.0


def test_closing_forgets_what_runs() -> None:
    executor = Simulated({0: 1.0}, completed)
    executor.submit(task())
    executor.close()
    assert executor.wait(1.0) == []
