"""A person takes a hand while another process drives the study: real processes, real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heredity import hands
from heredity.driver import running
from heredity.log import Log
from heredity.stores import open_store

NAME = "watched"

SCRIPT = """
import sys
from pathlib import Path

import heredity as hd
from heredity.testing.arithmetic import Arithmetic


class Slow(hd.Trainable):
    def setup(self, hparams, seed):
        self.x = 1.0

    def train(self, steps):
        import time
        time.sleep(0.01)
        self.x -= self.hparams["x"] * 0.1 * self.x

    def evaluate(self):
        return {"progress": -self.x}

    def save(self, directory):
        (directory / "x").write_text(repr(self.x))

    def load(self, directory):
        self.x = float((directory / "x").read_text())


trainable, executor = {
    "processes": (Slow, lambda: hd.Processes(2)),
    "inline": (Slow, hd.Inline),
    "vectorized": (Arithmetic(), lambda: hd.Vectorized(block=20)),
}[sys.argv[2]]
study = hd.Study(
    trainable,
    hd.Space(x=hd.Uniform(0.0, 1.0)),
    objective=hd.maximize("progress"),
    population=4, interval=5, budget=hd.Steps(10**7), name="watched", storage=sys.argv[1],
    algorithm=hd.PBT(mode="sync"), finalists=2, final_evaluations=2,
)
if __name__ == "__main__":
    result = study.run(executor(), live="off")
    print(result.status, result.reason)
"""


class Watched:
    """A study that another process drives, and what can be seen of it from here."""

    def __init__(self, folder: Path, kind: str) -> None:
        script = folder / "watched.py"
        script.write_text(SCRIPT)
        self.process = subprocess.Popen(
            [sys.executable, script, folder, kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.until((folder / "heredity.db").exists)
        self.store = open_store(folder)
        self.until(lambda: NAME in self.store.studies())
        self.log = Log(self.store, NAME)

    def until(self, condition: Callable[[], Any]) -> None:
        """Look again until it is so; a study that died or takes a minute fails the test."""
        for _ in range(1200):
            if condition():
                return
            assert self.process.poll() is None, self.process.returncode
            time.sleep(0.05)
        raise AssertionError("it never happened")

    @property
    def ended(self) -> int:
        """How many trials have ended, as the log has it now."""
        self.log.refresh()
        return self.log.population.ended_count

    def goes_on(self) -> None:
        """More trials end."""
        before = self.ended
        self.until(lambda: self.ended > before)

    def stands_still(self) -> None:
        """The driver has finished what ran, is alive, and starts nothing."""
        self.until(lambda: self.ended and not running(self.log.population))
        self.beats(1)
        before = self.ended
        self.beats(1)
        assert self.ended == before

    def close(self) -> None:
        """End the process, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.store.close()

    def beats(self, count: int) -> None:
        """The driver leaves so many signs of life: one a second, after it looked around."""
        for _ in range(count):
            alive_s = self.store.alive_s(NAME)
            self.until(lambda alive_s=alive_s: self.store.alive_s(NAME) > alive_s)


@pytest.fixture
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path, request.param)
    yield watched
    watched.close()


@pytest.mark.parametrize("watched", ["processes", "vectorized"], indirect=True)
def test_pause_resume_and_stop_reach_the_process_that_runs_the_study(watched: Watched) -> None:
    watched.goes_on()
    hands.pause(watched.log, "to look at it")
    watched.stands_still()
    hands.resume(watched.log)
    watched.goes_on()
    hands.stop(watched.log, "it is good enough")
    said, _ = watched.process.communicate(timeout=60)
    assert (watched.process.returncode, said) == (0, "ended it is good enough\n")
    watched.log.refresh()
    assert len(watched.log.population.confirmed) == 2, "the finalists were measured again"
    assert watched.log.population.failures == 0


@pytest.mark.parametrize("watched", ["inline"], indirect=True)
def test_other_bounds_and_an_injection_reach_it_through_the_command_line(
    watched: Watched, tmp_path: Path
) -> None:
    watched.goes_on()
    heredity(tmp_path, "bounds", NAME, "x", "0.7", "0.8")
    heredity(tmp_path, "inject", NAME, "x=0.75")

    def injected() -> bool:
        asked = [watched.log.population.proposal_of(trial) for trial in range(watched.ended)]
        return any(p.injection == 0 and p.hparams == {"x": 0.75} for p in asked)

    watched.until(injected)
    assert watched.log.population.bounds == {"x": (0.7, 0.8)}


@pytest.mark.parametrize("watched", ["inline"], indirect=True)
def test_a_driver_that_waits_is_ended_by_a_signal(watched: Watched) -> None:
    """Paused by a person, it must neither hang nor take the pause away."""
    watched.goes_on()
    hands.pause(watched.log, "for lunch")
    watched.stands_still()
    watched.process.send_signal(signal.SIGINT)
    _, said = watched.process.communicate(timeout=60)
    assert "study 'watched' paused: for lunch" in said
    watched.log.refresh()
    assert watched.log.population.status == "paused"


def heredity(storage: Path, *arguments: str) -> None:
    """Call the command line, as another process."""
    program = "from heredity.cli import main; main()"
    line = [sys.executable, "-c", program, *arguments, "--storage", str(storage)]
    subprocess.run(line, check=True)
