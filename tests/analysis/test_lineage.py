"""The family tree, against one that is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_family import small_records

import heredity as hd
from evolution.story import Story
from heredity.analysis.lineage import (
    Effort,
    ancestors,
    effective_ancestors,
    family,
    founders,
    spending,
)
from heredity.analysis.records import read
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy


def test_the_tree():
    tree = family(small_records())
    assert tree.parent.tolist() == [-1, -1, -1, -1, 3, 1, 2, 3, 4, 7, 6, 7]
    assert tree.givers[4] == (3,)
    assert tree.founder.tolist() == [0, 1, 2, 3, 3, 1, 2, 3, 3, 3, 2, 3]
    assert tree.depth.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert np.flatnonzero(tree.exploit).tolist() == [4, 9]
    assert np.flatnonzero(tree.alive).tolist() == [2, 3, 4, 6, 7, 8, 9, 10]
    assert np.flatnonzero(tree.winning).tolist() == [3, 7, 9]


def test_hparams_taken_over_without_weights_are_an_exploit_and_no_descent():
    story = Story(members=2)
    a, b = story.train(0), story.train(1)
    child = story.run(0, a, hparams_from=(b,))
    tree = family(read(story.population))
    assert (tree.exploit[child], tree.givers[child], tree.founder[child]) == (True, (b,), a)


def test_founders_and_their_shares():
    found = founders(small_records())
    assert [(f.trial, f.member, f.heirs, f.share) for f in found] == [
        (3, 3, (0, 1, 3), 0.75),
        (2, 2, (2,), 0.25),
        (0, 0, (), 0.0),
        (1, 1, (), 0.0),
    ]


def test_effective_number_of_ancestors():
    # Shares 1/4 each; then 2/4, 1/4, 1/4; then 3/4 and 1/4.
    assert effective_ancestors(small_records()).tolist() == [4.0, 16 / 6, 1.6]
    assert np.isnan(effective_ancestors(small_records(), np.array([5]))).all()


def test_where_the_training_went():
    spent = spending(small_records())
    assert spent.total == Effort(trials=12, steps=120, seconds=66.0)
    assert spent.died == Effort(trials=4, steps=40, seconds=0.0 + 1 + 5 + 11)
    assert spent.not_winning == Effort(trials=9, steps=90, seconds=66.0 - 3 - 7 - 9)


def test_ancestors():
    assert ancestors(small_records(), 8) == [3, 4, 8]
    assert ancestors(small_records(), 0) == [0]
    with pytest.raises(hd.NotFound, match="12 so far"):
        ancestors(small_records(), 12)


def test_a_failed_trial_costs_time_and_is_nobodys_ancestor():
    story = Story(members=2)
    story.train(0), story.train(1)
    failed = story.fail_for_good(0)
    r = read(story.population)
    assert not family(r).alive[failed]
    assert spending(r).total == Effort(trials=3, steps=20, seconds=0.0)


def test_the_tree_agrees_with_following_each_line():
    toy = noisy()
    definition = toy.definition(hd.PBT(ready=hd.Every(0)), population=6, interval=3)
    befalls = mishaps(1, error=0.1, diverged=0.15)
    play = Play(definition, hd.Steps(60), toy.run, order=2, mishaps=befalls)
    state = play.to_the_end()
    r = read(state)
    tree = family(r)
    lines = [list(state.lineage(trial)) for trial in range(len(r))]
    assert tree.founder.tolist() == [line[-1] for line in lines]
    assert tree.depth.tolist() == [len(line) - 1 for line in lines]
    assert set(np.flatnonzero(tree.alive)) == {t for now in r.now for t in lines[now]}
    assert ancestors(r, len(r) - 1) == lines[-1][::-1]
    assert sum(f.share for f in founders(r)) == pytest.approx(1.0)
    counts = np.array([len(f.heirs) for f in founders(r)])
    last = effective_ancestors(r)[-1]
    assert last == pytest.approx(counts.sum() ** 2 / (counts**2).sum())


def test_nothing_has_happened_yet():
    r = read(Story().population)
    assert (len(family(r).founder), founders(r), len(effective_ancestors(r))) == (0, [], 0)
    assert spending(r).total == Effort(0, 0, 0.0)
