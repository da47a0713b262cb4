"""The space: hparams as a whole."""

import copy
import doctest
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity import space as package
from heredity.errors import HparamsError, MissingExtra, SpaceError
from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogUniform,
    Neighbour,
    Ordinal,
    Resample,
    Scale,
    Shift,
    Space,
    Uniform,
)
from heredity.space import space as module
from heredity.testing import strategies

DIGITS = Space(
    lr=LogUniform(1e-4, 1.0),
    momentum=Uniform(0.0, 0.99),
    batch_size=Ordinal([32, 64, 128]),
    activation=Categorical(["relu", "tanh"]),
    width=Integer(16, 256, move=Keep()),
    epochs=Constant(5),
)
HPARAMS = {
    "lr": 0.01,
    "momentum": 0.9,
    "batch_size": 64,
    "activation": "relu",
    "width": 32,
    "epochs": 5,
}
MOVABLE = ("lr", "momentum", "batch_size", "activation")


def rng(seed=0):
    return np.random.Generator(np.random.Philox(seed))


# A mapping --------------------------------------------------------------------------------------


def test_a_space_is_a_mapping_in_declared_order():
    assert DIGITS.names == tuple(DIGITS) == tuple(HPARAMS)
    assert len(DIGITS) == 6
    assert DIGITS["lr"] == LogUniform(1e-4, 1.0)
    assert "lr" in DIGITS
    assert "learning_rate" not in DIGITS


def test_a_space_cannot_be_changed():
    with pytest.raises(TypeError):
        DIGITS["lr"] = Constant(1)
    with pytest.raises(AttributeError):
        DIGITS.names = ()
    declared = {"lr": Uniform(0, 1)}
    space = Space(declared)
    declared["momentum"] = Uniform(0, 1)
    assert space.names == ("lr",)


def test_keywords_and_a_mapping_declare_the_same():
    assert Space({"lr": Uniform(0, 1), "b": Constant(1)}) == Space(lr=Uniform(0, 1), b=Constant(1))


def test_the_order_is_part_of_a_space_since_the_encoding_follows_it():
    assert Space(a=Constant(1), b=Constant(2)) != Space(b=Constant(2), a=Constant(1))


@given(strategies.spaces())
def test_a_space_survives_copies_pickles_and_its_own_repr(space):
    for again in (
        copy.deepcopy(space),
        pickle.loads(pickle.dumps(space)),
        eval(repr(space), vars(package)),
    ):
        assert again == space
        assert hash(again) == hash(space)


def test_kept_names_are_those_that_come_with_the_weights():
    assert DIGITS.kept == {"width", "epochs"}


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Space(), "needs an hparam"),
        (lambda: Space({}), "needs an hparam"),
        (lambda: Space({"lr": Constant(1)}, lr=Constant(1)), "lr is declared twice"),
        (lambda: Space(lr=0.1), r"lr is the plain value 0.1: write Constant\(0.1\)"),
        (lambda: Space(batch=[32, 64]), "batch is the plain list.*Ordinal"),
        (lambda: Space(lr=None), "lr must be a parameter"),
        (lambda: Space(lr=LogUniform), "lr must be a parameter"),
        (lambda: Space({"learning rate": Constant(1)}), "Python identifier.*'learning rate'"),
        (lambda: Space({"": Constant(1)}), "identifier"),
        (lambda: Space({1: Constant(1)}), "identifier"),
        (lambda: Space({"lambda": Constant(1)}), "keyword: call the hparam `lambda_`"),
        (lambda: Space(_lr=Constant(1)), "underscore"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declare, message):
    with pytest.raises(SpaceError, match=message):
        declare()


# Sampling ---------------------------------------------------------------------------------------


@given(strategies.spaces(), strategies.generators())
def test_samples_fit_their_space(space, source):
    hparams = space.sample(source)
    assert space.check(hparams) == hparams


@pytest.mark.parametrize("method", ["independent", "sobol"])
def test_a_sampled_population_follows_from_its_seed_alone(method):
    population = DIGITS.sample_many(10, 7, method)
    assert population == DIGITS.sample_many(10, rng(7), method)
    assert population == DIGITS.sample_many(20, 7, method)[:10]
    assert population != DIGITS.sample_many(10, 8, method)
    assert all(DIGITS.check(hparams) == hparams for hparams in population)


@pytest.mark.parametrize("method", ["independent", "sobol"])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 17])
def test_a_sampled_population_has_the_size_asked_for(method, count):
    assert len(DIGITS.sample_many(count, 0, method)) == count


def test_sobol_covers_the_prior_evenly():
    population = DIGITS.sample_many(16, 3, "sobol")
    sixteenths = {
        int(16 * DIGITS["momentum"].encode(hparams["momentum"])) for hparams in population
    }
    assert sixteenths == set(range(16))


def test_an_unknown_method_is_refused():
    with pytest.raises(SpaceError, match="latin"):
        DIGITS.sample_many(4, 0, "latin")


def test_sobol_without_scipy_says_what_to_install_and_draws_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingExtra, match="pip install"):
        DIGITS.sample_many(4, 0, "sobol")


# Checking ---------------------------------------------------------------------------------------


def test_check_orders_and_types_the_values():
    given_values = {**dict(reversed(HPARAMS.items())), "momentum": 0, "width": 32.0}
    checked = DIGITS.check(given_values)
    assert list(checked) == list(HPARAMS)
    assert (type(checked["momentum"]), type(checked["width"])) == (float, int)


def test_check_lists_every_problem_at_once():
    wrong = {**HPARAMS, "momentun": 0.9, "lr": 3, "batch_size": 48}
    del wrong["momentum"]
    with pytest.raises(HparamsError) as caught:
        DIGITS.check(wrong)
    message = str(caught.value)
    for part in (
        "momentum is missing",
        "Did you mean `momentum`?",
        "lr is 3.0, outside",
        "batch_size must be one of [32, 64, 128], not 48",
    ):
        assert part in message


def test_check_partial_takes_some_of_the_names_but_no_others():
    assert DIGITS.check_partial({"lr": 1}) == {"lr": 1.0}
    assert DIGITS.check_partial({}) == {}
    with pytest.raises(HparamsError, match="Did you mean `lr`"):
        DIGITS.check_partial({"lrr": 1})
    with pytest.raises(HparamsError, match="outside"):
        DIGITS.check_partial({"lr": 10})


# Mutating ---------------------------------------------------------------------------------------


@given(strategies.spaces(), strategies.generators(), st.data())
def test_all_that_can_move_does_and_all_that_is_kept_stays(space, source, data):
    before = data.draw(strategies.hparams(space))
    after = space.mutate(before, source)
    assert space.check(after) == after
    assert list(after) == list(space)
    for name, parameter in space.items():
        stays = name in space.kept or parameter.single
        assert (after[name] == before[name]) == stays


def test_hparams_move_independently_of_each_other():
    """Defect elsewhere: one random key for all hparams, so that all move together."""
    space = Space({f"h{i}": LogUniform(1e-3, 1e3) for i in range(8)})
    before = dict.fromkeys(space, 1.0)
    source = rng()
    ups = np.array(
        [[value > 1.0 for value in space.mutate(before, source).values()] for _ in range(2_000)]
    )
    correlation = np.corrcoef(ups.T) - np.eye(8)
    assert np.abs(correlation).max() < 0.1
    assert len({tuple(row) for row in ups.tolist()}) > 200  # of 2**8 patterns


def test_clones_of_one_parent_mutate_differently():
    """Defect elsewhere: all clones of one parent mutate identically."""
    children = [DIGITS.mutate(HPARAMS, rng(seed)) for seed in range(64)]
    assert len({tuple(child.values()) for child in children}) == 2**3  # activations have no choice


def test_mutating_leaves_the_given_hparams_alone():
    before = dict(HPARAMS)
    DIGITS.mutate(before, rng())
    assert before == HPARAMS


def test_given_moves_replace_the_declared_ones():
    after = DIGITS.mutate(HPARAMS, rng(), {"lr": Scale((0.5, 2.0)), "momentum": Keep()})
    assert after["lr"] in (pytest.approx(0.005), pytest.approx(0.02))
    assert after["momentum"] == 0.9
    assert after["batch_size"] != 64


@pytest.mark.parametrize("name", ["width", "epochs"])
def test_what_is_part_of_the_weights_cannot_be_given_a_move(name):
    with pytest.raises(SpaceError, match=f"{name} comes with the weights"):
        DIGITS.mutate(HPARAMS, rng(), {name: Resample()})


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({"lrr": Scale()}, "Did you mean `lr`"),
        ({"activation": Scale()}, "Resample"),
        ({"lr": Neighbour()}, "Scale"),
        ({"lr": 0.2}, "expected a move"),
    ],
)
def test_moves_that_make_no_sense_are_refused(moves, message):
    with pytest.raises(SpaceError, match=message):
        DIGITS.mutate(HPARAMS, rng(), moves)


def test_mutating_needs_the_whole_of_the_hparams():
    with pytest.raises(HparamsError, match="momentum is missing"):
        DIGITS.mutate({"lr": 0.1}, rng())


# The unit cube ----------------------------------------------------------------------------------


@given(strategies.spaces(), st.data())
def test_decode_inverts_encode(space, data):
    hparams = data.draw(strategies.hparams(space))
    vector = space.encode(hparams)
    assert vector.shape == (len(space),)
    assert vector.dtype == np.float64
    assert ((vector >= 0) & (vector <= 1)).all()
    again = space.decode(vector)
    assert space.check(again) == again
    np.testing.assert_allclose(space.encode(again), vector, atol=1e-9)


@pytest.mark.parametrize("vector", [[0.5], np.zeros((6, 1)), 0.5])
def test_a_vector_of_another_shape_is_refused(vector):
    with pytest.raises(HparamsError, match="6 numbers"):
        DIGITS.decode(vector)


# Interpolation ----------------------------------------------------------------------------------

OTHER = {
    "lr": 1.0,
    "momentum": 0.5,
    "batch_size": 128,
    "activation": "tanh",
    "width": 64,
    "epochs": 5,
}


def test_halfway_between_two_hparams_on_each_scale():
    space = Space(
        lr=LogUniform(1e-4, 1.0),
        depth=Integer(1, 9),
        batch_size=Ordinal([32, 64, 128]),
        activation=Categorical(["relu", "tanh"]),
        width=Integer(16, 256, move=Keep()),
    )
    a = {"lr": 1e-4, "depth": 2, "batch_size": 32, "activation": "relu", "width": 16}
    b = {"lr": 1e-2, "depth": 8, "batch_size": 128, "activation": "tanh", "width": 32}
    half = space.interpolate(a, b, 0.5)
    assert half.pop("lr") == pytest.approx(1e-3)
    assert half == {"depth": 5, "batch_size": 64, "activation": "tanh", "width": 32}


def test_categories_and_kept_hparams_switch_at_once():
    start = DIGITS.interpolate(HPARAMS, OTHER, 0.0)
    assert start == {**HPARAMS, "activation": "tanh", "width": 64}


@given(strategies.spaces(), st.floats(0.0, 1.0), st.data())
def test_between_two_hparams_all_fit_the_space(space, fraction, data):
    a, b = data.draw(strategies.hparams(space)), data.draw(strategies.hparams(space))
    between = space.interpolate(a, b, fraction)
    assert space.check(between) == between
    assert space.interpolate(a, b, 1.0) == b
    assert space.interpolate(b, b, fraction) == b


@given(strategies.spaces(), st.data())
def test_interpolation_never_turns_back(space, data):
    a, b = data.draw(strategies.hparams(space)), data.draw(strategies.hparams(space))
    way = [space.encode(space.interpolate(a, b, i / 10)) for i in range(11)]
    steps = np.diff(way, axis=0) * np.sign(space.encode(b) - space.encode(a))
    assert (steps >= -1e-9).all()


# Other bounds -----------------------------------------------------------------------------------


def test_with_bounds_changes_one_parameter_and_leaves_the_space_alone():
    narrow = DIGITS.with_bounds("lr", 1e-3, 0.1)
    assert narrow["lr"] == LogUniform(1e-3, 0.1)
    assert DIGITS["lr"] == LogUniform(1e-4, 1.0)
    assert {**narrow, "lr": None} == {**DIGITS, "lr": None}


def test_hparams_outside_narrowed_bounds_move_inside():
    narrow = DIGITS.with_bounds("lr", 1e-3, 0.1)
    for seed in range(10):
        after = narrow.mutate({**HPARAMS, "lr": 0.9}, rng(seed))
        assert narrow.check(after) == after
        assert 0.0 <= narrow.encode({**HPARAMS, "lr": 0.9})[0] <= 1.0


@pytest.mark.parametrize(
    ("name", "bounds", "message"),
    [
        ("lrr", (0.1, 1), "Did you mean `lr`"),
        ("width", (1, 2), "part of the weights"),
        ("epochs", (1, 2), "part of the weights"),
        ("activation", (0, 1), "no bounds"),
        ("batch_size", (32, 64), "no bounds"),
        ("lr", (0.0, 1.0), "lr.*above 0"),
        ("lr", (1.0, 0.1), "lr.*lower to the upper"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(name, bounds, message):
    with pytest.raises(SpaceError, match=message):
        DIGITS.with_bounds(name, *bounds)


def test_a_move_longer_than_the_new_bounds_still_moves():
    space = Space(h=Uniform(0, 1, move=Shift(0.2))).with_bounds("h", 0.45, 0.55)
    assert space.mutate({"h": 0.5}, rng())["h"] in (0.45, 0.55)


def test_the_examples_in_the_docstrings_run():
    failures, tried = doctest.testmod(module)
    assert tried > 0
    assert failures == 0
