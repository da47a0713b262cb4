"""The study that is killed: a tiny one, as a module that its workers import and as a command.

    python chaos_study.py <storage> <sync|async> <inline|processes>

A process that `start` makes is forked from one that has imported everything, since starting
interpreters is what these tests would spend their time on; the command starts like any other.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import heredity as hd
from heredity import crash

NAME = "toy"
POPULATION, INTERVAL, ROUNDS = 4, 5, 6
TOKEN = "HEREDITY_TEST_STUDY"
"""In the environment of every process of a study, for whoever looks for orphans."""

ARM_WORKER = "HEREDITY_TEST_CRASH_ONE_WORKER_AT"
"""Like HEREDITY_CRASH_AT, for the first worker that prepares in a study and for no other."""


class Toy(hd.Trainable):
    """Descends on x², from a start that depends on the seed."""

    def prepare(self) -> None:
        armed = os.environ.get(ARM_WORKER)
        if armed and is_first(Path(os.environ[TOKEN]) / "armed"):
            arm(armed)

    def setup(self, hparams: Any, seed: int) -> None:
        self.x = 1 + seed % 1000 / 1000

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.x -= self.hparams["lr"] * 2 * self.x

    def evaluate(self) -> float:
        return self.x**2

    def save(self, directory: Path) -> None:
        (directory / "x.json").write_text(json.dumps(self.x))

    def load(self, directory: Path) -> None:
        self.x = json.loads((directory / "x.json").read_text())


def is_first(path: Path) -> bool:
    """Whether no process came here before with this path."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def arm(point: str) -> None:
    """Have this process read the crash point from its environment as if it started now."""
    os.environ["HEREDITY_CRASH_AT"] = point
    importlib.reload(crash)


def study(storage: Path, mode: Any, rounds: int = ROUNDS, population: int = POPULATION) -> hd.Study:
    return hd.Study(
        Toy,
        hd.Space(lr=hd.LogUniform(1e-4, 1e-1)),
        objective=hd.minimize("loss"),
        population=population,
        interval=INTERVAL,
        budget=hd.Steps(INTERVAL * rounds),
        algorithm=hd.PBT(mode=mode),
        name=NAME,
        storage=storage,
        finalists=2,
        final_evaluations=2,
    )


def executor(kind: str) -> Any:
    return hd.Inline() if kind == "inline" else hd.Processes(2)


# Processes ---------------------------------------------------------------------------------

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "chaos_study",
        "heredity.study",
        "heredity.executors.processes",
        "heredity.service.app",
        "heredity.service.hosting",
        "heredity.service.server",
    ]
)


def start(target: Callable[..., None], storage: Path, *args: Any) -> ForkServerProcess:
    """Begin `target(*args)` in a process of its own that belongs to the study in `storage`."""
    process = _forks.Process(target=_within, args=(target, str(storage), args))
    process.start()
    return process


def pipe() -> Any:
    return _forks.Pipe()


def _within(target: Callable[..., None], storage: str, args: tuple[Any, ...]) -> None:
    os.environ[TOKEN] = storage
    target(*args)


def drive(
    storage: Path, mode: str, kind: str, crash_at: str = "", worker_crash_at: str = ""
) -> None:
    """Drive the study to its end, or to the crash."""
    os.environ[ARM_WORKER] = worker_crash_at
    arm(crash_at)
    study(storage, mode).run(executor(kind), live="off")


if __name__ == "__main__":
    study(Path(sys.argv[1]), sys.argv[2]).run(executor(sys.argv[3]), live="off")
