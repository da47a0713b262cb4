"""Signs in the scores: selection selects luck, or the interval does not suit the noise."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from heredity.analysis.gap import gap
from heredity.analysis.health.finding import LEAST_TURNS, Finding, algorithm_of, enough
from heredity.analysis.noise import Noise, noise
from heredity.analysis.records import Floats, Records

# By how many standard deviations of the gap between members it must have grown: between two trials
# it differs by 1.4 of them, once in 20 times by more than 2.8.
GAP_DEVIATIONS = 3.0
# And by what part of the score's own course, for scores without any noise.
GAP_LEAST = 0.01

# Noise as large as all true differences: which of two members is ahead is then right in three of
# four cases, where luck alone is in two.
UNRELIABLE = 0.5
# The reliability to aim at: noise half as large as the differences.
RELIABLE = 0.8
# Noise of a tenth of the differences: half of the interval would show who is ahead as well.
CLEAR = 0.99
# Below so many samples the noise itself is known to no better than a third.
LEAST_SAMPLES = 20
# From 5 to 10 % of the run between exploits is usual (Jaderberg et al. 2017): fewer than ten turns
# are too few for hparams to follow what training needs.
FEW_TURNS = 10
EARLIEST_TURN = 4

_SPLITS = {"dev", "eval", "heldout", "holdout", "test", "val", "valid", "validation"}


def running_away(records: Records) -> Iterator[Finding]:
    """The score of the best so far rises while the same metric, held out, does not."""
    steps = records.grid()
    if not enough(records) or len(steps) < LEAST_TURNS:
        return
    names = [name for name in records.held_out() if _comparable(name, records.metric)]
    seen = gap(records, steps, names)
    now, then = len(steps) - 1, len(steps) // 2
    for name in names:
        score, other = seen.selection * records.sign, seen.held_out[name] * records.sign
        risen, followed = score[now] - score[then], other[now] - other[then]
        least = max(GAP_DEVIATIONS * _scatter(records, name), GAP_LEAST * abs(np.ptp(score)))
        if risen > 0 and followed <= 0 and risen - followed > least:
            yield Finding(
                kind="running away",
                severity="warning",
                evidence=(
                    f"from step {steps[then]:,} to {steps[now]:,} the best so far went from "
                    f"{_arrow(seen.selection, then, now)} in {records.metric}, which selects, and "
                    f"from {_arrow(seen.held_out[name], then, now)} in {name}, which does not"
                ),
                advice=_steadier(records),
                trials=(int(seen.trial[now]),),
            )


def _comparable(name: str, metric: str) -> bool:
    """Whether it is the objective's metric on other data: `test_accuracy` and `val_accuracy`."""
    mine, its = _words(metric), _words(name)
    return bool(its & _SPLITS) and its - _SPLITS == mine - _SPLITS


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower())) - {""}


def _scatter(records: Records, name: str) -> float:
    """The standard deviation of the gap between the members as they are now."""
    trials = records.now[records.now >= 0]
    gaps = records.scores[trials] - records.metrics[name][trials] * records.sign
    gaps = gaps[np.isfinite(gaps)]
    return float(gaps.std(ddof=1)) if len(gaps) > 1 else np.inf


def _arrow(values: Floats, then: int, now: int) -> str:
    return f"{values[then]:.4g} to {values[now]:.4g}"


def _steadier(records: Records) -> str:
    average = algorithm_of(records).get("average")
    if average is None:
        return "the evaluation: more data, or fresh data at each one"
    return f"average={max(3, 2 * average)} instead of {average}, to select by several evaluations"


def interval_too_short(records: Records) -> Iterator[Finding]:
    """Members are compared before they differ by more than noise."""
    if not enough(records) or not _selects(records):
        return
    seen = noise(records)
    if not _known(seen) or seen.times < LEAST_TURNS or seen.reliability >= UNRELIABLE:
        return
    longer = records.interval * _stretch(seen.reliability)
    yield Finding(
        kind="interval too short",
        severity="warning",
        evidence=(
            f"a score's noise is ±{seen.deviation:.3g} (from {seen.samples} samples), and of the "
            f"variance between members only {seen.reliability:.0%} is more than that: mostly luck "
            f"decides who is taken over"
        ),
        advice=f"interval={longer} instead of {records.interval}, or as much more evaluation",
    )


def _stretch(reliability: float) -> int:
    """By how much longer intervals reach the reliability to aim at, 2 … 10, if what members gain
    on each other grows with the interval."""
    wanted = RELIABLE / (1 - RELIABLE) * (1 - reliability) / max(reliability, 1e-9)
    return min(10, max(2, math.ceil(math.sqrt(wanted))))


def interval_too_long(records: Records) -> Iterator[Finding]:
    """A run of few turns, though shorter ones would show as clearly who is ahead."""
    turns = math.ceil((records.lane_steps or 0) / records.interval)
    few = 1 < turns < FEW_TURNS and records.interval > 1
    if not few or not enough(records, turns=EARLIEST_TURN) or not _selects(records):
        return
    seen = noise(records)
    if not _known(seen) or seen.reliability < CLEAR:
        return
    shorter = max(1, (records.lane_steps or 0) // (2 * FEW_TURNS))
    yield Finding(
        kind="interval too long",
        severity="note",
        evidence=(
            f"members have {turns} turns in all, and so {turns - 1} chances to take over; a "
            f"score's noise, ±{seen.deviation:.2g} (from {seen.samples} samples), is "
            f"{1 - seen.reliability:.1%} of the variance between members"
        ),
        advice=f"interval={shorter} instead of {records.interval}",
    )


def _known(seen: Noise) -> bool:
    return seen.samples >= LEAST_SAMPLES and not math.isnan(seen.reliability)


def _selects(records: Records) -> bool:
    """Whether scores decide anything during the run."""
    algorithm = algorithm_of(records)
    return algorithm.get("exploit") is not None or "crossover" in algorithm
