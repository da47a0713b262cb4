"""A tiny Trainable, and a study of it that takes milliseconds, for tests to change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import heredity as hd
from heredity.evolution import events as ev
from heredity.stores import open_store

NAME = "toy"


class Toy(hd.Trainable):
    """Descends on x² from a start that depends on the seed."""

    def setup(self, hparams: Any, seed: int) -> None:
        self.x = 1 + seed % 1000 / 1000

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.x -= self.hparams["lr"] * 2 * self.x

    def evaluate(self) -> Any:
        return self.x**2

    def save(self, directory: Path) -> None:
        (directory / "x.json").write_text(json.dumps(self.x))

    def load(self, directory: Path) -> None:
        self.x = json.loads((directory / "x.json").read_text())


def toy_study(storage: str | Path = ":memory:", trainable: Any = Toy, **changes: Any) -> hd.Study:
    """A study of 4 members that train 6 trials of 5 steps each."""
    settings: dict[str, Any] = {
        "objective": hd.minimize("loss"),
        "population": 4,
        "interval": 5,
        "budget": hd.Steps(30),
        "name": NAME,
        "storage": storage,
        "finalists": 2,
        "final_evaluations": 2,
    }
    space = changes.pop("space", hd.Space(lr=hd.LogUniform(1e-4, 1e-1)))
    return hd.Study(trainable, space, **{**settings, **changes})


def run(study: hd.Study, executor: Any = None, **options: Any) -> hd.Result:
    """Run it quietly, by default in this process."""
    return study.run(executor or hd.Inline(), live="off", **options)


def events_of(storage: Path, name: str = NAME) -> Sequence[ev.Event]:
    store = open_store(storage, read_only=True)
    try:
        return store.read(name)
    finally:
        store.close()


def trained(result: hd.Result) -> list[hd.Trial]:
    """The trials without the final evaluations."""
    return [trial for trial in result.trials if trial.kind == "train"]
