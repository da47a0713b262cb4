"""Welch's t-test agrees with scipy's."""

import doctest

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from heredity.evolution import statistics
from heredity.evolution.statistics import incomplete_beta, student_tails, welch

samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).map(np.array)


@given(samples, samples)
def test_welch_agrees_with_scipy(a, b):
    assume(min(a.std(), b.std()) > 1e-6 * (1 + max(abs(a).max(), abs(b).max())))
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3, 10, 100, 1000])
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 5.0])
def test_welch_of_normal_samples(count, shift):
    rng = np.random.default_rng(count)
    a, b = rng.normal(size=count), rng.normal(shift, 3.0, size=count + 3)
    expected = stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch(a, b) == pytest.approx(expected, rel=1e-8, abs=1e-14)
    assert welch(b, a) == pytest.approx(expected, rel=1e-8, abs=1e-14)


def test_samples_without_variance():
    assert welch(np.array([1.0, 1.0]), np.array([1.0, 1.0, 1.0])) == 1.0
    assert welch(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == 0.0
    assert 0 < welch(np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0])) < 1


@given(st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0, 1))
def test_incomplete_beta_agrees_with_scipy(a, b, x):
    expected = float(special.betainc(a, b, x))
    assert incomplete_beta(a, b, x) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@given(st.floats(-50, 50), st.floats(1, 1000))
def test_student_tails_agree_with_scipy(t, freedom):
    expected = 2 * float(stats.t.sf(abs(t), freedom))
    assert student_tails(t, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-14)


def test_examples():
    assert doctest.testmod(statistics).failed == 0
