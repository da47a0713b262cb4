"""A family of twelve trials, small enough to be worked out by hand.

    turn   member 0        member 1        member 2     member 3
    0      0  scratch  1   1  scratch  2   2 scratch 3  3 scratch  4
    1      4  of 3     6   5  goes on  3   6 goes on 5  7 goes on  7
    2      8  goes on  8   9  of 7     9  10 goes on 6  11 diverges

Each line names a trial, where it comes from, and its score.
"""

from __future__ import annotations

from evolution.story import Story
from heredity.analysis.records import Records, read
from heredity.evolution import events as ev
from heredity.evolution.trial import Checkpoint

TURNS = [
    [(None, 1.0, 0.1), (None, 2.0, 0.2), (None, 3.0, 0.3), (None, 4.0, 0.4)],
    [(3, 6.0, 0.5), (1, 3.0, 0.2), (2, 5.0, 0.3), (3, 7.0, 0.4)],
    [(4, 8.0, 0.5), (7, 9.0, 0.6), (6, 6.0, 0.3), (7, None, 0.4)],
]
"""By turn and member: whose weights, the score (None diverges), and x."""


def small_family(**definition) -> Story:
    """The story. Trial n takes n seconds; its held-out metric is 10 less its score."""
    story = Story(**definition)
    for turn in TURNS:
        for member, (source, score, x) in enumerate(turn):
            trial = story.run(member, source, hparams={"x": x})
            story.append(ended(trial, score))
    return story


def ended(trial: int, score: float | None) -> ev.Event:
    seconds = float(trial)
    if score is None:
        return ev.TrialDiverged(trial, 0, "nan", elapsed_s=seconds)
    metrics = {"q": score, "test_q": 10.0 - score, "q_std": 0.5}
    return ev.TrialFinished(trial, 0, score, metrics, Checkpoint(f"memory:{trial}", 1, ""), seconds)


def small_records(**definition) -> Records:
    return read(small_family(**definition).population)
