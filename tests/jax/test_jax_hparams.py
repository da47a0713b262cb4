"""Hparams ramp on each parameter's own scale, as `Space.interpolate` has it."""

import math
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from populations import check, hparams, opened, played, round_of, setting, state

import heredity as hd
from heredity.errors import UsageError
from heredity.executors.program import traced
from heredity.jax import VectorTrainable
from heredity.jax.hparams import Hparams

SPACE = hd.Space(
    real=hd.Uniform(-1.0, 3.0),
    log=hd.LogUniform(1e-5, 1.0),
    reverse=hd.ReverseLogUniform(0.5, 0.9999),
    whole=hd.Integer(-3, 40),
    log_whole=hd.LogInteger(1, 1000),
    ordered=hd.Ordinal([0.1, 0.2, 0.8, 4.0]),
    words=hd.Ordinal(["small", "medium", "large", "huge"]),
    unordered=hd.Categorical([3.0, 1.0, 2.0]),
    fixed=hd.Constant(5),
)
HPARAMS = Hparams(SPACE)
NAMES = tuple(HPARAMS.dtypes)
at = jax.jit(HPARAMS.at)
seeds = st.integers(0, 2**32 - 1)


def between(a: Any, b: Any, index: int, steps: int) -> dict[str, Any]:
    """One member's hparams in a step of a ramp from a to b."""
    given = setting(population=1, space=SPACE)
    old, new = hparams(SPACE, [a]), hparams(SPACE, [b])
    ramp_steps = np.array([steps])
    round = round_of(given, 1, hparams=new, ramp_from=old, ramp_steps=ramp_steps)
    ramp = jax.tree.map(lambda array: array[0], HPARAMS.ramp(round))
    values = {name: value[0] for name, value in HPARAMS.cast(new).items()}
    return {name: value.item() for name, value in at(values, ramp, np.int32(index)).items()}


def near_a_tie(name: str, a: Any, b: Any, fraction: float) -> bool:
    """Whether rounding in single precision could choose the other whole number."""
    near = [SPACE.interpolate(a, b, fraction + e)[name] for e in (-1e-4, 1e-4)]
    return near[0] != near[1]


@settings(max_examples=150)
@given(seeds, st.integers(1, 20), st.integers(0, 25))
def test_a_ramp_goes_the_way_of_the_space(seed: int, steps: int, index: int) -> None:
    a, b = SPACE.sample_many(2, seed)
    fraction = min(1.0, (index + 1) / steps)
    expected = SPACE.interpolate(a, b, fraction)
    found = between(a, b, index, steps)
    for name in NAMES:
        wanted = traced(SPACE, name, [expected[name]])[0]
        if isinstance(expected[name], float) and name != "ordered":
            assert math.isclose(found[name], wanted, rel_tol=1e-5, abs_tol=1e-5), name
        elif not near_a_tie(name, a, b, fraction):
            assert found[name] == pytest.approx(wanted), name


@given(seeds, st.integers(1, 20), st.integers(0, 25))
def test_a_ramp_ends_with_exactly_the_new_hparams(seed: int, steps: int, past: int) -> None:
    a, b = SPACE.sample_many(2, seed)
    new = {name: value[0].item() for name, value in HPARAMS.cast(hparams(SPACE, [b])).items()}
    assert between(a, b, steps - 1 + past, steps) == new
    assert between(a, b, 3, 0) == new  # no ramp


def test_a_round_ramps_only_the_members_that_are_told_to() -> None:
    ordered = hd.Ordinal([0.1, 0.2, 0.3])
    space = hd.Space(lr=hd.Uniform(0.0, 1.0), decay=hd.LogUniform(1e-3, 1.0), ordered=ordered)
    functions = VectorTrainable(
        lambda k, h: jax.numpy.zeros((4, 3)),
        lambda s, h, b, k: (
            jax.numpy.roll(s, -1, 0)
            .at[-1]
            .set(jax.numpy.stack([h["lr"], h["decay"], h["ordered"]]))
        ),
        lambda s, h, k: s.sum(),
    )
    given = setting(population=2, interval=4, space=space, ramps=True)
    program = opened(functions, given)
    old = hparams(space, [{"lr": 0.0, "decay": 1e-3, "ordered": 0.1}] * 2)
    new = hparams(space, [{"lr": 1.0, "decay": 1e-1, "ordered": 0.3}] * 2)
    played(program, round_of(given, 0, hparams=new))
    np.testing.assert_allclose(state(program)[0], [[[1, 0.1, 0.3]] * 4] * 2, rtol=1e-6)
    ramp_steps = np.array([2, 0])
    played(program, round_of(given, 1, hparams=new, ramp_from=old, ramp_steps=ramp_steps))
    seen = state(program)[0]
    np.testing.assert_allclose(seen[0], [[0.5, 1e-2, 0.2], *[[1, 0.1, 0.3]] * 3], rtol=1e-5)
    np.testing.assert_allclose(seen[1], [[1, 0.1, 0.3]] * 4, rtol=1e-6)


LARGE = {
    "integer": (hd.Integer(2**33, 2**34), 2**34),
    "negative": (hd.Integer(-(2**31) - 1, 5), -(2**31) - 1),
    "log": (hd.LogInteger(1, 2**31), 2**31),
    "choices": (hd.Ordinal([1, 5_000_000_000, 6_000_000_000]), 6_000_000_000),
}


@pytest.mark.parametrize("case", LARGE)
def test_whole_numbers_that_would_become_others_are_refused(case: str) -> None:
    parameter, value = LARGE[case]
    known = Hparams(hd.Space(n=parameter))
    words = rf"`n` may be {value}, but JAX computes with int32 .* smaller ones, or enable 64 bits"
    with pytest.raises(UsageError, match=words):
        known.require_exact()
    with jax.enable_x64(True):
        Hparams(known.space).require_exact()


def test_whole_numbers_that_fit_and_the_index_of_a_choice_may_be() -> None:
    space = hd.Space(
        n=hd.Integer(-(2**31), 2**31 - 1),
        real=hd.Uniform(0, 1e12),
        size=hd.Categorical([5_000_000_000, 6_000_000_000]),
    )
    Hparams(space).require_exact()


def test_a_study_refuses_whole_numbers_that_are_too_large() -> None:
    functions = VectorTrainable(
        lambda k, h: 0.0, lambda s, h, b, k: s + h["n"], lambda s, h, k: s * 1.0
    )
    with pytest.raises(UsageError, match="`n` may be 17179869184"):
        check(functions, space=hd.Space(n=hd.Integer(2**33, 2**34)))
