"""Shapes fitted to schedules: each is known again, noise is none, and the code says the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import heredity as hd
from heredity.analysis.curves import Constant, Cosine, Curve, Exponential, Linear, Step
from heredity.analysis.fit import MOST_CUTS, Fit, fits
from heredity.analysis.records import read
from heredity.analysis.schedule import Schedule, Segment
from toys import run, toy_study

LOG = hd.LogUniform(1e-6, 1.0)
PLAIN = hd.Uniform(0.0, 1.0)
REVERSE = hd.ReverseLogUniform(0.0, 0.9999)

PARAMETERS: dict[str, tuple[Any, float, float]] = {
    "log": (LOG, 1e-5, 0.5),
    "plain": (PLAIN, 0.05, 0.95),
    "reverse log": (REVERSE, 0.1, 0.999),
}
"""And between which values schedules are drawn."""


def schedule(values: Sequence[Any], lengths: Sequence[int] | int = 50) -> Schedule:
    lengths = [lengths] * len(values) if isinstance(lengths, int) else lengths
    edges = [0, *itertools.accumulate(lengths)]
    return Schedule(
        tuple(
            Segment(a, b, {"x": value}, trial, 0, None)
            for trial, ((a, b), value) in enumerate(
                zip(itertools.pairwise(edges), values, strict=True)
            )
        )
    )


def fitted(schedule: Schedule, parameter: Any) -> list[Fit]:
    return fits(schedule, hd.Space(x=parameter))["x"]


def sampled(curve: Curve, lengths: Sequence[int]) -> Schedule:
    """The schedule that holds, in each segment, the curve's value in its middle."""
    ends = np.cumsum(lengths)
    middles = ends - (np.array(lengths) + 1) / 2
    return schedule([float(v) for v in curve.at(middles)], lengths)


lengths = st.lists(st.integers(5, 60), min_size=16, max_size=40)


@st.composite
def ends(draw: st.DrawFn, parameter: Any, low: float, high: float) -> tuple[float, float]:
    """Two values, far enough from each other that the shapes between them differ."""
    first, last = draw(st.floats(low, high)), draw(st.floats(low, high))
    assume(abs(parameter.encode(first) - parameter.encode(last)) > 0.1)
    return first, last


# Shapes --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [Linear, Cosine, Exponential])
@pytest.mark.parametrize("scale", PARAMETERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_ramp_is_known_again(shape: Any, scale: str, data: st.DataObject) -> None:
    parameter, low, high = PARAMETERS[scale]
    pieces = data.draw(lengths)
    first, last = data.draw(ends(parameter, low, high))
    more = {"origin": parameter.origin} if shape is Exponential else {}
    curve = shape(first, last, sum(pieces), **more)
    made = sampled(curve, pieces)
    best = fitted(made, parameter)[0]
    assert best.shape == curve.shape
    assert best.explained > 0.999
    middles = np.array([(s.start + s.stop - 1) / 2 for s in made])
    assert best.curve.at(middles).tolist() == pytest.approx(
        [s.hparams["x"] for s in made], rel=1e-3
    )


@pytest.mark.parametrize("scale", PARAMETERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_step_is_known_again(scale: str, data: st.DataObject) -> None:
    parameter, low, high = PARAMETERS[scale]
    counts = data.draw(st.lists(st.integers(6, 12), min_size=2, max_size=4))
    codes = data.draw(st.permutations([0.1, 0.3, 0.6, 0.9]))[: len(counts)]
    middle = (parameter.encode(low), parameter.encode(high))
    levels = [parameter.decode(float(np.interp(c, [0, 1], middle))) for c in codes]
    values = [level for level, count in zip(levels, counts, strict=True) for _ in range(count)]
    best = fitted(schedule(values, 7), parameter)[0]
    assert best.explained > 0.999
    assert isinstance(best.curve, Step)
    assert best.curve.edges == tuple(7 * n for n in itertools.accumulate(counts[:-1]))
    assert best.curve.levels == pytest.approx(levels)


@settings(max_examples=25)
@given(st.sampled_from(list(PARAMETERS)), st.floats(0, 1), lengths)
def test_what_never_changes_is_constant(scale: str, code: float, pieces: list[int]) -> None:
    value = PARAMETERS[scale][0].decode(code)
    (only,) = fitted(schedule([value] * len(pieces), pieces), PARAMETERS[scale][0])
    assert (only.curve, only.explained) == (Constant(value), 1.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([Linear, Cosine, Exponential]))
def test_noise_is_not_explained(seed: int, shape: Any) -> None:
    """The more of it there is, the less."""
    curve = shape(0.2, 0.8, 1600)
    values = curve.at(np.arange(40) * 40 + 19.5)
    noise = np.random.default_rng(seed).normal(size=40)
    explained = []
    for size in (0.0, 0.01, 0.05):
        found = fitted(schedule(np.clip(values + size * noise, 0.01, 1).tolist(), 40), PLAIN)
        explained.append(next(f.explained for f in found if f.shape == curve.shape))
    assert explained == sorted(explained, reverse=True)
    assert explained[0] > 0.999 > explained[2]


def test_pure_noise_is_mostly_constant() -> None:
    """Free numbers are paid for, those that were searched for too."""
    named = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(scale=0.1, size=40)
        named.append(fitted(schedule(np.clip(0.5 + noise, 0, 1).tolist()), PLAIN)[0].shape)
    assert named.count("constant") >= 35


def test_the_shape_below_noise_is_found() -> None:
    named = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(scale=0.03, size=60)
        curve = Cosine(0.9, 0.1, 60 * 50)
        values = curve.at(np.arange(60) * 50 + 24.5) + noise
        named.append(fitted(schedule(np.clip(values, 0, 1).tolist()), PLAIN)[0].shape)
    assert named.count("cosine") >= 18


# What is minimized ---------------------------------------------------------------------


def of(found: list[Fit], shape: str) -> Fit:
    return next(fit for fit in found if fit.shape == shape)


def test_segments_weigh_as_many_steps_as_they_have() -> None:
    found = fitted(schedule([0.0, 1.0], [30, 10]), PLAIN)
    assert [fit.curve for fit in found] == [Constant(0.25)]  # two segments are too few for more
    assert found[0].explained == 0.0


def test_a_straight_line_is_that_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    pieces, values = rng.integers(5, 50, 20), rng.uniform(0.2, 0.8, 20)
    middles = np.cumsum(pieces) - (pieces + 1) / 2
    slope, start = np.polyfit(middles, values, 1, w=np.sqrt(pieces))
    fit = of(fitted(schedule(values.tolist(), pieces.tolist()), PLAIN), "linear")
    assert isinstance(fit.curve, Linear)
    assert fit.curve.first == pytest.approx(start)
    assert fit.curve.last == pytest.approx(start + slope * pieces.sum())
    mean = np.average(values, weights=pieces)
    left = np.average((values - start - slope * middles) ** 2, weights=pieces)
    assert fit.explained == pytest.approx(
        1 - left / np.average((values - mean) ** 2, weights=pieces)
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from(list(PARAMETERS)))
@example(seed=34, scale="log")  # whose line begins at the lower bound
def test_no_other_ends_fit_better(seed: int, scale: str) -> None:
    """Where there is no closed form either, and at a bound: against those around what was found."""
    parameter, low, high = PARAMETERS[scale]
    rng = np.random.default_rng(seed)
    values = rng.uniform(low, high, 24).tolist()
    found = fitted(schedule(values), parameter)
    axis, middles = parameter.axis, np.arange(24) * 50 + 24.5

    def squares(curve: Curve) -> float:
        return sum(
            (axis.warp(float(v)) - axis.warp(w)) ** 2
            for v, w in zip(curve.at(middles), values, strict=True)
        )

    for shape in (Linear, Cosine):
        curve = of(found, shape.shape).curve
        assert isinstance(curve, shape)
        first, last = axis.warp(curve.first), axis.warp(curve.last)
        for a, b in itertools.product((-0.3, -0.01, 0.0, 0.01, 0.3), repeat=2):
            ends = (parameter.clip(axis.unwarp(end)) for end in (first + a, last + b))
            assert squares(shape(*ends, curve.stop)) >= squares(curve) * (1 - 1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), changes=st.integers(1, 3))
def test_no_other_edges_fit_better(seed: int, changes: int) -> None:
    """Against all of them."""
    rng = np.random.default_rng(seed)
    levels = rng.permutation([0.1, 0.4, 0.7, 1.0])[np.sort(rng.integers(0, changes + 1, 20))]
    values = np.clip(levels + rng.normal(scale=0.05, size=20), 0, 1)
    found = of(fitted(schedule(values.tolist(), 1), PLAIN), "step").curve
    assert isinstance(found, Step)

    def squares(cuts: tuple[int, ...]) -> float:
        return sum(float(np.sum((part - part.mean()) ** 2)) for part in np.split(values, cuts))

    every = itertools.combinations(range(1, 20), len(found.edges))
    assert squares(found.edges) == pytest.approx(min(map(squares, every)))


def test_a_long_schedule_changes_near_the_right_segment() -> None:
    values = [0.2] * 3_333 + [0.7] * 6_667
    best = fitted(schedule(values, 1), PLAIN)[0]
    assert isinstance(best.curve, Step)
    assert best.curve.edges[0] == pytest.approx(3_333, abs=10_000 / MOST_CUTS)
    assert best.explained > 0.99


# Kinds of hparams ----------------------------------------------------------------------


def test_ordered_choices_have_levels_that_they_can_have() -> None:
    sizes = hd.Ordinal([32, 64, 128, 256])
    found = fitted(schedule([32] * 8 + [64] * 8 + [256] * 8), sizes)
    assert [fit.shape for fit in found] == ["step", "constant"]
    assert found[0].curve == Step((32, 64, 256), (400, 800))
    assert of(found, "constant").curve.level in sizes.choices
    words = fitted(schedule(["low"] * 8 + ["high"] * 8), hd.Ordinal(["low", "high"]))
    assert words[0].code == "x = 'low' if step < 400 else 'high'"


def test_whole_numbers_are_rounded_by_the_code_and_are_whole_as_levels() -> None:
    ramp = fitted(schedule([round(2 + i * 1.1) for i in range(30)]), hd.Integer(1, 64))[0]
    assert ramp.shape == "linear"
    assert ramp.code.startswith("x = round(")
    step = fitted(schedule([3] * 10 + [8] * 10), hd.LogInteger(1, 64))[0]
    assert step.code == "x = 3 if step < 500 else 8"


def test_what_has_no_order_has_no_shape() -> None:
    space = hd.Space(x=PLAIN, act=hd.Categorical(["a", "b"]), depth=hd.Constant(3))
    found = Schedule((Segment(0, 5, {"x": 0.5, "act": "a", "depth": 3}, 0, 0, None),))
    assert list(fits(found, space)) == ["x"]


def test_values_on_both_sides_of_0_do_not_rise_exponentially() -> None:
    both = hd.Uniform(-1.0, 1.0)
    found = fitted(schedule(np.linspace(-0.9, 0.9, 20).tolist()), both)
    assert found[0].shape == "linear"
    assert "exponential" not in {fit.shape for fit in found}
    zero = fitted(schedule(np.linspace(0.0, 0.9, 20).tolist()), PLAIN)
    assert "exponential" not in {fit.shape for fit in zero}


@pytest.mark.parametrize("count", range(1, 16))
def test_a_short_schedule_has_no_elaborate_shape(count: int) -> None:
    values = np.random.default_rng(count).uniform(0.1, 0.9, count).tolist()
    for fit in fitted(schedule(values), PLAIN):
        assert fit.curve.numbers == 1 or count >= 2 * fit.curve.numbers
        assert 0 <= fit.explained <= 1
        assert math.isfinite(fit.bic)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_values_can_be_fitted(data: st.DataObject) -> None:
    """Those at the ends of a scale too."""
    parameter = data.draw(
        st.sampled_from(
            [
                hd.LogUniform(1e-300, 1e300),
                hd.ReverseLogUniform(-1e6, 1 - 1e-15),
                hd.Uniform(-1e100, 1e100),
                hd.Integer(0, 2),
            ]
        )
    )
    codes = data.draw(st.lists(st.sampled_from([0.0, 1e-9, 0.5, 1.0]), min_size=1, max_size=25))
    for fit in fitted(schedule([parameter.decode(u) for u in codes]), parameter):
        assert 0 <= fit.explained <= 1
        assert all(math.isfinite(value) for value in fit.curve.at(np.array([0.0, 3.0])))


# Code ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from(list(PARAMETERS)))
def test_the_code_says_what_the_curve_does(seed: int, scale: str) -> None:
    parameter, low, high = PARAMETERS[scale]
    values = np.random.default_rng(seed).uniform(low, high, 24).tolist()
    found = fitted(schedule(values), parameter)
    assert {fit.shape for fit in found} == {"constant", "linear", "cosine", "exponential", "step"}
    for fit in found:
        for step in range(0, 1200, 100):
            names = {"step": step, "cos": math.cos, "pi": math.pi}
            exec(fit.code, names)
            (value,) = fit.curve.at(np.array([float(step)]))
            assert names["x"] == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_the_code_is_a_line_to_read() -> None:
    assert Linear(0.1, 0.001, 200).code == "0.1 + (0.001 - 0.1) * step / 200"
    assert Cosine(0.1, 0.0, 200).code == "0 + (0.1 - 0) * (1 + cos(pi * step / 200)) / 2"
    assert Exponential(0.1, 0.001, 200).code == "0.1 * (0.001 / 0.1) ** (step / 200)"
    assert Exponential(0.9, 0.99, 9, origin=1.0).code == "1 - 0.1 * (0.01 / 0.1) ** (step / 9)"
    assert Step((0.1, 0.01), (50,)).code == "0.1 if step < 50 else 0.01"
    assert Constant(3).code == "3"


# Studies -------------------------------------------------------------------------------


def test_a_schedule_as_found_is_fitted() -> None:
    result = run(toy_study(budget=hd.Steps(60)))
    space = read(result.population).space
    found = fits(result.schedule(), space)
    assert found
    for name, ranked in found.items():
        assert ranked == sorted(ranked, key=lambda fit: fit.bic)
        assert all(fit.code.startswith(f"{name} = ") for fit in ranked)


def test_nothing_cannot_be_fitted() -> None:
    for empty in (Schedule(()), schedule([0.5], 0)):
        with pytest.raises(hd.UsageError, match="no steps"):
            fitted(empty, PLAIN)


def test_a_measurement_without_training_counts_for_nothing() -> None:
    """The last trial of a schedule may be an evaluation, of no steps."""
    values = [0.2] * 10 + [0.7] * 10
    assert fitted(schedule([*values, 0.9], [5] * 20 + [0]), PLAIN) == fitted(
        schedule(values, 5), PLAIN
    )
