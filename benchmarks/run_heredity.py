"""Contestant: heredity. Log and checkpoints on disk, collection and live view on.

With `workers` = 0 the trials run in this very process (`hd.Inline`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import torch
from contestant import Load, Outcome, answer, told
from digits import LR, MOMENTUM, accuracy, build, read_digits, train

import heredity as hd
import heredity.torch
from heredity.evolution.events import Event, TrialFinished, TrialStarted


class Member(heredity.torch.Trainable):
    """One MLP on the digits, as a user would write it."""

    def __init__(self, data: str) -> None:
        self.data = data

    def prepare(self) -> None:
        self.digits = read_digits(self.data)

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.model, self.optimizer = build(hparams["lr"], hparams["momentum"])

    def train(self, steps: int) -> None:
        train(self.model, self.optimizer, self.digits, steps)

    def evaluate(self) -> float:
        return accuracy(self.model, self.digits)


class Stopwatch:
    """Times a study by its events: from the first trial started to the last one recorded."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.finished = 0

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, TrialStarted):
            self.began = self.began or now
        elif isinstance(event, TrialFinished):
            self.ended = now
            self.finished += 1


def main() -> None:
    load, watch = told(), Stopwatch()
    torch.set_num_threads(1)
    result = study_of(load).run(executor_of(load), on_event=watch)
    versions = {"heredity": hd.__version__, "torch": str(torch.__version__)}
    seconds = watch.ended - watch.began
    answer(Outcome(seconds, result.best.score, watch.finished, versions))


def study_of(load: Load) -> hd.Study:
    """The study of this load. Finalists would be measured again, which others do not do."""
    return hd.Study(
        functools.partial(Member, load.data),
        hd.Space(lr=hd.LogUniform(*LR), momentum=hd.Uniform(*MOMENTUM)),
        objective=hd.maximize("accuracy"),
        population=load.members,
        interval=load.interval,
        budget=hd.Steps(load.trials * load.interval),
        name="digits",
        storage=load.folder,
        seed=load.seed,
        final_evaluations=0,
    )


def executor_of(load: Load) -> Any:
    """Worker processes of one thread each, or none at all."""
    return hd.Processes(load.workers, threads=1) if load.workers else hd.Inline()


if __name__ == "__main__":
    main()
