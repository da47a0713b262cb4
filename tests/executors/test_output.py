"""Where the output of trials goes."""

import os
import subprocess
from pathlib import Path

import pytest

from heredity.executors.output import TrialOutput, tail
from heredity.testing.paths import weird_folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return weird_folder(tmp_path)


def test_each_trial_has_a_log_of_its_own(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = TrialOutput(logs)
    for trial in range(3):
        with output.of(trial):
            os.write(1, b"out\n")
            os.write(2, b"error\n")
            subprocess.run(["echo", "child of", str(trial)], check=True)
        os.write(1, b"outside\n")
    for trial in range(3):
        assert (logs / f"{trial}.log").read_text() == f"out\nerror\nchild of {trial}\n"
    assert capfd.readouterr().out == "outside\n" * 3


def test_a_silent_trial_leaves_no_log_behind_the_next(logs: Path) -> None:
    output = TrialOutput(logs)
    for trial in range(5):
        with output.of(trial):
            assert (logs / f"{trial}.log").exists()
    assert os.listdir(logs) == ["4.log"]


def test_another_attempt_adds_to_the_log(logs: Path) -> None:
    output = TrialOutput(logs)
    for attempt in range(2):
        with output.of(1):
            os.write(1, f"attempt {attempt}\n".encode())
        with output.of(2):
            pass
    assert (logs / "1.log").read_text() == "attempt 0\nattempt 1\n"


def test_the_log_of_an_earlier_worker_is_not_overwritten(logs: Path) -> None:
    (logs / "2.log").write_text("before\n")
    output = TrialOutput(logs)
    for trial in (1, 2):
        with output.of(trial):
            pass
    with output.of(2):
        os.write(1, b"after\n")
    assert (logs / "2.log").read_text() == "before\nafter\n"


def test_a_log_that_somebody_removed_is_made_again(logs: Path) -> None:
    output = TrialOutput(logs)
    with output.of(1):
        (logs / "1.log").unlink()
    with output.of(2):
        os.write(1, b"here\n")
    assert (logs / "2.log").read_text() == "here\n"


def test_without_a_folder_output_passes_through(capfd: pytest.CaptureFixture[str]) -> None:
    with TrialOutput(None).of(1):
        print("through")
    assert capfd.readouterr().out == "through\n"


def test_the_tail_is_what_came_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0123456789\n")
    assert tail(path) == "0123456789"
    assert tail(path, size_bytes=4) == "789"
    assert tail(path, start=8) == "89"
    assert tail(tmp_path / "none") == tail(None) == ""
