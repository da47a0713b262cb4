"""What the loggers' tests share: a small study, and what its members' runs must tell of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import heredity as hd
from heredity.integrations.base import Logger

MODES = ["plain", "steep"]


class Descent(hd.Trainable):
    """Descends on x², with a choice that is no number."""

    def setup(self, hparams: Any, seed: int) -> None:
        self.x = 1 + seed % 1000 / 1000

    def train(self, steps: int) -> None:
        slope = {"plain": 2.0, "steep": 3.0}[self.hparams["mode"]]
        for _ in range(steps):
            self.x -= self.hparams["lr"] * slope * self.x

    def evaluate(self) -> Any:
        return {"loss": self.x**2, "acc@1": 1 - self.x / 2}

    def save(self, directory: Path) -> None:
        (directory / "x.json").write_text(json.dumps(self.x))

    def load(self, directory: Path) -> None:
        self.x = json.loads((directory / "x.json").read_text())


def study(storage: str | Path = ":memory:", trainable: Any = Descent, **changes: Any) -> hd.Study:
    """Four members of six trials each, with exploits and final evaluations."""
    settings: dict[str, Any] = {
        "objective": hd.minimize("loss"),
        "population": 4,
        "interval": 5,
        "budget": hd.Steps(30),
        "name": "descent",
        "storage": storage,
        "finalists": 2,
        "final_evaluations": 2,
    }
    space = hd.Space(lr=hd.LogUniform(1e-4, 1e-1), mode=hd.Categorical(MODES))
    return hd.Study(trainable, space, **{**settings, **changes})


def run(study: hd.Study, listener: Any = None, executor: Any = None) -> hd.Result:
    return study.run(executor or hd.Inline(), on_event=listener, live="off")


def ended(result: hd.Result) -> dict[int, list[hd.Trial]]:
    """Each member's trials that ended, in order."""
    lanes: dict[int, list[hd.Trial]] = {m: [] for m in range(result.population.lanes)}
    for trial in result.trials:
        if trial.kind == "train" and trial.status in ("finished", "stopped", "diverged"):
            lanes[trial.member].append(trial)
    return lanes


def exploited(result: hd.Result) -> list[hd.Trial]:
    """The trials that began with the weights of another lane."""
    every = {trial.id: trial for trial in result.trials if trial.kind == "train"}
    return [
        trial
        for trial in every.values()
        if trial.weights_from is not None and every[trial.weights_from].member != trial.member
    ]


def numbers(result: hd.Result, trial: hd.Trial) -> dict[str, float]:
    """All that charts must show of a trial of `Descent`, but for the time it took."""
    parent = trial.id if trial.weights_from is None else trial.weights_from
    values = {"trial": trial.id, "lineage/trial": parent}
    values["lineage/member"] = result.trials[parent].member
    values["hparams/lr"] = trial.hparams["lr"]
    values["hparams/mode"] = MODES.index(trial.hparams["mode"])
    values |= {f"metrics/{name}": value for name, value in trial.metrics.items()}
    return values if trial.score is None else {**values, "score": trial.score}


def timeless(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != "elapsed_s"}


def made(kind: str, study: Any, place: Path) -> Logger:
    """The logger of this kind that writes under `place`."""
    if kind == "tensorboard":
        from heredity.integrations import tensorboard

        return tensorboard.Logger(study, place / "tb")
    if kind == "mlflow":
        from heredity.integrations import mlflow

        return mlflow.Logger(study, tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    from heredity.integrations import wandb

    return wandb.Logger(study, folder=place, mode="offline")


def killed(kind: str, place: Path, after: int) -> None:
    """Run a study in a process of its own that dies when so many trials have finished."""
    script = f"import told; told.run_until({kind!r}, told.Path({str(place)!r}), {after})"
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 9, done.stderr


def run_until(kind: str, place: Path, after: int) -> None:
    """Die, as by `kill -9`, when so many trials have finished, whatever is written by then."""
    import os

    from heredity.evolution.events import TrialFinished

    mine = study(place / "runs")
    logger = made(kind, mine, place)
    left = iter(range(after - 1, -1, -1))

    def listen(event: Any) -> None:
        logger(event)
        if isinstance(event, TrialFinished) and next(left) == 0:
            os._exit(9)

    run(mine, listen)
