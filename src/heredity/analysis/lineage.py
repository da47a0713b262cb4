"""Who descends from whom: the family tree of weights, its founders, and the lines that died out.

It reads records. Of scores it knows only which trial is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heredity.analysis.records import Bools, Floats, Ids, Records
from heredity.errors import NotFound


@dataclass(frozen=True)
class Family:
    """The family tree. Arrays are aligned by trial.

    Attributes:
        parent: the trial that gave the weights, or −1 for a founder.
        givers: the trials that gave the hparams, none for those of the first sample.
        exploit: weights or hparams came from another lane.
        founder: the trial from scratch that its weights go back to.
        depth: how many trials trained its weights before it; 0 for a founder.
        alive: it trained the weights that some member holds now.
        winning: it trained the weights of the best trial.
    """

    parent: Ids
    givers: tuple[tuple[int, ...], ...]
    exploit: Bools
    founder: Ids
    depth: Ids
    alive: Bools
    winning: Bools


@dataclass(frozen=True, slots=True)
class Founder:
    """A start from scratch, and what is left of it.

    Attributes:
        trial, member: the start, and the lane that made it.
        heirs: the members that hold weights which go back to it.
        share: their part of all members that hold weights; of all founders it is 1 in sum.
    """

    trial: int
    member: int
    heirs: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Effort:
    """What trials took: how many, their steps, and their workers' seconds added up. The trials of
    a vectorized round take the round's seconds each, side by side."""

    trials: int
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Spending:
    """Where the training went.

    Attributes:
        total: all training that ended, and what failed.
        died: that which no member's present weights contain.
        not_winning: that which the best trial's weights do not contain.
    """

    total: Effort
    died: Effort
    not_winning: Effort


def family(records: Records) -> Family:
    """The family tree of all trials."""
    founder, depth = _roots(records.source)
    best = [] if records.best is None else [records.best]
    return Family(
        parent=records.source,
        givers=records.givers,
        exploit=records.exploit,
        founder=founder,
        depth=depth,
        alive=_forebears(records, records.now.tolist()),
        winning=_forebears(records, best),
    )


def ancestors(records: Records, trial: int) -> list[int]:
    """The trials that trained the weights of `trial`, itself included, oldest first."""
    if not 0 <= trial < len(records):
        raise NotFound(f"there is no trial {trial}; the study has {len(records)} so far")
    line = []
    while trial >= 0:
        line.append(trial)
        trial = int(records.source[trial])
    return line[::-1]


def founders(records: Records) -> list[Founder]:
    """All starts from scratch, those with most heirs first; the others died out."""
    roots, _ = _roots(records.source)
    members = np.flatnonzero(records.now >= 0)
    heirs: dict[int, list[int]] = {}
    for member in members.tolist():
        heirs.setdefault(int(roots[records.now[member]]), []).append(member)
    starts = np.flatnonzero(records.trained & (records.source < 0)).tolist()
    found = [_founder(records, trial, heirs.get(trial, []), len(members)) for trial in starts]
    return sorted(found, key=lambda f: (-f.share, f.trial))


def effective_ancestors(records: Records, steps: Ids | None = None) -> Floats:
    """At each of the steps (`records.grid()`), how many founders the population goes back to, each
    counted by its share: 1 / Σ share², of shape (len(steps),). NaN where no member holds weights.

    The inverse of Simpson's index (Simpson 1949, "Measurement of diversity"), the diversity of
    order 2 of Hill 1973: n equal shares make n, and the rare ones count little.
    """
    steps = records.grid() if steps is None else steps
    roots, _ = _roots(records.source)
    rows = [roots[row[row >= 0]] for row in records.standing(steps)]
    return np.array([_inverse_simpson(row) for row in rows], dtype=np.float64)


def spending(records: Records) -> Spending:
    """The training in all, on lines that died out, and beside the winner's line."""
    best = [] if records.best is None else [records.best]
    counted = records.ended | records.failed
    return Spending(
        total=_effort(records, counted),
        died=_effort(records, counted & ~_forebears(records, records.now.tolist())),
        not_winning=_effort(records, counted & ~_forebears(records, best)),
    )


def _roots(source: Ids) -> tuple[Ids, Ids]:
    """Of each trial its founder, and how many trials lie between: pointers are followed for 1, 2,
    4, … generations, so that the longest line takes few passes."""
    own = np.arange(len(source))
    up = np.where(source >= 0, source, own)
    depth = (source >= 0).astype(np.int64)
    while True:
        above = up[up]
        if np.array_equal(above, up):
            return up, depth
        depth, up = depth + depth[up], above


def _forebears(records: Records, trials: list[int]) -> Bools:
    """Which trials trained the weights of these."""
    seen = np.zeros(len(records), dtype=bool)
    source = records.source.tolist()
    for trial in trials:
        while trial >= 0 and not seen[trial]:
            seen[trial] = True
            trial = source[trial]
    return seen


def _founder(records: Records, trial: int, heirs: list[int], members: int) -> Founder:
    return Founder(trial, int(records.member[trial]), tuple(heirs), len(heirs) / max(1, members))


def _inverse_simpson(founders: Ids) -> float:
    if not len(founders):
        return np.nan
    _, counts = np.unique(founders, return_counts=True)
    return float(len(founders) ** 2 / (counts**2).sum())


def _effort(records: Records, which: Bools) -> Effort:
    return Effort(
        trials=int(which.sum()),
        steps=int(records.steps[which].sum()),
        seconds=float(records.elapsed_s[which].sum()),
    )
