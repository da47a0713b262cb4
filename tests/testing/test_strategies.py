"""The strategies make what they say, and all of it: no property is proven on half of the cases."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import find as find_least
from hypothesis import strategies as st

from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogInteger,
    LogUniform,
    Neighbour,
    Ordinal,
    Resample,
    ReverseLogUniform,
    Scale,
    Shift,
    Uniform,
)
from heredity.testing import strategies

KINDS = [
    Uniform,
    LogUniform,
    ReverseLogUniform,
    Integer,
    LogInteger,
    Ordinal,
    Categorical,
    Constant,
]


def find(strategy, condition):
    """Any example that meets the condition: the least one is not worth the time."""
    quick = settings(phases=[Phase.generate], max_examples=2_000, database=None)
    return find_least(strategy, condition, settings=quick)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_every_class_are_made(kind):
    assert find(strategies.parameters(), lambda parameter: type(parameter) is kind)


@pytest.mark.parametrize("move", [Scale, Shift, Neighbour, Resample, Keep])
def test_every_move_is_made(move):
    assert find(strategies.parameters(), lambda parameter: type(parameter.move) is move)


def test_single_values_and_wider_bounds_are_made():
    assert find(strategies.numerics(), lambda p: p.single)
    assert find(strategies.numerics(), lambda p: p.bounds[0] < p.low < p.high < p.bounds[1])
    assert find(strategies.numerics(Uniform), lambda p: p.bounds[0] < 0.0 < p.bounds[1])


def test_values_at_both_bounds_are_made():
    integer = Integer(1, 100)
    assert find(strategies.values(integer), lambda value: value == 1) == 1
    assert find(strategies.values(integer), lambda value: value == 100) == 100


@given(strategies.spaces(min_size=2, max_size=3), st.data())
def test_spaces_have_the_size_asked_for_and_hparams_fit_them(space, data):
    assert 2 <= len(space) <= 3
    hparams = data.draw(strategies.hparams(space))
    assert space.check(hparams) == hparams
