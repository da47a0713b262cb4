"""A tiny study to look at from the command line, and what its answers must look like."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Protocol

import heredity as hd


class Ended(Protocol):
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str
    output: str
    exception: BaseException | None


class Call(Protocol):
    """Calls the command line with these arguments and answers."""

    def __call__(self, *arguments: Any, input: str | None = None) -> Ended: ...


class Climb(hd.Trainable):
    """Climbs by `rate` a step; member 2's first trial diverges."""

    def setup(self, hparams: Any, seed: int) -> None:
        self.height = 0.0

    def configure(self, hparams: Any) -> None:
        self.rate, self.shape = hparams["rate"], hparams["shape"]

    def train(self, steps: int) -> None:
        self.height += steps * self.rate

    def evaluate(self) -> dict[str, float]:
        diverges = self.session.start == 0 and self.rate < 0.1
        return {"height": math.nan if diverges else self.height, "test_height": self.height / 2}

    def save(self, directory: Path) -> None:
        (directory / "height").write_text(repr(self.height))

    def load(self, directory: Path) -> None:
        self.height = float((directory / "height").read_text())


def climb(storage: Path, name: str = "climb") -> hd.Study:
    """A study of four members, the third of which diverges at first."""
    return hd.Study(
        Climb,
        hd.Space(rate=hd.LogUniform(0.01, 1.0), shape=hd.Categorical(["round", "square"])),
        objective=hd.maximize("height"),
        population=4,
        interval=10,
        budget=hd.Steps(50),
        initial=[{"rate": 0.9}, {"rate": 0.5}, {"rate": 0.05}, {"rate": 0.2}],
        name=name,
        storage=storage,
        finalists=2,
        final_evaluations=3,
    )


def parsed(ended: Ended) -> Any:
    """What a command printed as JSON; it must have succeeded and said nothing else."""
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


def failed(ended: Ended, exit_code: int) -> str:
    """What a command said on failing: one message and no traceback."""
    assert ended.exit_code == exit_code, ended.output
    assert ended.stderr.startswith("error: ")
    assert ended.stdout == ""
    return ended.stderr
