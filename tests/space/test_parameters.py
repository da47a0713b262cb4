"""What every parameter promises, and the parameters that choose from a list."""

import dataclasses
import doctest
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity import space
from heredity.errors import HparamsError, SpaceError, UsageError
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
    Uniform,
    parameters,
)
from heredity.testing import strategies

UNITS = st.floats(0.0, 1.0)
DISCRETE = {"integer", "ordinal", "categorical", "constant"}


# Every parameter --------------------------------------------------------------------------------


def assert_same(parameter, value, other):
    """Equal values; of reals, equal up to the rounding of their scale."""
    if parameter.kind in DISCRETE:
        assert value == other
    else:
        assert parameter.origin - value == pytest.approx(
            parameter.origin - other, rel=1e-9, abs=1e-9 * parameter.width
        )


@given(strategies.parameters(), st.data())
def test_decode_inverts_encode(parameter, data):
    value = data.draw(strategies.values(parameter))
    assert_same(parameter, parameter.decode(parameter.encode(value)), value)


@given(strategies.parameters(), UNITS)
def test_decoded_values_and_quantiles_pass_the_check_unchanged(parameter, u):
    for value in (parameter.decode(u), parameter.quantile(u)):
        checked = parameter.check("h", value)
        assert (checked, type(checked)) == (value, type(value))
        assert type(value) in (bool, int, float, str)
        assert parameter.clip(value) == value


@given(strategies.parameters(), st.data())
def test_encode_stays_in_the_unit_interval(parameter, data):
    assert 0.0 <= parameter.encode(data.draw(strategies.values(parameter))) <= 1.0


@given(strategies.parameters(), UNITS, UNITS)
def test_decoding_keeps_the_order(parameter, u, v):
    low, high = parameter.decode(min(u, v)), parameter.decode(max(u, v))
    if parameter.kind in ("real", "integer"):
        assert low <= high
    elif parameter.kind != "constant":
        assert parameter.index(low) <= parameter.index(high)


@given(strategies.parameters(), st.floats(allow_infinity=True, allow_nan=False))
def test_outside_the_unit_interval_the_ends_count(parameter, u):
    assert parameter.decode(u) == parameter.decode(min(max(u, 0.0), 1.0))


@given(strategies.parameters(), strategies.generators())
def test_a_sample_is_the_quantile_of_one_uniform_draw(parameter, rng):
    state = rng.bit_generator.state
    sampled = parameter.sample(rng)
    rng.bit_generator.state = state
    assert sampled == parameter.quantile(rng.random())


@given(strategies.parameters())
def test_a_parameter_is_rebuilt_from_its_fields(parameter):
    fields = {f.name: getattr(parameter, f.name) for f in dataclasses.fields(parameter)}
    again = type(parameter)(**fields)
    assert again == parameter
    assert hash(again) == hash(parameter)
    assert repr(again) == repr(parameter)


@given(strategies.parameters())
def test_a_parameter_is_rebuilt_from_json(parameter):
    def fields(thing):
        return {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}

    plain = {**fields(parameter), "move": fields(parameter.move)}
    again = json.loads(json.dumps(plain))
    move = type(parameter.move)(**again.pop("move"))
    assert type(parameter)(**again, move=move) == parameter


@given(strategies.parameters())
def test_the_repr_makes_an_equal_parameter(parameter):
    assert eval(repr(parameter), vars(space)) == parameter


def test_a_repr_shows_only_what_was_chosen():
    assert repr(Uniform(0, 1)) == "Uniform(0.0, 1.0)"
    assert repr(Uniform(0, 1, bounds=(0, 1))) == "Uniform(0.0, 1.0)"
    assert repr(Integer(1, 2, bounds=(0, 9), move=Keep())) == (
        "Integer(1, 2, bounds=(0, 9), move=Keep())"
    )
    assert repr(Ordinal([1, 2], move=Neighbour(2))) == "Ordinal([1, 2], move=Neighbour(2))"


def test_parameters_of_different_classes_differ():
    assert Uniform(1, 2) != LogUniform(1, 2)
    assert Ordinal([1, 2]) != Categorical([1, 2])


@pytest.mark.parametrize("field", ["low", "bounds", "move"])
def test_a_parameter_is_frozen(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Uniform(0, 1), field, None)


EVERY = [
    Uniform(0.0, 1.0),
    LogUniform(1e-4, 1.0),
    ReverseLogUniform(0.9, 0.999),
    Integer(1, 9),
    LogInteger(1, 9),
    Ordinal([1, 2]),
    Categorical(["a", "b"]),
    Constant(1),
]


@pytest.mark.parametrize("parameter", EVERY, ids=repr)
def test_nan_lies_nowhere(parameter):
    if parameter.kind != "constant":
        with pytest.raises(UsageError, match="NaN"):
            parameter.decode(math.nan)
    with pytest.raises(HparamsError, match="nan"):
        parameter.check("h", math.nan)


@pytest.mark.parametrize("parameter", EVERY, ids=repr)
@pytest.mark.parametrize("value", [None, math.inf, -math.inf, [1], np.ones(2), 1j, 10**400])
def test_what_is_no_json_scalar_is_refused_by_name(parameter, value):
    with pytest.raises(HparamsError, match="momentum"):
        parameter.check("momentum", value)


@pytest.mark.parametrize("parameter", [p for p in EVERY if p.check("h", p.quantile(0.5)) != "b"])
def test_a_boolean_is_no_number(parameter):
    with pytest.raises(HparamsError, match="True"):
        parameter.check("h", True)


@pytest.mark.parametrize("parameter", EVERY, ids=repr)
def test_conditional_hparams_are_refused_with_what_to_do_instead(parameter):
    arguments = {f.name: getattr(parameter, f.name) for f in dataclasses.fields(parameter)}
    with pytest.raises(SpaceError, match=r"not supported yet.*ignore it in the training code"):
        type(parameter)(**arguments, when="optimizer == 'sgd'")


@pytest.mark.parametrize("parameter", EVERY, ids=repr)
@pytest.mark.parametrize("move", [Keep, 0.2, "Scale"])
def test_what_is_no_move_is_refused(parameter, move):
    arguments = {f.name: getattr(parameter, f.name) for f in dataclasses.fields(parameter)}
    with pytest.raises(SpaceError, match="expected a move"):
        type(parameter)(**{**arguments, "move": move})


# Ordinal, Categorical, Constant -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [Ordinal, Categorical])
def test_each_choice_is_equally_likely(kind):
    rng = np.random.Generator(np.random.Philox(0))
    drawn = Counter(kind(["a", "b", "c", "d"]).sample(rng) for _ in range(2_000))
    assert set(drawn) == set("abcd")
    assert all(420 < count < 580 for count in drawn.values())


def test_choices_keep_the_order_given():
    assert Ordinal([128, 32, 64]).choices == (128, 32, 64)


def test_a_choice_is_found_by_value_and_returned_as_declared():
    checked = Ordinal([32, 64]).check("batch_size", 64.0)
    assert (checked, type(checked)) == (64, int)
    assert type(Ordinal([32, 64]).check("batch_size", np.int64(64))) is int


def test_a_value_that_is_no_choice_is_refused_with_the_choices():
    with pytest.raises(HparamsError, match=r"batch_size must be one of \[32, 64\], not 48"):
        Ordinal([32, 64]).check("batch_size", 48)


def test_zero_is_not_false():
    with pytest.raises(HparamsError):
        Categorical([False, True]).check("h", 0)
    assert Categorical([False, True]).check("h", False) is False


@pytest.mark.parametrize(
    "choices",
    [
        [],
        "relu",
        3,
        ["a", "a"],
        [1, 1.0],
        [True, 1],
        [None, "a"],
        [math.nan],
        [math.inf],
        [[1], [2]],
        [np.float64(0.5)],
    ],
)
@pytest.mark.parametrize("kind", [Ordinal, Categorical])
def test_choices_that_make_no_sense_are_refused(kind, choices):
    with pytest.raises(SpaceError):
        kind(choices)


def test_a_single_choice_never_moves():
    rng = np.random.Generator(np.random.Philox(0))
    for parameter in (Ordinal([32]), Categorical(["adam"])):
        assert parameter.single
        assert parameter.move.move(parameter, parameter.choices[0], rng) == parameter.choices[0]


def test_a_constant_is_its_value_everywhere():
    constant = Constant("adam")
    assert constant.quantile(0.1) == constant.decode(0.9) == constant.check("h", "adam") == "adam"
    assert constant.encode("adam") == 0.5
    assert constant.move == Keep()
    with pytest.raises(HparamsError, match="Constant"):
        constant.check("h", "sgd")


def test_default_moves():
    assert Ordinal([1, 2]).move == Neighbour()
    assert Categorical([1, 2]).move == Resample()


def test_the_examples_in_the_docstrings_run():
    failures, tried = doctest.testmod(parameters)
    assert tried > 0
    assert failures == 0
