"""Commands in worker processes and in studies: nothing outlives its trial, all is in its log."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_bench import DESCENT, LOSS, PATIENCE_S, Bench, descent, gone, task

import heredity as hd
from heredity.errors import TrainingError
from heredity.executors.base import Completed, Failed, Measured, Report
from heredity.executors.output import trial_log
from heredity.executors.processes import Processes
from heredity.recipe import trainable_of, workload_of
from heredity.study_files import load
from heredity.trainables.command import Command
from toys import events_of


@contextlib.contextmanager
def opened(bench: Bench, workers: int = 1) -> Iterator[Processes]:
    executor = Processes(workers)
    executor.open(bench.workload)
    with contextlib.closing(executor):
        yield executor


def end_of(executor: Processes) -> Report:
    while True:
        for report in executor.wait(PATIENCE_S):
            if not isinstance(report, Measured):
                return report


def test_its_output_is_in_the_trials_log_under_its_command_line(tmp_path: Path) -> None:
    command = Command(
        ["/bin/sh", "-c", "echo x > $1/x; echo loss 1; echo oh >&2", "a b", "{save}",
         "{lr}", "[{restore}]"],
        metrics=LOSS,
    )  # fmt: skip
    bench = Bench(tmp_path, command)
    with opened(bench) as executor:
        executor.submit(task(3))
        assert isinstance(end_of(executor), Completed)
    log = trial_log(bench.workload.logs, 3)
    assert log is not None
    first, *others = log.read_text().splitlines()
    assert first.startswith("$ /bin/sh -c 'echo x")
    assert "'a b'" in first
    assert sorted(others) == ["loss 1", "oh"]


HANG = ["/bin/sh", "-c", 'sleep 1000 & echo $$ $! > "$1"; wait', "sh"]


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "time-out", "close"])
def test_nothing_of_a_trial_outlives_its_worker(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    command = Command([*HANG, str(tmp_path / "fifo"), "{lr}", "{save}", "[{restore}]"])
    with opened(Bench(tmp_path, command)) as executor:
        executor.submit(task())
        pids = [int(pid) for pid in (tmp_path / "fifo").read_text().split()]
        if ending == "close":
            executor.close()
        elif ending == "time-out":
            executor.limit(0, 0.01)
        else:
            os.kill(executor.pids[0], signal.Signals[ending])
        if ending != "close":
            report = end_of(executor)
            assert isinstance(report, Failed)
            assert "time-out" not in ending or report.failure == "timeout"
        assert gone(*pids)


def study(folder: Path, command: Command, name: str, **changes: Any) -> hd.Study:
    given: dict[str, Any] = {
        "objective": hd.minimize("loss"), "population": 4, "interval": 5, "budget": hd.Steps(15),
        "algorithm": hd.PBT(mode="sync"), "name": name, "storage": folder / "runs",
    }  # fmt: skip
    return hd.Study(command, hd.Space(lr=hd.LogUniform(1e-3, 0.4)), **(given | changes))


def test_a_study_with_workers_finds_what_one_in_this_process_finds(tmp_path: Path) -> None:
    command = descent(tmp_path)
    here = study(tmp_path, command, "here").run(hd.Inline(), live="off")
    there = study(tmp_path, command, "there").run(hd.Processes(2), live="off")
    assert [trial.score for trial in here.trials] == [trial.score for trial in there.trials]
    assert any(trial.evidence for trial in here.trials)
    x = json.loads((there.best.checkpoint / "x.json").read_text())
    assert x**2 == pytest.approx(there.best.score)
    assert there.best.score < 25


FILE = """
name = "away"
objective = "minimize loss"
interval = 5
budget.steps = 15
space.lr = { type = "LogUniform", low = 1e-3, high = 0.4 }
command.command = '''
{python} -S descent.py --lr {lr} --steps {steps} --out {save} [--resume {restore}]
'''
command.metrics.loss = "loss ([0-9.]+)"
"""


def test_a_study_files_command_runs_where_its_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what a service knows of it: the program lies where the worker was started."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    (there / "study.toml").write_text(FILE)
    (there / "descent.py").write_text(DESCENT)
    load(there / "study.toml").begin()
    created: Any = events_of(there / "runs", "away")[0]
    there.rename(here)
    monkeypatch.chdir(here)
    bench = Bench(here, descent(here))
    elsewhere = trainable_of(workload_of("away", created.code))
    bench.workload = replace(bench.workload, trainable=elsewhere)
    bench.done(task())
    (here / "descent.py").unlink()
    assert f"is not on this machine, so that in which the worker was started, '{here}'" in (
        bench.failed(task(1)).error
    )


def test_a_check_runs_the_command(tmp_path: Path) -> None:
    assert study(tmp_path, descent(tmp_path), "checked").check(workers=1).ok


def test_a_study_that_cannot_go_on_shows_what_the_program_said(tmp_path: Path) -> None:
    wrong = study(tmp_path, descent(tmp_path, "--out {save}"), "wrong")
    with pytest.raises(TrainingError, match=r"exit code 2: .* required: --steps") as caught:
        wrong.run(hd.Inline(), live="off")
    assert caught.value.remote_traceback.startswith("usage: descent.py")
