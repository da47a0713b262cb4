"""Numeric parameters: priors, bounds, scales and what they refuse."""

import doctest
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import HparamsError, SpaceError
from heredity.space import (
    Integer,
    LogInteger,
    LogUniform,
    ReverseLogUniform,
    Scale,
    Shift,
    Uniform,
    numeric,
)
from heredity.testing import strategies


def samples(parameter, count=4_000):
    rng = np.random.Generator(np.random.Philox(0))
    return [parameter.sample(rng) for _ in range(count)]


# Priors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "median"),
    [
        (Uniform(-1.0, 3.0), 1.0),
        (LogUniform(1e-4, 1.0), 1e-2),
        (ReverseLogUniform(0.9, 0.9999), 1.0 - 10**-2.5),
        (Integer(1, 9), 5),
        (LogInteger(1, 1024), 23),
    ],
)
def test_the_median_lies_in_the_middle_of_the_scale(parameter, median):
    assert parameter.quantile(0.5) == pytest.approx(median)


def test_the_prior_lies_within_wider_bounds():
    values = samples(LogUniform(1e-3, 1e-2, bounds=(1e-6, 1.0)))
    assert 1e-3 <= min(values) < 1.1e-3
    assert 0.9e-2 < max(values) <= 1e-2


def test_a_log_uniform_prior_gives_each_decade_its_share():
    decades = Counter(math.floor(math.log10(value)) for value in samples(LogUniform(1e-4, 1.0)))
    assert set(decades) == {-4, -3, -2, -1}
    assert all(900 < count < 1_100 for count in decades.values())


def test_a_reverse_log_uniform_prior_gives_each_decade_of_the_distance_to_one_its_share():
    values = samples(ReverseLogUniform(0.9, 0.9999))
    decades = Counter(math.floor(math.log10(1.0 - value)) for value in values)
    assert set(decades) == {-4, -3, -2}
    assert all(1_200 < count < 1_470 for count in decades.values())


def test_each_integer_is_equally_likely_the_ends_too():
    drawn = Counter(samples(Integer(-2, 2)))
    assert set(drawn) == {-2, -1, 0, 1, 2}
    assert all(700 < count < 900 for count in drawn.values())


def test_every_log_integer_is_reached_small_ones_more_often():
    drawn = Counter(samples(LogInteger(1, 8)))
    assert set(drawn) == set(range(1, 9))
    assert drawn[1] > 2 * drawn[4] > 2 * drawn[8]


def test_a_prior_may_be_one_point_within_wider_bounds():
    parameter = Uniform(0.5, 0.5, bounds=(0.0, 1.0))
    assert set(samples(parameter, 10)) == {0.5}
    assert not parameter.single


# The unit interval ------------------------------------------------------------------------------


@given(strategies.numerics(), st.data())
def test_the_encoding_spans_the_bounds_in_order(parameter, data):
    a, b = data.draw(strategies.values(parameter)), data.draw(strategies.values(parameter))
    lower, upper = parameter.bounds
    assert parameter.encode(lower) <= parameter.encode(min(a, b))
    assert parameter.encode(min(a, b)) <= parameter.encode(max(a, b)) <= parameter.encode(upper)


@given(strategies.numerics(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_clipped_into_the_bounds(parameter, number):
    clipped = parameter.clip(number)
    assert parameter.bounds[0] <= clipped <= parameter.bounds[1]
    assert type(clipped) is type(parameter.bounds[0])


@pytest.mark.parametrize("parameter", [Uniform(2.0, 6.0), LogUniform(1e-3, 1.0)])
def test_the_bounds_of_a_real_are_the_ends_of_the_interval(parameter):
    lower, upper = parameter.bounds
    assert (parameter.encode(lower), parameter.encode(upper)) == (0.0, 1.0)
    assert (parameter.decode(0.0), parameter.decode(1.0)) == pytest.approx((lower, upper))


@pytest.mark.parametrize("kind", [Integer, LogInteger])
def test_large_integers_come_back_exactly(kind):
    parameter = kind(1, 2**40)
    for value in (1, 2, 3, 12_345, 2**39 + 1, 2**40 - 1, 2**40):
        assert parameter.decode(parameter.encode(value)) == value


@pytest.mark.parametrize(("kind", "low"), [(Integer, 2**40 - 2), (LogInteger, 2**30)])
def test_neighbouring_large_integers_are_told_apart(kind, low):
    parameter = kind(low, low + 2)
    for value in range(low, low + 3):
        assert parameter.decode(parameter.encode(value)) == value
    assert set(samples(parameter, 50)) == {low, low + 1, low + 2}


@pytest.mark.parametrize("parameter", [Uniform(0.5, 0.5), Integer(3, 3), LogUniform(1, 1)])
def test_a_range_of_one_point_is_encoded_in_the_middle(parameter):
    assert parameter.single
    assert parameter.encode(parameter.low) == 0.5
    assert parameter.decode(0.2) == parameter.low


# Checking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1.0), np.int64(1)])
@pytest.mark.parametrize(("parameter", "kind"), [(Uniform(0, 2), float), (Integer(0, 2), int)])
def test_numbers_of_any_type_become_the_parameters_own(parameter, kind, value):
    checked = parameter.check("h", value)
    assert (checked, type(checked)) == (1, kind)


@pytest.mark.parametrize("value", [0.5, "1", True, None, math.nan])
def test_an_integer_takes_whole_numbers_only(value):
    with pytest.raises(HparamsError, match=r"layers must be a whole number"):
        Integer(0, 8).check("layers", value)


def test_a_value_outside_the_bounds_is_named_with_them_and_the_remedy():
    with pytest.raises(HparamsError, match=r"lr is 2.0, outside its bounds 0.1 to 1.0.*`bounds`"):
        LogUniform(0.1, 1.0).check("lr", 2)


# Other bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "prior"),
    [((0.0, 1.0), (0.2, 0.4)), ((0.3, 0.9), (0.3, 0.4)), ((0.5, 0.9), (0.5, 0.9))],
    ids=["contain the prior", "cut the prior", "exclude the prior"],
)
def test_new_bounds_cut_the_prior(bounds, prior):
    changed = Uniform(0.2, 0.4, move=Shift(0.1)).rebounded(*bounds)
    assert changed == Uniform(*prior, bounds=bounds, move=Shift(0.1))


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 0), "lower to the upper"),
        (lambda: Uniform(0, math.inf), "finite numbers, not inf"),
        (lambda: Uniform(math.nan, 1), "finite numbers, not nan"),
        (lambda: Uniform("0", 1), "finite numbers, not '0'"),
        (lambda: Uniform(False, True), "finite numbers, not False"),
        (lambda: Uniform(-1e308, 1e308), "too wide"),
        (lambda: Uniform(1.0, 1.0 + 1e-13), "too narrow"),
        (lambda: Uniform(0, 1, bounds=3), r"pair, such as \(0.1, 0.5\), not 3"),
        (lambda: Uniform(0, 1, bounds=(0, 1, 2)), "pair"),
        (lambda: Uniform(0, 1, bounds=(0.5, 2)), "must contain the prior"),
        (lambda: Uniform(0, 1, bounds=(-1, 0.5)), "must contain the prior"),
        (lambda: LogUniform(0, 1), "above 0.*or use Uniform"),
        (lambda: LogUniform(-1, 1), "above 0"),
        (lambda: LogUniform(0.1, 1, bounds=(0, 1)), "bounds must lie above 0"),
        (lambda: ReverseLogUniform(0.9, 1.0), "below 1.*or use Uniform"),
        (lambda: Integer(0.5, 2), "whole numbers, not 0.5"),
        (lambda: Integer(0, 2**41), "within ± 2"),
        (lambda: LogInteger(0, 8), "above 0.*or use Integer"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_with_the_remedy(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_defaults():
    parameter = LogUniform(1, 2)
    assert parameter.bounds == (1.0, 2.0)
    assert parameter.move == Scale((0.8, 1.2))
    assert {type(number) for number in (parameter.low, parameter.high, *parameter.bounds)} == {
        float
    }
    assert {type(number) for number in Integer(1.0, 2.0).bounds} == {int}


def test_the_examples_in_the_docstrings_run():
    failures, tried = doctest.testmod(numeric)
    assert tried > 0
    assert failures == 0
