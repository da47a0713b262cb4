"""Who is the fitter of two, and whose hparams their child gets."""

import numpy as np
import pytest

from heredity.evolution.mating import cross, fitness
from heredity.space import Categorical, Constant, Integer, Keep, Space, Uniform

SPACE = Space(
    lr=Uniform(0.0, 1.0),
    act=Categorical(["relu", "tanh"]),
    width=Integer(1, 64, move=Keep()),
    classes=Constant(10),
)
PARENT = {"lr": 0.1, "act": "relu", "width": 8, "classes": 10}
OTHER = {"lr": 0.9, "act": "tanh", "width": 64, "classes": 10}


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def test_one_objective_is_its_score():
    assert fitness(np.array([[1.0], [3.0]]), None).tolist() == [1.0, 3.0]


def test_weights_sum_up_several():
    assert fitness(np.array([[1.0, 4.0], [3.0, 3.0]]), (1.0, 4.0)).tolist() == [17.0, 15.0]
    unmeasured = fitness(np.array([[1.0, np.nan], [1.0, 5.0], [1.0, 4.0]]), (1.0, 1.0))
    assert unmeasured.tolist() == [5.0, 6.0, 5.0]


def test_without_weights_dominance_decides_then_who_is_less_crowded():
    scores = np.array([[2.0, 2.0], [1.0, 1.0], [5.0, 0.0], [0.0, 5.0]])
    assert np.argsort(-fitness(scores, None), kind="stable").tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(("probability", "lr", "act"), [(0.0, 0.1, "relu"), (1.0, 0.9, "tanh")])
def test_hparams_of_the_weights_come_with_the_weights(probability, lr, act):
    child = cross(SPACE, PARENT, OTHER, probability, rng())
    assert child == {"lr": lr, "act": act, "width": 8, "classes": 10}
    assert list(child) == list(SPACE.names)


def test_each_hparam_is_drawn_by_itself():
    children = [cross(SPACE, PARENT, OTHER, 0.5, rng(seed)) for seed in range(400)]
    drawn = [(child["lr"] == 0.9, child["act"] == "tanh") for child in children]
    for both in [(a, b) for a in (False, True) for b in (False, True)]:
        assert 60 <= drawn.count(both) <= 140
