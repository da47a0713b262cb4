"""The toy with the known schedule: its answer, and that a population finds it."""

import numpy as np
import pytest

import heredity as hd
from heredity.analysis.schedule import schedule
from heredity.evolution.trial import Trial
from heredity.testing.moving import best_u, moving
from heredity.testing.play import play

STEPS, ROUNDS = 40, 40


def test_the_best_schedule_goes_from_0_2_to_0_8():
    assert best_u(np.array([0, 39]), 40).tolist() == pytest.approx([0.2, 0.8])
    assert (best_u(1, 40) - best_u(0, 40)) == pytest.approx(0.6 / 39)


def test_it_makes_one_a_step_and_no_other_does():
    toy, state = moving(STEPS, noise=0.0), None
    for step in range(STEPS):
        hparams = {"u": best_u(step, STEPS)}
        trial = Trial(id=0, seed=0, member=0, turn=0, hparams=hparams, start=step, stop=step + 1)
        score, state = toy.run(trial, state)
    assert score == pytest.approx(toy.best(STEPS)) == STEPS
    fixed = Trial(id=0, seed=0, member=0, turn=0, hparams={"u": 0.5}, start=0, stop=STEPS)
    away = 4 * ((0.5 - best_u(np.arange(STEPS), STEPS)) ** 2).sum()
    assert toy.run(fixed, None)[0] == pytest.approx(STEPS - away)


def test_the_noise_comes_from_the_seed():
    toy = moving(STEPS, noise=0.05)
    trials = [
        Trial(id=0, seed=seed, member=0, turn=0, hparams={"u": 0.5}, start=0, stop=1)
        for seed in range(300)
    ]
    scores = [toy.run(trial, None)[0] for trial in trials]
    assert np.std(scores) == pytest.approx(0.05, abs=0.01)
    assert toy.run(trials[0], None)[1] == toy.run(trials[1], None)[1]


def found(interval: int, seed: int) -> tuple[float, float]:
    """How the winner's schedule correlates with the best one, and its score as a part of that."""
    steps = ROUNDS * interval
    toy = moving(steps)
    population = play(toy.definition(hd.PBT(), 16, interval, seed), hd.Steps(steps), toy.run)
    winner = schedule(population, population.best)
    u = [winner.at(step)["u"] for step in range(steps)]
    score = population.trial(population.best).score
    return float(np.corrcoef(u, best_u(np.arange(steps), steps))[0, 1]), score / toy.best(steps)


def test_a_population_finds_the_schedule():
    """Median of 20 seeds, 16 members, 40 rounds of one step; a constant u can make 0.88 at most."""
    correlation, share = np.median([found(1, seed) for seed in range(20)], axis=0)
    assert correlation >= 0.95
    assert share >= 0.95
