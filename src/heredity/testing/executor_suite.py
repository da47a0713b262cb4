"""What every Executor must do. Subclass `ExecutorSuite`, or `ProcessExecutorSuite` where trials run
outside of this process, and give it a fixture `executor`, not yet open, with two slots if it can.

    class TestMyExecutor(ProcessExecutorSuite):
        @pytest.fixture
        def executor(self):
            return MyExecutor()

Checkpoints and logs go to folders with odd names. This file knows the protocol and no executor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import UsageError
from heredity.evolution.trial import Trial
from heredity.executors.base import Completed, Executor, Failed, Report, Task, Workload
from heredity.testing.obedient import Obedient
from heredity.testing.paths import weird_folder

PATIENCE_S = 60.0
"""How long a test waits for what must come; only a broken executor takes that long."""


def task(act: str = "count", id: int = 0, timeout_s: float | None = None, **fields: Any) -> Task:
    """A task of ten steps for `Obedient`."""
    trial = Trial(
        **{"member": id, "turn": 0, "start": 0, "stop": 10, "seed": id} | fields,
        id=id,
        hparams={"act": act},
    )
    return Task(trial, timeout_s=timeout_s)


def after(first: Task, report: Report, **fields: Any) -> Task:
    """The task that continues what `first` has completed."""
    assert isinstance(report, Completed), report
    begins = {"weights_from": report.trial, "start": report.reached, "stop": report.reached + 10}
    trial = replace(first.trial, **{"id": report.trial + 100, "turn": 1} | begins | fields)
    return Task(trial, report.checkpoint)


def ends(executor: Executor, count: int = 1) -> list[Completed | Failed]:
    """The next `count` ends of trials."""
    found = [
        report for report in reports(executor, count) if isinstance(report, Completed | Failed)
    ]
    return sorted(found, key=lambda report: report.trial)


def reports(executor: Executor, count: int = 1) -> list[Report]:
    """All reports until `count` trials have ended."""
    found: list[Report] = []
    while sum(isinstance(report, Completed | Failed) for report in found) < count:
        arrived = executor.wait(PATIENCE_S)
        assert arrived, f"nothing was reported for {PATIENCE_S} s"
        found += arrived
    return found


def run(executor: Executor, given: Task) -> Completed | Failed:
    """Submit one task and wait for its end."""
    executor.submit(given)
    return ends(executor)[0]


class ExecutorSuite:
    """What holds wherever trials run."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("define a fixture `executor` in the subclass")

    @pytest.fixture
    def workload(self, tmp_path: Path) -> Workload:
        folder = weird_folder(tmp_path)
        return Workload(
            Obedient, LocalCheckpoints(folder / "checkpoints"), folder / "logs", "score", ("act",)
        )

    @pytest.fixture
    def opened(self, executor: Executor, workload: Workload) -> Iterator[Executor]:
        executor.open(workload)
        with contextlib.closing(executor):
            yield executor

    def test_a_task_is_reported_once_with_its_result(
        self, opened: Executor, workload: Workload
    ) -> None:
        report = run(opened, task(id=3, attempt=2))
        assert isinstance(report, Completed), report
        assert (report.trial, report.attempt, report.reached) == (3, 2, 10)
        assert report.metrics["score"] == 10
        assert report.elapsed_s > 0
        assert report.checkpoint is not None
        with workload.checkpoints.open(report.checkpoint) as folder:
            assert (folder / "count").read_text() == "10"
        assert opened.wait(0) == []

    def test_every_slot_takes_a_task_and_more_are_refused(self, opened: Executor) -> None:
        names = [opened.submit(task(id=number)) for number in range(opened.slots)]
        assert len(set(names)) == opened.slots
        assert all(names)
        with pytest.raises(UsageError, match="no free slot for trial 99"):
            opened.submit(task(id=99))
        found = ends(opened, opened.slots)
        assert [report.trial for report in found] == list(range(opened.slots))

    def test_a_slot_is_free_again_once_its_trial_was_reported(self, opened: Executor) -> None:
        rounds = 2 * opened.slots + 1
        assert [run(opened, task(id=number)).trial for number in range(rounds)] == [*range(rounds)]

    def test_a_trial_begins_from_the_checkpoint_it_is_given(self, opened: Executor) -> None:
        first = run(opened, task(id=1))
        second = run(opened, after(task(), first))
        assert isinstance(second, Completed), second
        assert (second.reached, second.metrics["score"]) == (20, 20)

    def test_a_member_that_goes_on_is_not_loaded_again(self, opened: Executor) -> None:
        report: Report = run(opened, task(id=1))
        for _ in range(3):
            report = run(opened, after(task(), report))
            assert isinstance(report, Completed), report
            assert report.metrics["loads"] == 0

    def test_measurements_come_before_the_end(self, opened: Executor) -> None:
        opened.submit(task("report", id=5, attempt=1))
        measured, end = reports(opened)
        assert (measured.trial, measured.attempt, getattr(measured, "step", None)) == (5, 1, 0)
        assert isinstance(end, Completed)

    def test_an_exception_fails_the_attempt_with_the_users_frames(self, opened: Executor) -> None:
        report = run(opened, task("raise:too bad", id=7, attempt=1))
        assert isinstance(report, Failed)
        assert (report.trial, report.attempt, report.failure) == (7, 1, "error")
        assert "ValueError: too bad" in report.error
        assert 'File "user.py", line 1' in report.traceback
        assert "obedient.py" not in report.traceback

    def test_the_same_trial_runs_again_after_a_failure(self, opened: Executor) -> None:
        run(opened, task("raise:too bad", id=7))
        again = run(opened, task(id=7, attempt=1))
        assert isinstance(again, Completed)
        assert again.attempt == 1

    def test_a_stop_request_ends_a_trial_early(self, opened: Executor) -> None:
        opened.submit(task("stop", id=2))
        opened.request_stop(2)
        (report,) = ends(opened)
        assert isinstance(report, Completed), report
        assert report.reached == 0

    def test_a_stop_request_concerns_one_attempt_only(self, opened: Executor) -> None:
        opened.submit(task("stop", id=2))
        opened.request_stop(2)
        ends(opened)
        opened.request_stop(2)  # which has ended
        opened.request_stop(12345)  # which there never was
        opened.submit(task("stop", id=2, attempt=1))
        opened.request_stop(3)  # another one
        opened.request_stop(2)
        (report,) = ends(opened)
        assert isinstance(report, Completed), report
        assert report.attempt == 1

    def test_waiting_for_nothing_ends(self, opened: Executor) -> None:
        assert list(opened.wait(0.001)) == []

    def test_closing_twice_or_unopened_is_harmless(
        self, executor: Executor, workload: Workload
    ) -> None:
        executor.close()
        executor.open(workload)
        executor.submit(task())
        executor.close()
        executor.close()

    def test_an_executor_opens_again_after_closing(
        self, executor: Executor, workload: Workload
    ) -> None:
        for number in range(2):
            executor.open(workload)
            assert isinstance(run(executor, task(id=number)), Completed)
            executor.close()


class ProcessExecutorSuite(ExecutorSuite):
    """What holds besides where trials run in processes of their own, on this machine."""

    def test_trials_run_elsewhere_and_at_once(self, opened: Executor, tmp_path: Path) -> None:
        fifo = _fifo(tmp_path)
        opened.submit(task(f"meet:{fifo}", id=0))
        opened.submit(task(f"greet:{fifo}", id=1))
        pids = set()
        for report in ends(opened, 2):
            assert isinstance(report, Completed), report
            pids.add(report.metrics["pid"])
        assert len(pids) == 2
        assert os.getpid() not in pids

    @pytest.mark.parametrize(
        ("act", "manner"),
        [
            ("signal:SIGKILL", "SIGKILL"),
            ("signal:SIGSEGV", "SIGSEGV"),
            ("signal:SIGTERM", "SIGTERM"),
            ("exit:0", "exit code 0"),
            ("exit:3", "exit code 3"),
        ],
    )
    def test_death_fails_the_attempt_and_leaves_no_gap(
        self, opened: Executor, act: str, manner: str
    ) -> None:
        slots = opened.slots
        report = run(opened, task(act, id=4, attempt=1))
        assert isinstance(report, Failed)
        assert (report.trial, report.attempt, report.failure) == (4, 1, "error")
        assert manner in report.error
        assert opened.slots == slots
        for number in range(slots):
            opened.submit(task(id=number))
        assert all(isinstance(report, Completed) for report in ends(opened, slots))

    def test_a_death_concerns_no_other_trial(self, opened: Executor, tmp_path: Path) -> None:
        fifo = _fifo(tmp_path)
        opened.submit(task(f"meet:{fifo}", id=0))
        report = run(opened, task("signal:SIGKILL", id=1))
        assert report.trial == 1
        opened.submit(task(f"greet:{fifo}", id=2))
        found = ends(opened, 2)
        assert [report.trial for report in found] == [0, 2]
        assert all(isinstance(report, Completed) for report in found)

    def test_a_time_limit_ends_a_trial_that_hangs(self, opened: Executor) -> None:
        report = run(opened, task("hang", id=6, attempt=1, timeout_s=0.2))
        assert isinstance(report, Failed)
        assert (report.trial, report.attempt, report.failure) == (6, 1, "timeout")
        assert "0.2 s" in report.error
        assert isinstance(run(opened, task(id=7, timeout_s=PATIENCE_S)), Completed)

    def test_a_time_limit_may_come_later(self, opened: Executor) -> None:
        opened.submit(task("hang", id=6))
        opened.limit(6, 0.2)
        opened.limit(12345, 0.0)  # which there never was
        (report,) = ends(opened)
        assert isinstance(report, Failed)
        assert (report.trial, report.failure) == (6, "timeout")
        assert "0.2 s" in report.error

    def test_output_goes_to_the_log_of_the_trial(
        self, opened: Executor, workload: Workload
    ) -> None:
        run(opened, task("write:first", id=1))
        run(opened, task("count", id=2))
        run(opened, task("write:third", id=3))
        assert workload.logs is not None
        for id, text in ((1, "first"), (3, "third")):
            lines = (workload.logs / f"{id}.log").read_text().splitlines()
            assert sorted(lines) == [f"echo {text}", text, text]

    def test_closing_ends_workers_and_what_they_started(
        self, executor: Executor, workload: Workload, tmp_path: Path
    ) -> None:
        fifo = _fifo(tmp_path)
        executor.open(workload)
        executor.submit(task(f"hang:{fifo}"))
        processes = [int(pid) for pid in fifo.read_text().split()]
        assert len(processes) == 2
        executor.close()
        assert not [pid for pid in processes if alive(pid)]


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc here, or gone by now
        return not Path("/proc/self").exists()
    return state not in "ZX"


def _fifo(folder: Path) -> Path:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    return fifo
