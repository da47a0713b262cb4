"""Contestant: Ray Tune's PBT, synchronous, actors reused; run with an interpreter that has Ray.

Its loggers and its progress reports are off, in its favour. The clock starts when the first actor
begins to train and stops when the driver has the last result, so starting Ray is not counted.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import torch
from contestant import Load, Outcome, answer, told
from digits import LR, MOMENTUM, accuracy, build, read_digits, train
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

STATE = "state.pt"


class Member(tune.Trainable):
    """The same member as a Ray Trainable."""

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.digits = read_digits(config["data"])
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        self.interval = config["interval"]
        self.model, self.optimizer = build(config["lr"], config["momentum"])
        return True

    def step(self) -> dict[str, float]:
        began = time.time()
        train(self.model, self.optimizer, self.digits, self.interval)
        return {"accuracy": accuracy(self.model, self.digits), "began": began}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, Path(checkpoint_dir) / STATE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        state = torch.load(Path(checkpoint_dir) / STATE)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # which the state has just set back
            group["lr"], group["momentum"] = self.config["lr"], self.config["momentum"]


class Stopwatch(tune.Callback):
    """Notes, in the driver, what comes in and when."""

    def __init__(self) -> None:
        self.began, self.ended, self.best, self.results = float("inf"), 0.0, 0.0, 0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.began = min(self.began, result["began"])
        self.ended = time.time()
        self.best = max(self.best, result["accuracy"])
        self.results += 1


def main() -> None:
    load, watch = told(), Stopwatch()
    here = {"PYTHONPATH": str(Path(__file__).parent)}
    ray.init(
        num_cpus=load.workers,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": here},
    )
    tuner_of(load, watch).fit()
    ray.shutdown()
    versions = {"ray": ray.__version__, "torch": str(torch.__version__)}
    answer(Outcome(watch.ended - watch.began, watch.best, watch.results, versions))


def tuner_of(load: Load, watch: Stopwatch) -> tune.Tuner:
    """The same study for Ray Tune."""
    hparams = {"lr": tune.loguniform(*LR), "momentum": tune.uniform(*MOMENTUM)}
    return tune.Tuner(
        tune.with_resources(Member, {"cpu": 1}),
        param_space={**hparams, "data": load.data, "interval": load.interval},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=load.members,
            reuse_actors=True,
            scheduler=PopulationBasedTraining(
                time_attr="training_iteration",
                perturbation_interval=1,
                hyperparam_mutations=hparams,
                quantile_fraction=0.2,
                synch=True,
                log_config=False,
            ),
        ),
        run_config=tune.RunConfig(
            name="digits",
            storage_path=load.folder,
            stop={"training_iteration": load.trials},
            callbacks=[watch],
            verbose=0,
        ),
    )


if __name__ == "__main__":
    main()
