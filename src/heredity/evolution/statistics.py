"""Welch's t-test with numpy alone. It knows nothing of populations.

The tail of Student's distribution comes from the continued fraction of the incomplete beta function
(Numerical Recipes, section 6.4), accurate to 1e-10 here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The two-sided p-value that two samples of at least two have the same mean (Welch 1947).

    >>> round(welch(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])), 4)
    0.0213
    >>> welch(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    0.0
    """
    variances = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    variance = sum(variances)
    if variance == 0:
        return 1.0 if a.mean() == b.mean() else 0.0
    t = (a.mean() - b.mean()) / math.sqrt(variance)
    freedom = variance**2 / (variances[0] ** 2 / (len(a) - 1) + variances[1] ** 2 / (len(b) - 1))
    return student_tails(float(t), float(freedom))


def student_tails(t: float, freedom: float) -> float:
    """The probability that Student's t is as far from 0 as `t`, on either side."""
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for 0 ≤ x ≤ 1."""
    if x in (0.0, 1.0):
        return x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction; it converges in O(√max(a, b)) terms."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            result *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
