"""The order of calls within a trial, and the checks between them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heredity.errors import HparamsError, TrainingError
from heredity.evolution.trial import Trial
from heredity.trainables.session import Session
from heredity.trainables.trainable import RAMP_POINTS, Trainable


class Recorded(Trainable):
    """Counts up by `lr` each step, and writes down what was called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def prepare(self) -> None:
        self.calls.append("prepare")

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.calls.append(("setup", dict(hparams), seed))
        self.total = 0.0

    def configure(self, hparams: Mapping[str, Any]) -> None:
        self.calls.append(("configure", hparams["lr"]))

    def train(self, steps: int) -> int | None:
        self.calls.append(("train", steps))
        self.total += steps * self.hparams["lr"]
        return None

    def evaluate(self) -> Any:
        self.calls.append("evaluate")
        return self.total

    def save(self, directory: Path) -> None:
        self.calls.append("save")
        (directory / "total.json").write_text(json.dumps(self.total))

    def load(self, directory: Path) -> None:
        self.calls.append("load")
        self.total = json.loads((directory / "total.json").read_text())

    def names(self) -> list[str]:
        return [call if isinstance(call, str) else call[0] for call in self.calls]


def session(folder: Path, restore: Path | None = None, **changes: Any) -> Session:
    given: dict[str, Any] = {
        "id": 1, "seed": 5, "member": 0, "turn": 0, "start": 0, "stop": 100, "hparams": {"lr": 0.5}
    }  # fmt: skip
    continues = changes.pop("continues", False)
    return Session(
        Trial(**(given | changes)),
        metric="score",
        save=folder,
        restore=restore,
        continues=continues,
        interpolate=lambda a, b, fraction: {"lr": a["lr"] + fraction * (b["lr"] - a["lr"])},
    )


def test_from_scratch(tmp_path: Path) -> None:
    member = Recorded()
    live = session(tmp_path)
    member.run(live)
    assert member.calls == [
        ("setup", {"lr": 0.5}, 5), ("configure", 0.5), ("train", 100), "evaluate", "save"
    ]  # fmt: skip
    assert live.result == {"score": 50.0}
    assert live.reached == 100


def test_new_hparams_come_after_the_weights_are_restored(tmp_path: Path) -> None:
    member = Recorded()
    (tmp_path / "total.json").write_text("7.0")
    live = session(tmp_path, restore=tmp_path, start=100, stop=110, weights_from=0)
    member.run(live)
    assert member.names() == ["setup", "load", "configure", "train", "evaluate", "save"]
    assert live.result == {"score": 12.0}


def test_a_member_that_continues_is_neither_set_up_nor_loaded(tmp_path: Path) -> None:
    member = Recorded()
    member.total = 3.0
    live = session(tmp_path, restore=None, continues=True)
    member.run(live)
    assert member.names() == ["configure", "train", "evaluate", "save"]
    assert live.result == {"score": 53.0}


def test_an_evaluation_neither_trains_nor_saves(tmp_path: Path) -> None:
    member = Recorded()
    (tmp_path / "total.json").write_text("7.0")
    live = session(tmp_path, restore=tmp_path, start=100, kind="evaluate", evaluations=3)
    member.run(live)
    assert member.names() == ["setup", "load", "configure", *["evaluate"] * 3]
    assert live.result == {"score": 7.0, "score_std": 0.0}


def test_a_trial_that_is_not_to_be_measured_is_still_saved(tmp_path: Path) -> None:
    member = Recorded()
    live = session(tmp_path, evaluations=0)
    member.run(live)
    assert member.names() == ["setup", "configure", "train", "save"]
    assert live.result == {}
    assert live.keeps


def test_nan_is_never_saved(tmp_path: Path) -> None:
    class Diverging(Recorded):
        def evaluate(self) -> Any:
            return float("nan")

    member = Diverging()
    member.run(session(tmp_path))
    assert "save" not in member.names()
    assert list(tmp_path.iterdir()) == []


# Ramp ----------------------------------------------------------------------------------


def ramp(folder: Path, **changes: Any) -> list[Any]:
    member = Recorded()
    member.run(session(folder, ramp_from={"lr": 1.5}, **changes))
    return [call for call in member.calls if call[0] in ("configure", "train")]


def test_a_ramp_is_configured_at_ten_points_and_trained_in_full(tmp_path: Path) -> None:
    calls = ramp(tmp_path, ramp_steps=50)
    rates = [value for name, value in calls if name == "configure"]
    assert rates == pytest.approx([1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5])
    assert [value for name, value in calls if name == "train"] == [5] * RAMP_POINTS + [50]


@pytest.mark.parametrize("ramp_steps", [1, 3, 7, 10, 33, 99, 100, 1000])
def test_a_ramp_of_any_length_trains_every_step_once_and_ends_at_the_new(
    tmp_path: Path, ramp_steps: int
) -> None:
    calls = ramp(tmp_path, ramp_steps=ramp_steps)
    steps = [value for name, value in calls if name == "train"]
    assert sum(steps) == 100
    assert min(steps) > 0
    assert [value for name, value in calls if name == "configure"][-1] == 0.5


# Randomness ----------------------------------------------------------------------------


class Drawing(Recorded):
    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.total = random.random()

    def train(self, steps: int) -> None:
        self.total += float(np.random.random())

    def evaluate(self) -> Any:
        return {"score": self.total, "noise": random.random()}


def test_a_trial_draws_the_same_whether_its_member_was_kept_or_loaded(tmp_path: Path) -> None:
    kept, loaded = Drawing(), Drawing()
    kept.run(session(tmp_path))
    one, other = (
        session(tmp_path, start=100, stop=200, seed=6, continues=True),
        session(tmp_path, restore=tmp_path, start=100, stop=200, seed=6),
    )
    loaded.run(other)
    kept.run(one)
    assert one.result == other.result


def test_evaluations_of_one_trial_draw_differently(tmp_path: Path) -> None:
    live = session(tmp_path, evaluations=4)
    Drawing().run(live)
    assert live.result["noise_std"] > 0


def test_setup_training_and_evaluation_do_not_share_their_draws(tmp_path: Path) -> None:
    seen = []
    for evaluations in (1, 3):
        live = session(tmp_path, evaluations=evaluations)
        Drawing().run(live)
        seen.append(live.result["score"])
    assert seen[0] == seen[1]


# Mistakes ------------------------------------------------------------------------------


def run_with(folder: Path, **methods: Any) -> Session:
    live = session(folder)
    type("Mistaken", (Recorded,), methods)().run(live)
    return live


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "evaluate() returned None"),
        ({"scor": 1.0}, "no metric `score`, which is the objective. Did you mean `score`?"),
        ("good", "metric `score` must be a number, not 'good'"),
        (np.zeros(2), "not an array of 2 elements"),
        ((1.0, 2.0), "returned a tuple"),
        ({}, "no metric `score`"),
    ],
)
def test_a_wrong_return_of_evaluate_is_explained(tmp_path: Path, returned: Any, said: str) -> None:
    if isinstance(returned, dict) and returned:
        said = "no metric `score`, which is the objective. Did you mean `scor`?"
    with pytest.raises(TrainingError) as caught:
        run_with(tmp_path, evaluate=lambda self: returned)
    assert said in str(caught.value)


@pytest.mark.parametrize("method", ["setup", "train", "evaluate", "save", "load"])
def test_a_missing_method_is_named(tmp_path: Path, method: str) -> None:
    member = Recorded()
    setattr(member, method, getattr(Trainable, method).__get__(member))
    (tmp_path / "total.json").write_text("7.0")
    with pytest.raises(NotImplementedError, match=rf"Recorded has no `{method}\(self"):
        member.run(session(tmp_path, restore=tmp_path))


@pytest.mark.parametrize("done", [101, -1, True, "all", 0.5])
def test_a_wrong_return_of_train_is_explained(tmp_path: Path, done: Any) -> None:
    with pytest.raises(TrainingError, match=r"train\(100\) returned"):
        run_with(tmp_path, train=lambda self, steps: done)


def test_training_may_end_early_and_say_where(tmp_path: Path) -> None:
    assert run_with(tmp_path, train=lambda self, steps: 30).reached == 30


def test_an_old_value_in_force_after_configure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"`lr` is 0.1 in force \(read after configure"):
        run_with(tmp_path, in_force=lambda self: {"lr": 0.1})


def test_an_old_value_that_returns_while_training_is_an_error(tmp_path: Path) -> None:
    def in_force(self: Recorded) -> dict[str, float]:
        return {"lr": 0.1 if "train" in self.names() else 0.5}

    with pytest.raises(TrainingError, match=r"`lr` is 0.1 in force \(read after train"):
        run_with(tmp_path, in_force=in_force)


def test_what_is_in_force_is_verified(tmp_path: Path) -> None:
    assert run_with(tmp_path, in_force=lambda self: {"lr": 0.5}).unverified == ()
    assert run_with(tmp_path).unverified == ("lr",)


def test_values_in_force_must_be_named_hparams(tmp_path: Path) -> None:
    with pytest.raises(HparamsError, match="`learning_rate` is not an hparam"):
        run_with(tmp_path, in_force=lambda self: {"learning_rate": 0.5})
    with pytest.raises(TrainingError, match="must return a mapping"):
        run_with(tmp_path, in_force=lambda self: None)
