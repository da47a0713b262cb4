"""Small programs, and a worker to run them as trials: for tests of commands."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

from heredity.checkpoints.local import LocalCheckpoints
from heredity.evolution.trial import Trial
from heredity.executors.base import Completed, Failed, Measured, Task, Workload
from heredity.executors.worker import Worker
from heredity.trainables.command import Command
from heredity.trainables.command.template import literal
from heredity.trainables.function import as_trainable

PATIENCE_S = 60.0
"""How long a test waits for what must come."""

DESCENT = """
import argparse, json, pathlib, sys

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--out", type=pathlib.Path, required=True)
parser.add_argument("--resume", type=pathlib.Path)
told = parser.parse_args()

x = json.loads((told.resume / "x.json").read_text()) if told.resume else 5.0
for _ in range(told.steps):
    x -= told.lr * 2 * x
(told.out / "x.json").write_text(json.dumps(x))
print("loss", x**2)
"""
"""A program that knows nothing of heredity."""

LOSS = {"loss": "loss ([0-9.]+)"}


def descent(folder: Path, options: str = "--steps {steps} --out {save}") -> Command:
    """The command that runs the program, which it writes into `folder`."""
    (folder / "descent.py").write_text(DESCENT)
    program = f"{sys.executable} -S {folder}/descent.py"
    return Command(f"{program} --lr {{lr}} {options} [--resume {{restore}}]", metrics=LOSS)


def python(code: str, **options: Any) -> Command:
    """A command that runs this code, told of everything by JSON, with the score `loss`."""
    head = (
        "import json, os, pathlib, sys\n"
        "told = json.load(open(os.environ['HEREDITY_TRIAL']))\n"
        "save, restore = pathlib.Path(told['save']), told['restore']\n"
    )
    words = ["{python}", "-S", "-c", literal(head + textwrap.dedent(code))]
    return Command(words, **{"reads_json": True, **options})


SAVES = "(save / 'state').write_text('saved'); "
SCORES = "print(json.dumps({'loss': 0.5})); "


class Bench:
    """A worker and its checkpoints."""

    def __init__(self, folder: Path, command: Command) -> None:
        self.checkpoints = LocalCheckpoints(folder / "checkpoints")
        make = as_trainable(command)
        self.workload = Workload(make, self.checkpoints, folder / "logs", "loss", ("lr",))
        self.measured: list[Measured] = []
        self.stopping = False

    def run(self, task: Task) -> Completed | Failed:
        emit = self.measured.append
        return Worker(self.workload).run(task, emit, lambda: self.stopping)

    def done(self, task: Task) -> Completed:
        report = self.run(task)
        assert isinstance(report, Completed), report
        return report

    def failed(self, task: Task) -> Failed:
        report = self.run(task)
        assert isinstance(report, Failed), report
        return report

    def saved(self, report: Completed, name: str) -> str:
        assert report.checkpoint is not None
        with self.checkpoints.open(report.checkpoint) as folder:
            return (folder / name).read_text()


def task(id: int = 0, **fields: Any) -> Task:
    given: dict[str, Any] = {
        "member": 2, "turn": 0, "start": 0, "stop": 5, "seed": 7, "hparams": {"lr": 0.1}
    }  # fmt: skip
    return Task(Trial(**(given | fields), id=id))


def after(report: Completed, id: int = 1, **fields: Any) -> Task:
    begins = {"weights_from": report.trial, "start": report.reached, "stop": report.reached + 5}
    return replace(task(id, **(begins | fields)), restore=report.checkpoint)


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
