"""The noise of scores, against known noise and by hand."""

import numpy as np
import pytest

import heredity as hd
from evolution.story import Story
from heredity.analysis.noise import noise
from heredity.analysis.records import read
from heredity.testing.play import Play
from heredity.testing.toys import noisy


def test_by_hand():
    story = Story(members=4)
    for scores in ((1.0, 2.0, 3.0, 4.0), (2.0, 4.0, 6.0, 8.0), (4.0, 6.0, 9.0, 12.0)):
        for member, score in enumerate(scores):
            story.train(member, score)
    seen = noise(read(story.population))
    # a − 2b + c is 1, 0, 0, 0 − of which the median square is 0.
    assert (seen.samples, seen.deviation, seen.reliability, seen.times) == (4, 0.0, 1.0, 3)
    story.train(0, 7.0)  # 2, 4, 7: again 1
    story.train(1, 9.0)  # 4, 6, 9: 1
    seen = noise(read(story.population))  # squares 1, 0, 0, 0, 1, 1: the median is 0.5
    assert seen.samples == 6
    assert seen.deviation == pytest.approx(np.sqrt(0.5 / 0.4549 / 6))
    by_time = [
        np.var(s, ddof=1) for s in ([1, 2, 3, 4], [2, 4, 6, 8], [4, 6, 9, 12], [7, 9, 9, 12])
    ]
    parts = [1 - seen.deviation**2 / variance for variance in by_time]
    assert seen.reliability == pytest.approx(np.median(parts))
    story.train(2, 99.0, stop=35)  # a shorter trial is on no line with the others
    assert noise(read(story.population)).samples == 6


@pytest.mark.parametrize("true", [0.1, 3.0])
def test_known_noise_is_found(true):
    toy = noisy(true)
    algorithm = hd.PBT(ready=hd.Every(0), mode="sync")
    play = Play(toy.definition(algorithm, population=20), hd.Steps(400), toy.run)
    seen = noise(read(play.to_the_end()))
    assert seen.deviation == pytest.approx(true, rel=0.2)
    assert 0 < seen.reliability < 1


def test_unknown_noise():
    seen = noise(read(Story().population))
    assert np.isnan(seen.deviation)
    assert np.isnan(seen.reliability)
    assert (seen.samples, seen.times) == (0, 0)
