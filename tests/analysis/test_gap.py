"""Selection against held-out metrics, of the best so far."""

from __future__ import annotations

import numpy as np
import pytest
from small_family import small_records

import heredity as hd
from evolution.story import Story
from heredity.analysis.gap import best_so_far, gap
from heredity.analysis.records import read
from heredity.testing.play import Play
from heredity.testing.toys import noisy


def test_the_gap_of_a_small_family():
    seen = gap(small_records())
    assert seen.steps.tolist() == [10, 20, 30]
    assert seen.trial.tolist() == [3, 7, 9]
    assert seen.selection.tolist() == [4.0, 7.0, 9.0]
    assert list(seen.held_out) == ["test_q"]
    assert seen.held_out["test_q"].tolist() == [6.0, 3.0, 1.0]


def test_where_lower_is_better():
    seen = gap(small_records(objectives=(hd.minimize("q"),)))
    assert seen.trial.tolist() == [0, 0, 0]
    assert seen.selection.tolist() == [1.0, 1.0, 1.0]


def test_any_metric_may_be_asked_for():
    assert gap(small_records(), names=["q_std"]).held_out["q_std"].tolist() == [0.5] * 3
    with pytest.raises(hd.NotFound, match="loss"):
        gap(small_records(), names=["loss"])


def test_before_the_first_score():
    seen = gap(small_records(), np.array([5]))
    assert (seen.trial.tolist(), np.isnan(seen.selection).all()) == ([-1], True)
    assert gap(read(Story().population)).selection.shape == (0,)
    assert gap(read(Story().population), np.array([10])).trial.tolist() == [-1]


def test_the_best_so_far_agrees_with_looking_at_all():
    toy = noisy()
    algorithm = hd.PBT(ready=hd.Every(0), average=3)
    play = Play(toy.definition(algorithm, population=5, interval=4), hd.Steps(60), toy.run, order=1)
    r = read(play.to_the_end())
    steps = r.grid()
    for step, leader in zip(steps, best_so_far(r, steps), strict=True):
        known = np.flatnonzero(r.well & (r.spent <= step))
        assert r.means[leader] == r.means[known].max()
    assert r.means[best_so_far(r, steps)[-1]] == r.means[play.population.peak]
