"""A trained member from its checkpoint, outside any study, ready to be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from heredity.errors import UsageError
from heredity.evolution.trial import Trial
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable


def revive(make: Callable[[], Trainable], trial: Trial, directory: Path, metric: str) -> Trainable:
    """A fresh object with the weights of `directory` and the hparams of `trial` in force.

    `UsageError` for functions and commands: what they saved is theirs to load.
    """
    trainable = make()
    if not trainable.resident:
        raise UsageError(
            "this study trains a function or a command, which keeps no object: load the files in "
            "`best.checkpoint` as it does"
        )
    trainable.prepare()
    held = replace(trial, kind="evaluate", start=trial.stop, evaluations=0, ramp_from=None)
    trainable.run(Session(held, metric=metric, restore=directory, device=trainable.device))
    with trainable.evaluating():  # leaves modules in the mode to be used in
        return trainable
