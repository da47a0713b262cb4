"""Several objectives at once: who dominates whom, and one number that says who is fitter.

It works on arrays of scores of shape (trials, objectives), higher better in each and all finite,
and knows nothing of trials, populations or algorithms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def fronts(scores: Scores) -> NDArray[np.int64]:
    """Each row's front, by non-dominated sorting: 0 where no row dominates it, 1 where only rows of
    front 0 do, and so on. A row dominates another that it is nowhere worse than and somewhere
    better (Deb et al. 2002, NSGA-II, section III-A).

    >>> fronts(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 1.0]])).tolist()
    [0, 0, 0, 1]
    """
    dominates = _dominates(scores)
    found = np.full(len(scores), -1, dtype=np.int64)
    front = 0
    while (left := found < 0).any():
        found[left & ~dominates[left].any(axis=0)] = front
        front += 1
    return found


def crowding(scores: Scores, front: NDArray[np.int64]) -> NDArray[np.float64]:
    """How alone each row stands in its front: the sum, over the objectives, of the gap between its
    neighbours in units of the front's range; infinite at either end (NSGA-II, section III-B).

    >>> crowding(np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]]), np.zeros(3, int)).tolist()
    [inf, 2.0, inf]
    """
    alone = np.zeros(len(scores))
    for number in np.unique(front):
        rows = np.flatnonzero(front == number)
        for column in scores[rows].T:
            alone[rows] += _gaps(column)
    return alone


def fitness(scores: Scores) -> NDArray[np.float64]:
    """One number a row, higher for the fitter: an earlier front first, then who is less crowded
    (the crowded comparison of NSGA-II).

    >>> order = np.argsort(-fitness(np.array([[0.0, 0.0], [0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])))
    >>> order.tolist()
    [1, 3, 2, 0]
    """
    front = fronts(scores)
    return -front - 0.5 / (1.0 + crowding(scores, front))


def weighted(scores: Scores, weights: tuple[float, ...]) -> NDArray[np.float64]:
    """One number a row, higher for the fitter: the sum of its scores, each times its weight.

    >>> weighted(np.array([[1.0, 10.0], [2.0, 0.0]]), (1.0, 0.05)).tolist()
    [1.5, 2.0]
    """
    return scores @ np.asarray(weights, dtype=np.float64)


def completed(scores: Scores) -> Scores:
    """The scores with what was not measured (NaN) at the worst of its column, 0 if there is none.

    >>> completed(np.array([[1.0, np.nan], [2.0, 3.0], [0.0, 5.0]])).tolist()
    [[1.0, 3.0], [2.0, 3.0], [0.0, 5.0]]
    """
    known = np.isfinite(scores)
    worst = np.where(known, scores, np.inf).min(axis=0, initial=np.inf)
    return np.where(known, scores, np.where(np.isfinite(worst), worst, 0.0))


def _dominates(scores: Scores) -> NDArray[np.bool_]:
    """Of shape (rows, rows): whether the first dominates the second."""
    ours, theirs = scores[:, None, :], scores[None, :, :]
    return np.asarray(np.all(ours >= theirs, axis=2) & np.any(ours > theirs, axis=2))


def _gaps(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between each value's neighbours, in units of the range; infinite for the ends."""
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    width = ordered[-1] - ordered[0]
    gaps = np.full(len(column), np.inf)
    gaps[order[1:-1]] = (ordered[2:] - ordered[:-2]) / width if width else 0.0
    return gaps
