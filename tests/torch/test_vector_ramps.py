"""Rows ramp as their space interpolates, all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import heredity as hd
from heredity.executors.program import Round, traced
from heredity.torch.vector.ramps import Ramp, columns_of

SPACE = hd.Space(
    plain=hd.Uniform(-1.0, 1.0),
    log=hd.LogUniform(1e-5, 1.0),
    discount=hd.ReverseLogUniform(0.9, 0.9999),
    layers=hd.Integer(1, 9),
    width=hd.LogInteger(8, 512),
    size=hd.Ordinal([16, 32, 64, 128]),
    rate=hd.Ordinal([0.1, 0.5, 0.2]),
    name=hd.Ordinal(["small", "medium", "large"]),
    kind=hd.Categorical(["a", "b", "c"]),
    fixed=hd.Constant(3),
)
ROWS = 4


def ramp_of(old: Any, new: Any, steps: Any, rows: slice = slice(0, ROWS)) -> Ramp:
    whole = np.zeros(ROWS, dtype=np.int64)
    before, after = columns_of(SPACE, old), columns_of(SPACE, new)
    measured = whole == 0
    return Ramp(
        SPACE, Round(whole, whole, whole, after, 30, measured, before, np.array(steps)), rows
    )


@settings(max_examples=20)
@given(st.integers(0, 1000), st.lists(st.integers(0, 9), min_size=ROWS, max_size=ROWS))
def test_each_row_goes_the_way_of_the_space(seed: int, steps: list[int]) -> None:
    old, new = SPACE.sample_many(ROWS, seed), SPACE.sample_many(ROWS, seed + 1)
    ramp = ramp_of(old, new, steps)
    assert ramp.steps == max(steps)
    for step in range(max(steps) + 1):
        found = ramp.at(step)
        for row in range(ROWS):
            fraction = min(1.0, (step + 1) / max(steps[row], 1))
            expected = SPACE.interpolate(old[row], new[row], fraction)
            for name, values in found.items():
                wanted = traced(SPACE, name, [expected[name]])
                assert values.dtype == wanted.dtype
                ties = [
                    traced(SPACE, name, [SPACE.interpolate(old[row], new[row], near)[name]])
                    for near in (fraction - 1e-9, fraction + 1e-9)
                ]
                if ties[0].dtype.kind == "f" and name != "rate":
                    np.testing.assert_allclose(values[row], wanted[0], rtol=1e-9, atol=1e-12)
                else:  # where rounding is a tie, either
                    assert values[row] in [wanted[0], *(tie[0] for tie in ties)]


def test_a_ramp_ends_with_exactly_the_new_values() -> None:
    old, new = SPACE.sample_many(ROWS, 0), SPACE.sample_many(ROWS, 1)
    after = columns_of(SPACE, new)
    ramp = ramp_of(old, new, [5, 3, 0, 1])
    for name, values in ramp.at(4).items():
        assert (values == after[name]).all()
    first = ramp.at(0)
    assert first["log"][0] != after["log"][0]
    assert (first["log"][2:] == after["log"][2:]).all()


def test_a_group_ramps_its_own_rows() -> None:
    old, new = SPACE.sample_many(ROWS, 0), SPACE.sample_many(ROWS, 1)
    whole, part = (ramp_of(old, new, [5, 3, 9, 1], rows) for rows in (slice(0, 4), slice(1, 3)))
    assert part.steps == 9
    assert all((part.at(1)[name] == values[1:3]).all() for name, values in whole.at(1).items())


def test_without_a_ramp_there_is_none() -> None:
    zeros = np.zeros(ROWS, dtype=np.int64)
    new = columns_of(SPACE, SPACE.sample_many(ROWS, 0))
    ramp = Ramp(SPACE, Round(zeros, zeros, zeros, new, 5, zeros == 0), slice(0, ROWS))
    assert ramp.steps == 0
