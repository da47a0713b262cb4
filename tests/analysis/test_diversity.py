"""The spread of hparams, on their own scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_family import small_records

import heredity as hd
from evolution.story import Story
from heredity.analysis.diversity import diversity
from heredity.analysis.records import read


def test_the_spread_of_a_small_family():
    seen = diversity(small_records())
    assert (seen.names, seen.steps.tolist()) == (("x",), [10, 20, 30])
    by_hand = [
        np.std([0.1, 0.2, 0.3, 0.4]),
        np.std([0.5, 0.2, 0.3, 0.4]),
        np.std([0.5, 0.6, 0.3, 0.4]),  # member 3 holds what x = 0.4 trained
    ]
    assert seen.of("x") == pytest.approx(by_hand)
    assert seen.of("x")[0] == pytest.approx(math.sqrt(0.0125))


def test_each_on_its_own_scale():
    space = hd.Space(
        lr=hd.LogUniform(1e-4, 1.0),
        size=hd.Ordinal([8, 16, 32, 64]),
        act=hd.Categorical(["relu", "tanh", "gelu", "elu"]),
        one=hd.Categorical(["only"]),
    )
    story = Story(space=space)
    rows = [(1e-4, 8, "relu"), (1e-4, 8, "relu"), (1.0, 64, "tanh"), (1.0, 64, "gelu")]
    for member, (lr, size, act) in enumerate(rows):
        story.train(member, hparams={"lr": lr, "size": size, "act": act, "one": "only"})
    seen = diversity(read(story.population))
    assert seen.of("lr").tolist() == [0.5]
    assert seen.of("size") == pytest.approx([0.375])  # codes 1/8 and 7/8
    entropy = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    assert seen.of("act") == pytest.approx([entropy / math.log(4)])
    assert seen.of("one").tolist() == [0.0]


def test_before_the_first_trial_nobody_knows():
    assert np.isnan(diversity(small_records(), np.array([5])).spread).all()
    assert diversity(read(Story().population)).spread.shape == (0, 1)
