"""Selection that selects luck, and intervals that do not suit the noise."""

import re

import numpy as np
import pytest
from studies import EAGER, of_kind, study, the

import heredity as hd
from heredity.analysis.noise import noise
from heredity.testing.toys import noisy


class Overfitting(hd.Trainable):
    """The score rises with every step; the held-out one falls from step `turn_at` on."""

    turn_at = 40

    def setup(self, hparams, seed):
        self.steps = 0

    def configure(self, hparams):
        self.x = hparams["x"]

    def train(self, steps):
        self.steps += steps

    def evaluate(self):
        wobble = 0.1 * self.hparams["x"]
        falls = max(0, self.steps - self.turn_at)
        return {
            "val_accuracy": self.steps + wobble,
            "test_accuracy": self.steps - 1.5 * falls - wobble,
            "train_accuracy": -self.steps,
            "test_loss": -self.steps,
        }

    def save(self, directory):
        (directory / "steps").write_text(str(self.steps))

    def load(self, directory):
        self.steps = int((directory / "steps").read_text())


class Honest(Overfitting):
    turn_at = 10_000


class Lagging(Overfitting):
    def evaluate(self):
        return {"val_accuracy": self.steps, "test_accuracy": 0.5 * self.steps}


class Lucky(Overfitting):
    """Nothing is learned: both metrics are noise around 0."""

    def evaluate(self):
        rng = np.random.Generator(np.random.Philox(int(1e9 * self.x) + self.steps))
        return {"val_accuracy": rng.normal(), "test_accuracy": rng.normal()}


def trained(trainable, steps=120, objective=None, **definition):
    return hd.Study(
        trainable,
        hd.Space(x=hd.Uniform(0.0, 1.0)),
        objective=objective or hd.maximize("val_accuracy"),
        population=5,
        interval=10,
        budget=hd.Steps(steps),
        name="overfitting",
        storage=":memory:",
        finalists=0,
        **definition,
    ).run(hd.Inline(), live="off")


def test_the_held_out_score_falls_while_the_score_rises():
    population = trained(Overfitting).population
    found = the(population, "running away")
    assert re.search(r"from 70\.\d* to 120\.\d* in val_accuracy, which selects", found.evidence)
    assert re.search(r"from 24\.\d* to -0\.\d* in test_accuracy, which does", found.evidence)
    assert found.trials == (population.peak,)
    assert found.advice.startswith("average=3 instead of 1")


def test_where_both_rise_or_the_study_is_short_nothing_runs_away():
    assert not of_kind(trained(Honest).population, "running away")
    assert not of_kind(trained(Lagging).population, "running away")
    assert not of_kind(trained(Overfitting, steps=90).population, "running away")


def test_luck_alone_does_not_run_away():
    """The best so far is the luckiest: its score rises all the time, and held out it falls in half
    of the cases."""
    for seed in range(6):
        population = trained(Lucky, steps=200, seed=seed).population
        assert not of_kind(population, "running away")


def test_other_metrics_and_those_of_training_are_no_measure():
    result = trained(Overfitting, objective=hd.minimize("test_loss"))
    assert not of_kind(result.population, "running away")


def test_noise_that_hides_who_is_ahead():
    found = the(study(toy=noisy(5.0), members=12), "interval too short")
    (deviation,) = re.search(r"noise is ±([\d.]+)", found.evidence).groups()
    assert float(deviation) == pytest.approx(5.0, rel=0.3)
    (interval,) = re.search(r"^interval=(\d+) instead of 10", found.advice).groups()
    assert int(interval) >= 20


@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.5])
def test_noise_that_hides_nothing(deviation):
    assert not of_kind(study(toy=noisy(deviation), members=12), "interval too short")


def test_the_advised_interval_helps():
    found = the(study(toy=noisy(5.0), members=12), "interval too short")
    interval = int(re.search(r"^interval=(\d+)", found.advice).group(1))
    assert not of_kind(study(toy=noisy(5.0), members=12, interval=interval), "interval too short")


def test_where_nobody_is_taken_over_the_interval_is_free():
    for algorithm in (hd.RandomSearch(), hd.PBT(exploit=None)):
        for options in ({"turns": 5, "interval": 100}, {}):
            records = study(algorithm, noisy(0.01), members=12, **options)
            assert not of_kind(records, "interval too long")
        records = study(algorithm, noisy(200.0), members=12)
        assert noise(records).reliability < 0.5
        assert not of_kind(records, "interval too short")


def test_few_turns_though_all_is_clear():
    found = the(study(toy=noisy(0.01), members=12, turns=5, interval=100), "interval too long")
    assert found.severity == "note"
    assert "members have 5 turns in all, and so 4 chances" in found.evidence
    assert found.advice == "interval=25 instead of 100"


def test_many_turns_or_much_noise_or_too_early_to_say():
    healthy = [
        study(toy=noisy(0.01), members=12, turns=20, interval=25),
        study(toy=noisy(30.0), members=12, turns=5, interval=100),
        study(toy=noisy(0.01), members=12, turns=3, interval=100),
        study(EAGER, noisy(0.01), members=3, turns=5, interval=100),
    ]
    for records in healthy:
        assert not of_kind(records, "interval too long")
