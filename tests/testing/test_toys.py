"""The toys' answers are what they say."""

import numpy as np
import pytest

from heredity.evolution.trial import Trial
from heredity.testing.toys import figure2, noisy, quadratic


def trained(toy, schedule, seed=0):
    """The score after one step with each of these hparams."""
    state, score = None, None
    for step, hparams in enumerate(schedule):
        trial = Trial(id=0, seed=seed, member=0, turn=0, hparams=hparams, start=step, stop=step + 1)
        score, state = toy.run(trial, state)
    return score


def test_figure2():
    toy = figure2()
    assert trained(toy, [{"h0": 1.0, "h1": 0.0}] * 200) == pytest.approx(0.39, abs=5e-4)
    assert trained(toy, [{"h0": 1.0, "h1": 1.0}] * 200) == pytest.approx(toy.best(200))
    assert toy.best(200) == pytest.approx(1.2, abs=1e-3)


def test_the_optimal_schedule_of_the_quadratic():
    toy, v, schedule = quadratic(noise=2.0), 1.0, []
    for _ in range(50):
        schedule.append({"lr": v / (v + 2.0)})
        v = v * 2.0 / (v + 2.0)
    assert trained(toy, schedule) == pytest.approx(toy.best(50))
    rng = np.random.default_rng(0)
    for _ in range(100):
        other = [{"lr": h["lr"] * rng.uniform(0.5, 2)} for h in schedule]
        assert trained(toy, other) > toy.best(50)


def test_the_noise_comes_from_the_seed_and_is_averaged_away():
    toy, hparams = noisy(noise=1.0), {"x": 0.7, "y": 0.0}
    assert trained(toy, [hparams] * 20, seed=1) == trained(toy, [hparams] * 20, seed=1)
    scores = [trained(toy, [hparams] * 20, seed=s) for s in range(400)]
    assert np.mean(scores) == pytest.approx(toy.best(20), abs=0.2)
    assert np.std(scores) == pytest.approx(1.0, abs=0.15)
    trial = Trial(
        id=0, seed=0, member=0, turn=0, hparams=hparams, start=0, stop=20, evaluations=10_000
    )
    assert toy.run(trial, None)[0] == pytest.approx(toy.best(20), abs=0.05)


def test_definitions_have_as_many_initial_hparams_as_members():
    from heredity.evolution.random_search import RandomSearch

    figure2().definition(RandomSearch(), population=1).check()
    assert len(figure2().definition(RandomSearch(), population=5).initial) == 2
