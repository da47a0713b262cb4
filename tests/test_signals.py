"""Signals: the first lets what runs finish, the second stops now; either way nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from heredity.evolution.population import Population
from heredity.signals import SIGNALS, graceful
from toys import NAME, events_of

STUDY = """
import sys
from pathlib import Path
import heredity as hd
from toys import Toy, toy_study

folder, workers = Path(sys.argv[1]), sys.argv[2]

class Slow(Toy):
    \"\"\"The first trials wait until the test lets them go on.\"\"\"

    def train(self, steps):
        super().train(steps)
        (folder / f"running-{self.session.trial}").touch()
        if self.session.trial < 2:
            with open(folder / f"gate-{self.session.trial}") as gate:
                gate.read()

study = toy_study(folder, Slow)
result = study.run(hd.Inline() if workers == "0" else hd.Processes(int(workers)), live="off")
print(result.status, len(result.trials))
"""


class Run:
    """The study in a process of its own; its first trials wait at a gate each."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self.gates = [folder / f"gate-{trial}" for trial in (0, 1)]
        for gate in self.gates:
            if not gate.exists():
                os.mkfifo(gate)
        environment = {
            **os.environ,
            "HEREDITY_TEST_STUDY": str(folder),
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", STUDY, str(folder), str(workers)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def open_gates(self) -> None:
        """Let the waiting trials go on."""
        for gate in self.gates[: max(1, self.workers)]:
            os.close(os.open(gate, os.O_WRONLY))  # once somebody waits there

    def wait_for_trials(self) -> None:
        """Return once every worker is in a trial that waits, or the process has ended."""
        waiting = [self.folder / f"running-{n}" for n in range(max(1, self.workers))]
        while not all(path.exists() for path in waiting) and self.process.poll() is None:
            time.sleep(0.01)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate()
        return self.process.returncode, out, err


def population(folder: Path) -> Population:
    return Population.fold(events_of(folder))


def workers_left(folder: Path) -> list[str]:
    token = f"HEREDITY_TEST_STUDY={folder}".encode()
    left = []
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and token in Path(entry.path, "environ").read_bytes():
                left.append(entry.name)
        except OSError:
            continue
    return left


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_signal_finishes_what_runs_and_starts_nothing(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    run = Run(tmp_path, workers)
    run.wait_for_trials()
    run.process.send_signal(number)
    message = run.process.stderr.readline() + run.process.stderr.readline()
    assert "once more to stop now" in message
    run.open_gates()
    code, out, err = run.end()
    assert (code, err) == (0, "")
    ended = population(tmp_path)
    assert ended.ended_count == max(1, workers)
    assert out.split()[0] == ended.status == "running"
    assert ended.failures == 0
    assert not workers_left(tmp_path)
    assert finish(tmp_path).failures == 0


def test_the_second_signal_stops_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    run = Run(tmp_path, 2)
    run.wait_for_trials()
    run.process.send_signal(signal.SIGINT)
    run.process.stderr.readline()
    run.process.stderr.readline()
    run.process.send_signal(signal.SIGINT)
    code, _, err = run.end()
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert not workers_left(tmp_path)
    stopped = population(tmp_path)
    assert stopped.ended_count == 0
    assert [stopped.status_of(trial) for trial in (0, 1)] == ["running", "running"]
    assert finish(tmp_path).failures == 2


def finish(folder: Path) -> Population:
    """Run the same command again to its end; the gates stand open."""
    for gate in (folder / "gate-0", folder / "gate-1"):
        gate.unlink()
        gate.touch()
    code, out, err = Run(folder, 2).end()
    assert (code, err) == (0, "")
    ended = population(folder)
    assert out.split()[0] == ended.status == "ended"
    assert ended.spent.tolist() == [30] * 4
    assert not (folder / NAME / "checkpoints" / ".partial").exists()
    return ended


# In this process -----------------------------------------------------------------------------


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with suppress(ZeroDivisionError), graceful(lambda: None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_two_signals_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []
    with graceful(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGTERM)
        assert asked == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGUSR1)
    assert asked == [1]
    assert "Run the same command again" in capsys.readouterr().err


def test_a_thread_that_cannot_have_signals_runs_without() -> None:
    ran = []

    def work() -> None:
        with graceful(lambda: None):
            ran.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [1]
