"""The check before a study: each thing it is there to catch, and quiet when all is well."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heredity.errors import TrainingError
from heredity.trainables.check import CheckReport, check
from heredity.trainables.function import as_trainable
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable

HPARAMS = {"lr": 0.1, "momentum": 0.9}
ALL = ("weight", "velocity", "steps")


class Descent(Trainable):
    """Gradient descent with momentum on w², with noise and a decaying rate."""

    saved: tuple[str, ...] = ALL

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.weight, self.velocity, self.steps = float(np.random.normal()) + 2, 0.0, 0
        self.rate, self.momentum = hparams["lr"], hparams["momentum"]

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.steps += 1
            gradient = 2 * self.weight + 0.1 * np.random.normal()
            self.velocity = self.momentum * self.velocity + gradient
            self.weight -= self.rate / self.steps * self.velocity

    def evaluate(self) -> Any:
        return {"score": -(self.weight**2)}

    def save(self, directory: Path) -> None:
        state = {name: getattr(self, name) for name in self.saved}
        (directory / "state.json").write_text(json.dumps(state))

    def load(self, directory: Path) -> None:
        for name, value in json.loads((directory / "state.json").read_text()).items():
            setattr(self, name, value)


def variant(**changes: Any) -> type[Descent]:
    return type("Variant", (Descent,), changes)


def checked(trainable: Any, hparams: Mapping[str, Any] = HPARAMS, **options: Any) -> CheckReport:
    return check(as_trainable(trainable), hparams, "score", **options)


def test_all_is_well() -> None:
    report = checked(Descent, changed={"lr": 0.2, "momentum": 0.5})
    assert report.ok
    assert report.continues is True
    assert report.unverified == ("lr", "momentum")
    assert report.checkpoint_bytes > 20
    assert "✓ training goes on after a load" in str(report)
    assert "✗" not in str(report)


@pytest.mark.parametrize("forgotten", ["velocity", "steps"])
def test_a_save_that_forgets_the_optimizer_is_caught(forgotten: str) -> None:
    report = checked(variant(saved=tuple(name for name in ALL if name != forgotten)))
    assert report.continues is False
    assert "does not go on after a load" in report.problems[0]
    assert "after save and load" in report.problems[0]


def test_it_is_caught_even_if_the_score_does_not_show_it() -> None:
    coarse = variant(saved=("weight", "steps"), evaluate=lambda self: 1.0)
    report = checked(coarse)
    assert report.continues is False
    assert "the scores agree, but the saved states differ" in report.problems[0]


def test_a_generator_kept_from_setup_is_caught() -> None:
    class Private(Descent):
        def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
            super().setup(hparams, seed)
            self.rng = np.random.default_rng(seed)

        def train(self, steps: int) -> None:
            super().train(steps)
            self.weight += self.rng.normal()

    assert checked(Private).continues is False


def test_training_that_cannot_be_repeated_is_not_compared() -> None:
    fresh = itertools.count()

    def train(self: Descent, steps: int) -> None:
        self.weight = float(next(fresh))

    report = checked(variant(train=train, saved=("weight", "velocity")))
    assert report.continues is None
    assert report.ok
    assert "the same training twice gives different results" in str(report)


def test_a_hyperparameter_that_nobody_reads_is_caught() -> None:
    report = checked(Descent, {**HPARAMS, "dropout": 0.1})
    assert report.problems == (
        'nothing used the hparam `dropout`: read hparams["dropout"] where it takes effect, or take '
        "it out of the space",
    )
    assert "✗ nothing used" in str(report)


def test_old_hparams_that_return_with_a_load_are_caught() -> None:
    class Stale(Descent):
        saved = (*ALL, "rate")

        def in_force(self) -> Mapping[str, Any]:
            return {"lr": self.rate}

    assert checked(Stale).ok
    report = checked(Stale, changed={"lr": 0.2, "momentum": 0.9})
    assert "hparam `lr` is 0.1 in force" in report.problems[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_caught(value: float) -> None:
    report = checked(variant(evaluate=lambda self: value))
    assert f"the score is {value}" in report.problems[0]


def test_a_wrong_return_is_a_problem_not_a_crash() -> None:
    assert "returned None" in checked(variant(evaluate=lambda self: None)).problems[0]


def test_a_bug_is_raised_with_the_users_own_frames() -> None:
    def bug(self: Descent, steps: int) -> None:
        raise ValueError("bad shape")

    with pytest.raises(TrainingError, match="ValueError: bad shape") as caught:
        checked(variant(train=bug))
    assert "in bug" in caught.value.remote_traceback
    assert "heredity/trainables/" not in caught.value.remote_traceback.replace(__file__, "")


def test_the_forecast_counts_steps_and_trials() -> None:
    seconds = {"train": 0.5, "setup": 1.0, "load": 2.0, "evaluate": 3.0, "save": 4.0}
    report = CheckReport(3, 0.5, True, (), (), seconds, 100)
    assert report.forecast_s(steps=100, trials=10) == pytest.approx(50 + 100)


def test_every_method_is_timed() -> None:
    seconds = checked(Descent).seconds
    assert set(seconds) == {"prepare", "setup", "load", "train", "evaluate", "save"}
    assert min(seconds.values()) >= 0


def test_functions_are_tried_but_not_compared() -> None:
    def train(session: Session) -> None:
        start = float((session.restore / "w").read_text()) if session.restore else 0.0
        (session.save / "w").write_text(str(start + 1))
        session.report(score=start + sum(session.hparams.values()))

    report = checked(train)
    assert report.ok
    assert report.continues is None
    assert "trial" in report.seconds


def test_a_function_that_does_not_restore_is_caught() -> None:
    def train(session: Session) -> None:
        (session.save / "w").write_text("1")
        session.report(score=sum(session.hparams.values()))

    assert "did not read session.restore" in checked(train).problems[0]
