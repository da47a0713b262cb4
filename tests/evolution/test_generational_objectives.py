"""Generations with several objectives: weighted, or by Pareto dominance."""

from dataclasses import replace

import pytest

import heredity as hd
from evolution.brood import Brood
from heredity.errors import UsageError
from heredity.evolution.budget import Steps
from heredity.evolution.generational import Generational
from heredity.evolution.objective import maximize, minimize
from heredity.testing.algorithm_suite import BUDGET, AlgorithmSuite
from heredity.testing.play import Play
from heredity.testing.toys import noisy

OBJECTIVES = (maximize("q"), minimize("size"))


def parent(rows, **options):
    """Of a generation of these qualities and sizes: the lane that gives lane 0's child its weights,
    and the lane of its opponent."""
    brood = Brood(Generational(**options), len(rows), objectives=OBJECTIVES)
    for member, (quality, *size) in enumerate(rows):
        brood.end(member, quality, **({"size": size[0]} if size else {}))
    child = brood.child(0)
    return child.weights_from, child.evidence[1]


def test_who_dominates_is_the_parent():
    assert parent([(1.0, 5.0), (1.0, 4.0)]) == (1, 1)
    assert parent([(1.0, 4.0), (1.0, 5.0)]) == (0, 1)
    assert parent([(1.0, 4.0), (1.0, 4.0)]) == (0, 1)
    assert parent([(1.0, 4.0), (2.0, 5.0)]) == (0, 1)  # neither dominates: the initiator stays


def test_dominance_is_among_all_that_might_have_been_met():
    """Lane 2 dominates lane 0, which is thus of a later front than lane 1 as well, although lane 1
    does not dominate it."""
    rows = [(1.0, 5.0), (0.0, 1.0), (2.0, 4.0)]
    brood = Brood(members=3, objectives=OBJECTIVES)
    for member, (quality, size) in enumerate(rows):
        brood.end(member, quality, size=size)
    assert brood.child(0).weights_from == brood.child(0).evidence[1]
    assert [brood.child(member).weights_from for member in (1, 2)] == [1, 2]


def test_weights_say_how_much_each_objective_counts():
    rows = [(1.0, 4.0), (2.0, 6.0)]
    assert parent(rows, weights=(1.0, 0.0)) == (1, 1)
    assert parent(rows, weights=(1.0, 0.4)) == (1, 1)
    assert parent(rows, weights=(1.0, 0.6)) == (0, 1)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0)])
def test_an_objective_that_was_not_reported_counts_as_the_worst(weights):
    found, opponent = parent([(1.0,), (1.0, 4.0), (1.0, 5.0)], weights=weights)
    assert found == {1: 1, 2: 0}[opponent]
    assert parent([(1.0,), (1.0, 4.0)], weights=weights) == (0, 1)  # no worse one to tell from


def test_the_reason_names_no_single_score():
    brood = Brood(members=2, objectives=OBJECTIVES)
    for member in (0, 1):
        brood.end(member, 1.0, size=member)
    assert brood.child(0).reason == "trial 0 meets trial 1: trial 0 is the parent"


def study(**options):
    return hd.Study(
        lambda session: None,
        hd.Space(x=hd.Uniform(0, 1)),
        objective=[hd.maximize("q"), hd.minimize("size")],
        algorithm=hd.Generational(**options),
        interval=10,
        budget=hd.Steps(10),
        name="two",
    )


def test_as_many_weights_as_objectives():
    assert study(weights=[1, 2]).definition.algorithm == Generational(weights=(1.0, 2.0))
    with pytest.raises(UsageError, match=r"3 weights .* for 2 objectives: give one for each"):
        study(weights=(1, 2, 3))


class TwoObjectives(Play):
    """Beside its progress each trial reports how far its `y` is from 0.2."""

    def _finished(self, trial, score, state):
        finished = super()._finished(trial, score, state)
        distance = abs(float(trial.hparams["y"]) - 0.2)
        return replace(finished, metrics={**finished.metrics, "distance": distance})


def two_objectives(algorithm, budget, **options):
    definition = noisy().definition(algorithm, options.pop("population"), seed=options.pop("seed"))
    objectives = (*definition.objectives, minimize("distance"))
    return TwoObjectives(replace(definition, objectives=objectives), budget, noisy().run, **options)


class TestSeveralObjectives(AlgorithmSuite):
    @pytest.fixture
    def algorithm(self):
        return Generational()

    def play(self, algorithm, budget=BUDGET, **options):
        return two_objectives(algorithm, budget, **{"population": 6, "seed": 0, **options})


@pytest.mark.parametrize("weights", [None, (1.0, 50.0)])
def test_the_population_comes_near_in_both_objectives(weights):
    """With the second objective out of sight, `y` wanders as it likes."""

    def distances(algorithm):
        for seed in range(3):
            playing = two_objectives(algorithm, Steps(300), population=12, seed=seed)
            yield -playing.to_the_end().scores.values[-12:, 1].mean()

    seeing = sum(distances(Generational(weights=weights)))
    blind = sum(distances(Generational(weights=(1.0, 0.0))))
    assert seeing < 0.7 * blind
