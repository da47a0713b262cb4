"""Several objectives: dominance against its definition, row by row."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.evolution import pareto

ROWS = st.integers(1, 4).flatmap(
    lambda objectives: st.lists(
        st.tuples(*[st.integers(0, 5)] * objectives), min_size=1, max_size=12
    )
)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


@given(ROWS)
def test_a_front_is_dominated_by_the_one_before_and_by_none_of_its_own(rows):
    fronts = pareto.fronts(np.array(rows, dtype=float)).tolist()
    for row, front in zip(rows, fronts, strict=True):
        above = [f for other, f in zip(rows, fronts, strict=True) if dominates(other, row)]
        assert all(f < front for f in above)
        assert front == 0 or front - 1 in above


@given(ROWS)
def test_who_dominates_is_fitter_and_a_row_is_as_fit_as_its_front(rows):
    scores = np.array(rows, dtype=float)
    fitness, fronts = pareto.fitness(scores), pareto.fronts(scores)
    assert ((fitness <= -fronts) & (fitness >= -fronts - 0.5)).all()
    for a, row in enumerate(rows):
        for b, other in enumerate(rows):
            assert not dominates(row, other) or fitness[a] > fitness[b]


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_one_objective_ranks_as_its_scores(column):
    fronts = pareto.fronts(np.array(column, dtype=float)[:, None])
    assert fronts.tolist() == [len({v for v in column if v > value}) for value in column]


def test_ends_are_never_crowded_and_the_middle_of_equals_always_is():
    scores = np.array([[0.0, 9.0], [1.0, 8.0], [4.0, 4.0], [9.0, 0.0]])
    alone = pareto.crowding(scores, pareto.fronts(scores))
    assert alone.tolist() == [np.inf, 4 / 9 + 5 / 9, 8 / 9 + 8 / 9, np.inf]
    equal = pareto.crowding(np.ones((4, 2)), np.zeros(4, dtype=np.int64))
    assert equal.tolist() == [np.inf, 0.0, 0.0, np.inf]


def test_each_front_is_crowded_by_itself():
    scores = np.array([[5.0, 6.0], [6.0, 5.0], [1.0, 2.0], [2.0, 1.0]])
    assert np.isinf(pareto.crowding(scores, pareto.fronts(scores))).all()


def test_what_was_not_measured_counts_as_the_worst():
    nan = np.nan
    assert pareto.completed(np.array([[1.0, nan], [2.0, nan]])).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert pareto.completed(np.array([[nan, -5.0], [3.0, 1.0]])).tolist() == [
        [3.0, -5.0],
        [3.0, 1.0],
    ]


@pytest.mark.parametrize("rows", [0, 1])
def test_nobody_and_one_alone(rows):
    scores = np.ones((rows, 2))
    assert pareto.fronts(scores).tolist() == [0] * rows
    assert pareto.fitness(scores).tolist() == [0.0] * rows
    assert pareto.completed(scores).tolist() == scores.tolist()


def test_the_examples_hold():
    assert doctest.testmod(pareto).failed == 0
