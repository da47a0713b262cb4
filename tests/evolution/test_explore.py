"""Exploring: in bounds, always moving, and what is part of the weights stays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import UsageError
from heredity.evolution.explore import MoveAll, Perturb, as_explore
from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogUniform,
    Resample,
    Scale,
    Shift,
    Space,
    Uniform,
)
from heredity.testing import strategies


@given(strategies.spaces(), st.sampled_from([0.0, 0.25, 1.0]), strategies.generators(), st.data())
def test_perturb_stays_in_bounds_and_moves_all_that_can(space, resample, rng, data):
    """REFERENCE: mutated values leave their bounds; a value that reaches 0 stays there."""
    hparams = data.draw(strategies.hparams(space))
    explored = Perturb(resample).explore(space, hparams, rng)
    assert space.check(explored) == explored
    for name, parameter in space.items():
        fixed = name in space.kept or parameter.single
        assert (explored[name] == hparams[name]) == fixed


def test_perturb_makes_each_hparams_own_move():
    space = Space(lr=LogUniform(1e-4, 1.0), x=Uniform(0, 1, move=Shift(0.1)))
    rng = np.random.default_rng(0)
    moved = [Perturb().explore(space, {"lr": 0.1, "x": 0.5}, rng) for _ in range(100)]
    assert {round(h["lr"], 6) for h in moved} == {0.08, 0.12}
    assert {round(h["x"], 6) for h in moved} == {0.4, 0.6}
    pairs = {(h["lr"], h["x"]) for h in moved}
    assert len(pairs) == 4  # each hparam with a draw of its own


@pytest.mark.parametrize("resample", [0.0, 0.25, 1.0])
def test_how_often_perturb_draws_afresh(resample):
    space, rng = Space(x=Uniform(0, 1, move=Shift(0.1))), np.random.default_rng(0)
    drawn = [Perturb(resample).explore(space, {"x": 0.5}, rng)["x"] for _ in range(2000)]
    afresh = np.mean([round(abs(x - 0.5), 9) != 0.1 for x in drawn])
    assert afresh == pytest.approx(resample, abs=0.03)


def test_perturb_never_redraws_what_is_part_of_the_weights():
    space = Space(width=Integer(1, 64, move=Keep()), kind=Constant("mlp"), x=Uniform(0, 1))
    explored = Perturb(1.0).explore(
        space, {"width": 8, "kind": "mlp", "x": 0.5}, np.random.default_rng(0)
    )
    assert (explored["width"], explored["kind"]) == (8, "mlp")
    assert explored["x"] != 0.5


def test_one_move_for_all():
    space = Space(a=Categorical(["x", "y"]), b=Uniform(0, 1), c=Integer(1, 9, move=Keep()))
    explored = MoveAll(Resample()).explore(
        space, {"a": "x", "b": 0.5, "c": 3}, np.random.default_rng(0)
    )
    assert (explored["a"], explored["c"]) == ("y", 3)
    assert explored["b"] != 0.5


def test_what_may_be_given_as_explore():
    assert as_explore(None) is None
    assert as_explore(Keep()) is None
    assert as_explore(Scale()) == MoveAll(Scale())
    assert as_explore(Perturb(0.1)) == Perturb(0.1)
    with pytest.raises(UsageError, match="explore is"):
        as_explore(0.2)


@pytest.mark.parametrize("resample", [-0.1, 1.1, float("nan")])
def test_probabilities_that_make_no_sense(resample):
    with pytest.raises(UsageError, match="probability"):
        Perturb(resample)
