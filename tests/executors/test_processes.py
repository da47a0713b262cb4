"""Trials in worker processes: what the suite asks, and what only this executor promises."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heredity.errors import HeredityError, UsageError
from heredity.executors.base import Completed, Failed, Workload
from heredity.executors.processes import Processes
from heredity.testing.executor_suite import (
    PATIENCE_S,
    ProcessExecutorSuite,
    after,
    ends,
    run,
    task,
)
from heredity.testing.obedient import Obedient


class TestProcesses(ProcessExecutorSuite):
    @pytest.fixture
    def executor(self) -> Processes:
        return Processes(2)


@pytest.fixture
def two(workload: Workload) -> Iterator[Processes]:
    with started(Processes(2), workload) as executor:
        yield executor


@contextlib.contextmanager
def started(executor: Processes, workload: Workload) -> Iterator[Processes]:
    executor.open(workload)
    with contextlib.closing(executor):
        yield executor


def gone(*pids: int) -> bool:
    """Wait until all these processes have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if not select.select([handle], [], [], PATIENCE_S)[0]:
                    return False
            finally:
                os.close(handle)
    return True


def fifo_in(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


# How many, and what each gets ---------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_a_number_of_workers_must_make_sense(workers: object) -> None:
    with pytest.raises(UsageError, match="workers must be a whole number from 1"):
        Processes(workers)  # type: ignore[arg-type]


def test_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert Processes().slots == 3


def test_a_worker_for_each_core_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert 1 <= Processes().slots <= (os.cpu_count() or 1)


def test_each_worker_knows_its_gpu_and_threads_before_it_imports(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    class Aware(Obedient):
        def evaluate(self) -> dict[str, float]:
            assert self.device == "cuda:0"
            gpu, threads = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]
            return {"score": float(gpu), "threads": float(threads)}

    with started(Processes(2, threads=3), replace(workload, trainable=Aware)) as executor:
        for number in range(2):
            executor.submit(task(id=number))
        found = [report.metrics for report in ends(executor, 2) if isinstance(report, Completed)]
    assert sorted(metrics["score"] for metrics in found) == [4, 7]
    assert {metrics["threads"] for metrics in found} == {3}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


# Which worker -------------------------------------------------------------------------------


def test_members_go_on_where_they_live_in_whatever_order(two: Processes) -> None:
    for number in range(2):
        two.submit(task(id=number))
    firsts = ends(two, 2)
    for _ in range(3):
        for report in reversed(firsts):
            two.submit(after(task(), report))
        firsts = ends(two, 2)
        assert all(isinstance(report, Completed) for report in firsts)
        assert [report.metrics["loads"] for report in firsts] == [0, 0]  # type: ignore[union-attr]


def test_a_new_member_leaves_one_that_lives_elsewhere_alone(two: Processes) -> None:
    first = run(two, task(id=0))
    run(two, task(id=1))
    assert run(two, after(task(), first)).metrics["loads"] == 0  # type: ignore[union-attr]


# Death --------------------------------------------------------------------------------------


def test_workers_that_die_in_their_sleep_are_replaced_silently(two: Processes) -> None:
    for _ in range(4):
        before = two.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for number in range(2):
            two.submit(task(id=number))
        found = ends(two, 2)
        dead = [report for report in found if isinstance(report, Failed)]
        assert all("SIGKILL" in report.error for report in dead)
        assert not set(before) & set(two.pids)


def test_a_death_is_seen_although_a_forked_child_lives_on(workload: Workload) -> None:
    class Forking(Obedient):
        def prepare(self) -> None:
            super().prepare()
            if os.fork() == 0:
                signal.pause()

    with started(Processes(1), replace(workload, trainable=Forking)) as executor:
        report = run(executor, task("signal:SIGKILL"))
        assert isinstance(report, Failed)
        assert "SIGKILL" in report.error


def test_a_forked_child_can_be_terminated_alone(workload: Workload) -> None:
    class Terminating(Obedient):
        def evaluate(self) -> dict[str, float]:
            if (child := os.fork()) == 0:
                signal.pause()
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            return {"score": -os.waitstatus_to_exitcode(status)}

    with started(Processes(1), replace(workload, trainable=Terminating)) as executor:
        report = run(executor, task())
        assert isinstance(report, Completed), report
        assert report.metrics["score"] == signal.SIGTERM


def test_the_last_words_of_a_crash_are_kept(two: Processes, workload: Workload) -> None:
    report = run(two, task("signal:SIGSEGV", id=3))
    assert isinstance(report, Failed)
    assert str(workload.logs) in report.error
    assert "Segmentation fault" in report.traceback
    assert "_signal" in report.traceback


def test_a_terminated_worker_takes_its_children_along(two: Processes, tmp_path: Path) -> None:
    fifo = fifo_in(tmp_path)
    two.submit(task(f"hang:{fifo}"))
    worker, child = (int(pid) for pid in fifo.read_text().split())
    os.kill(worker, signal.SIGTERM)
    (report,) = ends(two)
    assert isinstance(report, Failed)
    assert "SIGTERM" in report.error
    assert gone(child)


def test_a_time_limit_ends_the_children_too(two: Processes, tmp_path: Path) -> None:
    fifo = fifo_in(tmp_path)
    two.submit(task(f"hang:{fifo}", timeout_s=0.5))
    processes = [int(pid) for pid in fifo.read_text().split()]
    (report,) = ends(two)
    assert isinstance(report, Failed)
    assert gone(*processes)


# Starting -----------------------------------------------------------------------------------


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], type]]:
    """Makes a trainable whose module does something on import, but only with MOOD=bad."""

    def make(statement: str) -> type:
        (tmp_path / "moody.py").write_text(
            "import os\n"
            'if os.environ.get("MOOD") == "bad":\n'
            f"    {statement}\n"
            "from heredity.testing.obedient import Obedient\n"
            "class Moody(Obedient):\n"
            "    pass\n"
        )
        import moody

        return moody.Moody  # type: ignore[no-any-return]

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    sys.modules.pop("moody", None)


def test_a_worker_that_cannot_import_is_refused_by_name(
    workload: Workload, moody: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = moody("import nothing_of_this_name")
    monkeypatch.setenv("MOOD", "bad")
    with pytest.raises(UsageError, match=r"cannot import .*'nothing_of_this_name'"):
        Processes(2).open(replace(workload, trainable=trainable))


def test_a_worker_that_dies_while_importing_is_given_up_with_its_last_words(
    workload: Workload, moody: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = moody("print('farewell', flush=True); os._exit(7)")
    monkeypatch.setenv("MOOD", "bad")
    with pytest.raises(HeredityError, match=r"(?s)exit code 7 while starting.*farewell"):
        Processes(1).open(replace(workload, trainable=trainable))


def test_a_worker_that_takes_too_long_to_start_is_given_up(
    workload: Workload, moody: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = moody("import threading; threading.Event().wait()")
    monkeypatch.setenv("MOOD", "bad")
    with pytest.raises(HeredityError, match=r"not ready 0\.5 s after .*start_timeout_s"):
        Processes(2, start_timeout_s=0.5).open(replace(workload, trainable=trainable))


def test_a_successor_that_cannot_start_ends_the_study_with_the_reason(
    workload: Workload, moody: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = moody("import nothing_of_this_name")
    with started(Processes(1), replace(workload, trainable=trainable)) as executor:
        monkeypatch.setenv("MOOD", "bad")
        report = run(executor, task("exit:1"))
        assert isinstance(report, Failed)
        with pytest.raises(UsageError, match="nothing_of_this_name"):
            executor.wait(PATIENCE_S)


# Nothing is left behind -----------------------------------------------------------------------


def test_closing_leaves_no_process_and_no_descriptor(workload: Workload) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    executor = Processes(2)
    executor.open(workload)
    pids = executor.pids
    run(executor, task("exit:1"))
    pids += executor.pids
    executor.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_workers_are_out_of_reach_of_the_terminal(two: Processes) -> None:
    assert [os.getsid(pid) for pid in two.pids] == list(two.pids)


DRIVER = """
import os, signal, sys
from pathlib import Path
from heredity.checkpoints.local import LocalCheckpoints
from heredity.executors.base import Workload
from heredity.executors.processes import Processes
from heredity.testing.executor_suite import task
from heredity.testing.obedient import Obedient

folder, fifo, ending = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
executor = Processes(2)
checkpoints = LocalCheckpoints(folder / "checkpoints")
executor.open(Workload(Obedient, checkpoints, folder / "logs", "score", ("act",)))
executor.submit(task("hang:" + fifo))
told = Path(fifo).read_text()
if "fork" in ending and os.fork() == 0:
    signal.pause()
print(told, *executor.pids, flush=True)
exec(ending.replace("fork", ""))
"""


@pytest.mark.parametrize(
    "ending",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "raise ValueError",
        "os._exit(0)",
        "",
    ],
)
def test_workers_end_with_their_driver_however_it_ends(tmp_path: Path, ending: str) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    fifo = fifo_in(tmp_path)
    done = subprocess.run(
        [sys.executable, script, tmp_path, fifo, ending], capture_output=True, text=True
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 4, done.stderr
    assert gone(*pids)


def test_workers_end_although_a_fork_of_their_driver_lives_on(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    ending = "fork; os.kill(os.getpid(), signal.SIGKILL)"
    with subprocess.Popen(
        [sys.executable, script, tmp_path, fifo_in(tmp_path), ending],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as driver:
        try:
            assert driver.stdout is not None
            pids = [int(pid) for pid in driver.stdout.readline().split()]
            assert len(pids) == 4
            assert gone(*pids)
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
