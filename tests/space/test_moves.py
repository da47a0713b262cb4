"""Moves keep their promise on every parameter they understand: always in bounds, always moving."""

import doctest
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import SpaceError
from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogInteger,
    LogUniform,
    Move,
    Neighbour,
    Ordinal,
    Resample,
    ReverseLogUniform,
    Scale,
    Shift,
    Space,
    Uniform,
    moves,
)
from heredity.testing import strategies

REAL = [
    Uniform(0.0, 1.0),
    Uniform(-3.0, 5.0),
    Uniform(-5.0, -1.0),
    Uniform(0.5, 0.5, bounds=(0.0, 1.0)),
    LogUniform(1e-4, 1e-1, bounds=(1e-6, 1.0)),
    ReverseLogUniform(0.9, 0.9999),
    ReverseLogUniform(-2.0, 0.5),
]
WHOLE = [
    Integer(1, 3),
    Integer(0, 1),
    Integer(-4, 4),
    Integer(10, 1000),
    LogInteger(1, 4096),
    LogInteger(2, 3),
]
ORDINAL = [Ordinal([32, 64, 128]), Ordinal(["small", "large"])]
CATEGORICAL = [Categorical(["relu", "tanh", "gelu"]), Categorical([False, True])]
SHIFTS = [Shift(0.2), Shift(1e9), Shift(fraction=0.1), Shift(fraction=1.0)]

# Every move x every parameter that it understands.
PAIRS = [
    *itertools.product([Scale(), Scale((0.5, 0.9, 3.0)), *SHIFTS, Resample()], REAL + WHOLE),
    *itertools.product([Neighbour(), Neighbour(2)], WHOLE + ORDINAL),
    *itertools.product([Resample()], ORDINAL + CATEGORICAL),
]
every_pair = pytest.mark.parametrize(
    ("move", "parameter"), PAIRS, ids=[f"{move}-{parameter}" for move, parameter in PAIRS]
)


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def chain(move, parameter, value, length, seed=0):
    """The values met in `length` moves, one after the other."""
    source = rng(seed)
    for _ in range(length):
        value = move.move(parameter, value, source)
        yield value


def bounds_of(parameter):
    return parameter.decode(0.0), parameter.decode(1.0)


# Every move on every parameter ------------------------------------------------------------------


@every_pair
def test_every_move_of_a_long_chain_is_in_bounds_and_changes_the_value(move, parameter):
    previous = parameter.quantile(0.5)
    for value in chain(move, parameter, previous, 300):
        assert parameter.check("h", value) == value
        assert value != previous
        previous = value


@every_pair
@pytest.mark.parametrize("end", [0, 1], ids=["low", "high"])
def test_at_a_bound_a_move_goes_inward(move, parameter, end):
    bound = bounds_of(parameter)[end]
    for seed in range(20):
        value = move.move(parameter, bound, rng(seed))
        assert value != bound
        assert parameter.check("h", value) == value


@every_pair
def test_the_value_keeps_its_type(move, parameter):
    value = parameter.quantile(0.5)
    assert {type(moved) for moved in chain(move, parameter, value, 50)} == {type(value)}


@every_pair
def test_clones_with_different_generators_part_ways(move, parameter):
    """Defect elsewhere: one parent's clones all mutate identically."""
    value = parameter.quantile(0.5)
    paths = {tuple(chain(move, parameter, value, 40, seed)) for seed in range(8)}
    met = {moved for path in paths for moved in path[1:]}
    # A step as long as the range leads from one end to the other: only the first move can choose.
    assert len(paths) == (8 if len(met) > 2 else len({path[0] for path in paths}))


@every_pair
def test_equal_generators_give_equal_moves(move, parameter):
    value = parameter.quantile(0.5)
    assert list(chain(move, parameter, value, 20)) == list(chain(move, parameter, value, 20))


@given(strategies.parameters(), strategies.generators(), st.data())
def test_any_parameter_moves_within_its_bounds_or_has_a_reason_to_stay(parameter, source, data):
    value = data.draw(strategies.values(parameter))
    moved = parameter.move.move(parameter, value, source)
    assert parameter.check("h", moved) == moved
    assert (moved != value) == (not parameter.single and not parameter.move.keeps)


# A value that bounds narrowed later have left outside --------------------------------------------


@pytest.mark.parametrize("move", [Scale(), Shift(0.1), Shift(fraction=0.1), Resample()])
@pytest.mark.parametrize("value", [-7.0, 7.0])
def test_a_value_outside_the_bounds_is_brought_inside(move, value):
    for seed in range(20):
        assert 0.2 <= move.move(Uniform(0.2, 0.4), value, rng(seed)) <= 0.4


def test_a_value_outside_a_single_valued_range_becomes_that_value():
    assert Scale().move(Uniform(0.5, 0.5), 0.9, rng()) == 0.5


# Scale ------------------------------------------------------------------------------------------


def test_scale_multiplies_by_each_factor_equally_often():
    drawn = Counter(Scale().move(LogUniform(1e-6, 1.0), 0.01, rng(seed)) for seed in range(400))
    low, high = sorted(drawn)
    assert (low, high) == (pytest.approx(0.008), pytest.approx(0.012))
    assert 150 < drawn[low] < 250


def test_scale_on_the_reverse_log_scale_multiplies_the_distance_to_one():
    parameter = ReverseLogUniform(0.9, 0.9999)
    moved = {round(Scale().move(parameter, 0.99, rng(seed)), 9) for seed in range(20)}
    assert moved == {0.992, 0.988}


def test_scale_over_a_range_that_excludes_zero_has_no_least_step():
    moved = Scale().move(Uniform(1.0, 10_000.0), 2.0, rng())
    assert moved in (pytest.approx(1.6), pytest.approx(2.4))


@pytest.mark.parametrize("parameter", [Uniform(0.0, 1.0), Uniform(-1.0, 1.0), Integer(-500, 500)])
def test_scale_over_a_range_that_contains_zero_moves_at_least_one_percent_of_it(parameter):
    for value in (0.0, -0.0, 1e-12, 0.005, 0.015, 1.0 - 1e-12):
        value = parameter.clip(value)
        for seed in range(10):
            step = abs(Scale().move(parameter, value, rng(seed)) - value)
            assert step >= 0.01 * parameter.width - 1e-12


def test_nothing_is_absorbed_at_zero():
    """Defect elsewhere: a value that reaches 0 stays there, since 0 x 1.2 = 0."""
    for parameter in (Uniform(0.0, 1.0), Uniform(-1.0, 1.0), Integer(0, 100), Integer(-5, 5)):
        zero = parameter.clip(0.0)
        values = list(chain(Scale(), parameter, zero, 2_000))
        assert all(after != 0 for before, after in itertools.pairwise(values) if before == 0)
        assert max(abs(value) for value in values) > 0.1 * parameter.width


def test_scale_crosses_zero_both_ways():
    values = list(chain(Scale(), Uniform(-1.0, 1.0), 0.5, 5_000))
    crossings = Counter((a > 0, b > 0) for a, b in itertools.pairwise(values))
    assert crossings[True, False] > 10
    assert crossings[False, True] > 10


def test_scale_moves_negative_values_both_ways():
    moved = {round(Scale().move(Uniform(-5.0, -1.0), -2.0, rng(seed)), 9) for seed in range(20)}
    assert moved == {-1.6, -2.4}


def test_mutated_values_stay_in_bounds():
    """Defect elsewhere: dropout 1.08, momentum 1.18."""
    for start in (0.9, 0.99, 1.0):
        assert all(0.0 <= value <= 1.0 for value in chain(Scale(), Uniform(0.0, 1.0), start, 2_000))


def test_scale_reaches_a_bound_at_zero():
    """Dropout, weight decay: 0 itself is worth trying."""
    assert 0.0 in set(chain(Scale(), Uniform(0.0, 1.0), 0.0737, 200))


# Integers ---------------------------------------------------------------------------------------

UNBIASED = [Scale(), Scale((0.5, 1.5)), Shift(0.3), Shift(2.7), Neighbour(), Neighbour(3)]


@pytest.mark.parametrize("move", UNBIASED, ids=repr)
@pytest.mark.parametrize("start", [4, 7, 50, 333])
@pytest.mark.parametrize("kind", [Integer, LogInteger])
def test_integers_do_not_drift(move, start, kind):
    """Defect elsewhere: int(value * factor) truncates, so that integers drift down."""
    parameter, source = kind(1, 1000, move=move), rng(1)
    steps = np.array([move.move(parameter, start, source) - start for _ in range(4_000)])
    error = steps.std() / math.sqrt(len(steps))
    assert abs(steps.mean()) < 4 * error
    assert 1_800 < (steps > 0).sum() < 2_200
    assert (np.abs(steps) >= 1).all()


def test_walks_of_integers_keep_their_mean():
    parameter, source = Integer(1, 100_000), rng(2)
    ends = []
    for _ in range(1_000):
        value = 500
        for _ in range(10):
            value = Scale().move(parameter, value, source)
        ends.append(value)
    assert np.mean(ends) == pytest.approx(500, abs=4 * np.std(ends) / math.sqrt(len(ends)))


def test_small_integers_are_not_stuck():
    values = list(chain(Scale(), Integer(1, 8), 1, 2_000))
    assert set(values) == set(range(1, 9))


def test_integers_round_at_random_to_both_sides_of_a_step():
    moved = Counter(Scale((0.8, 1.2)).move(Integer(1, 100), 7, rng(seed)) for seed in range(1_000))
    assert set(moved) == {5, 6, 8, 9}
    assert 0.5 < moved[8] / (moved[8] + moved[9]) < 0.7  # 8.4 lies 0.6 of the way from 9


# Shift, Neighbour, Resample, Keep ---------------------------------------------------------------


def test_shift_adds_or_subtracts_its_amount():
    parameter = Uniform(0, 1, move=Shift(0.2))
    moved = {round(parameter.move.move(parameter, 0.5, rng(seed)), 9) for seed in range(20)}
    assert moved == {0.3, 0.7}


def test_shift_stops_at_the_bound_and_then_goes_back():
    moved = {round(Shift(0.2).move(Uniform(0, 1), 0.9, rng(seed)), 9) for seed in range(20)}
    assert moved == {0.7, 1.0}
    assert Shift(0.2).move(Uniform(0, 1), 1.0, rng()) == pytest.approx(0.8)


def test_shift_by_a_fraction_counts_in_decades_on_a_log_scale():
    parameter = LogUniform(1e-4, 1.0)
    moved = sorted({Shift(fraction=0.25).move(parameter, 1e-2, rng(seed)) for seed in range(20)})
    assert moved == [pytest.approx(1e-3), pytest.approx(1e-1)]


@pytest.mark.parametrize("parameter", [Uniform(0.0, 1.0), LogUniform(0.5, 2.0)])
@pytest.mark.parametrize("move", [Shift(1e-300), Shift(fraction=1e-300), Scale((1 - 1e-16, 2.0))])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_step_too_small_for_floating_point_still_moves(parameter, move, value):
    value = parameter.clip(value)
    assert move.move(parameter, value, rng()) != value


def test_neighbour_takes_the_next_choice_either_way():
    parameter = Ordinal([16, 32, 64, 128])
    assert {Neighbour().move(parameter, 32, rng(seed)) for seed in range(20)} == {16, 64}
    assert {Neighbour(2).move(parameter, 32, rng(seed)) for seed in range(20)} == {16, 128}
    assert Neighbour().move(parameter, 128, rng()) == 64


def test_resample_excludes_the_current_value_and_reaches_every_other_equally():
    parameter, source = Categorical(["a", "b", "c"]), rng()
    drawn = Counter(Resample().move(parameter, "a", source) for _ in range(1_000))
    assert set(drawn) == {"b", "c"}
    assert 400 < drawn["b"] < 600


def test_resample_draws_from_the_prior_not_from_the_bounds():
    parameter = LogUniform(1e-3, 1e-2, bounds=(1e-6, 1.0))
    assert all(1e-3 <= value <= 1e-2 for value in chain(Resample(), parameter, 1.0, 200))


def test_resample_of_a_prior_with_one_value_draws_within_the_bounds():
    assert len(set(chain(Resample(), Integer(5, 5, bounds=(1, 9)), 5, 200))) == 9


@pytest.mark.parametrize(
    "parameter", [Uniform(0, 1), Integer(1, 9), Ordinal([1, 2]), Categorical([1, 2]), Constant(1)]
)
def test_keep_never_moves(parameter):
    assert Keep().move(parameter, 1, rng()) == 1


def test_keep_leaves_even_a_value_outside_the_bounds_since_weights_have_its_shape():
    assert Keep().move(Integer(1, 8), 16, rng()) == 16


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "move", "remedy"),
    [
        (Uniform, (0, 1), Neighbour(), "Scale"),
        (Ordinal, ([32, 64],), Scale(), "Neighbour"),
        (Ordinal, ([32, 64],), Shift(1), "Neighbour"),
        (Categorical, (["a", "b"],), Scale(), "Resample"),
        (Categorical, (["a", "b"],), Shift(1), "Resample"),
        (Categorical, (["a", "b"],), Neighbour(), "Resample"),
        (Constant, (1,), Resample(), "Keep"),
    ],
)
def test_a_move_that_does_not_suit_is_refused_with_the_remedy(kind, arguments, move, remedy):
    with pytest.raises(SpaceError, match=remedy) as caught:
        kind(*arguments, move=move)
    assert repr(move) in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scale(()),
        lambda: Scale((0.8,)),
        lambda: Scale((1.0, 1.2)),
        lambda: Scale((0.8, 1.0, 1.2)),
        lambda: Scale((1.1, 1.2)),
        lambda: Scale((-0.8, 1.2)),
        lambda: Scale((0.8, math.inf)),
        lambda: Scale((0.8, math.nan)),
        lambda: Scale(1.2),
        lambda: Shift(),
        lambda: Shift(0.1, 0.1),
        lambda: Shift(0),
        lambda: Shift(-0.1),
        lambda: Shift("0.1"),
        lambda: Shift(fraction=1.5),
        lambda: Neighbour(0),
        lambda: Neighbour(1.5),
        lambda: Neighbour(True),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(make):
    with pytest.raises(SpaceError):
        make()


# Moves as values, and moves of one's own --------------------------------------------------------


@pytest.mark.parametrize(
    "move", [Scale(), Scale((0.5, 2)), Shift(0.2), Shift(fraction=0.1), Neighbour(2), Resample()]
)
def test_the_repr_of_a_move_makes_an_equal_move(move):
    assert eval(repr(move)) == move


def test_a_move_of_ones_own_is_kept_in_bounds():
    class Double(Move):
        def propose(self, parameter, value, rng):
            return 2 * value

    space = Space(lr=LogUniform(1e-3, 1.0, move=Double()))
    assert space.mutate({"lr": 0.25}, rng()) == {"lr": 0.5}
    assert space.mutate({"lr": 0.75}, rng()) == {"lr": 1.0}


def test_the_examples_in_the_docstrings_run():
    failures, tried = doctest.testmod(moves)
    assert tried > 0
    assert failures == 0
