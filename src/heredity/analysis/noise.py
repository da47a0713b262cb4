"""How noisy a score is, and how much of the differences between members is more than noise.

It reads records, and knows neither hparams nor lines of descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heredity.analysis.exploits import went_on
from heredity.analysis.records import Floats, Records

# The median of a squared standard normal number; that of squares is hardly moved by the few triples
# where training took a sharp turn.
_MEDIAN_SQUARE = 0.4549


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of a study's scores.

    Attributes:
        deviation: the standard deviation of a score around the trend of its member. NaN if none
            went on twice.
        samples: from so many it was estimated.
        reliability: the part of the variance between members' scores at one time that is not
            noise, 0 … 1, as the median over the times at which at least four have a score. NaN if
            that is unknown.
        times: at so many times they were compared.
    """

    deviation: float
    samples: int
    reliability: float
    times: int


def noise(records: Records) -> Noise:
    """The noise of the first objective's scores.

    Three scores in a row, of a member that goes on with the weights and hparams it has, lie on a
    line but for noise of variance s² and the trend's own curvature: a − 2b + c has variance 6·s²
    (Gasser, Sroka and Jennen-Steinmetz 1986, "Residual variance and residual pattern in nonlinear
    regression").
    """
    bends = _bends(records)
    variance = float(np.median(bends**2)) / _MEDIAN_SQUARE / 6 if len(bends) else np.nan
    between = _variances(records)
    parts = np.clip(1 - variance / between, 0, 1) if len(between) else between
    reliability = float(np.median(parts)) if len(parts) else np.nan
    return Noise(float(np.sqrt(variance)), len(bends), reliability, len(between))


def _bends(records: Records) -> Floats:
    """a − 2b + c of each three scores in a row."""
    alone = went_on(records)
    third = np.flatnonzero(alone)
    third = third[alone[records.source[third]]]
    second = records.source[third]
    first = records.source[second]
    even = records.steps[third] == records.steps[second]
    scores = records.scores
    bends: Floats = (scores[first] - 2 * scores[second] + scores[third])[even]
    return bends


def _variances(records: Records) -> Floats:
    """Of the scores that members hold at one time, where they differ at all."""
    rows = (row[row >= 0] for row in records.standing(records.grid()))
    scores = [values[np.isfinite(values)] for values in (records.scores[row] for row in rows)]
    found = np.array([values.var(ddof=1) for values in scores if len(values) >= 4])
    return found[found > 0]
