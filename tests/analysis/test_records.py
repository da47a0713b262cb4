"""A study's trials as arrays: what is in them, and on which clock."""

from __future__ import annotations

import numpy as np
import pytest
from small_family import small_family, small_records

import heredity as hd
from evolution.story import Story
from heredity.analysis.records import encoded, read
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.stores import codec
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy


def played(slots=3, order=5, **rates):
    toy = noisy()
    definition = toy.definition(hd.PBT(ready=hd.Every(0)), population=5, interval=4)
    befalls = mishaps(3, **rates)
    return Play(definition, hd.Steps(41), toy.run, slots=slots, order=order, mishaps=befalls)


def test_the_columns_of_a_small_family():
    r = small_records()
    assert r.member.tolist() == [0, 1, 2, 3] * 3
    assert r.source.tolist() == [-1, -1, -1, -1, 3, 1, 2, 3, 4, 7, 6, 7]
    assert (r.start // 10).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert np.flatnonzero(r.exploit).tolist() == [4, 9]
    assert np.flatnonzero(~r.well).tolist() == [11]
    assert r.ended.all()
    assert r.scores[11] == -np.inf
    assert r.codes[:, 0].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.2, 0.3, 0.4, 0.5, 0.6, 0.3, 0.4]
    assert r.previous.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert r.spent.tolist() == [10] * 4 + [20] * 4 + [30] * 4
    assert r.paid.tolist() == [30] * 4
    assert r.turns.tolist() == [3] * 4
    assert r.now.tolist() == [8, 9, 10, 7]  # member 3 diverged: what it holds is older
    assert r.grid().tolist() == [10, 20, 30]
    assert r.standing(np.array([5, 10, 25])).tolist() == [[-1] * 4, [0, 1, 2, 3], [4, 5, 6, 7]]
    assert r.held_out() == ["test_q"]
    assert r.metric_of("test_q")[:4].tolist() == [9.0, 8.0, 7.0, 6.0]
    assert np.isnan(r.metric_of("test_q")[11])
    assert (r.best, r.lane_steps) == (9, 1000)


def test_scores_are_turned_and_metrics_are_not():
    r = small_records(objectives=(hd.minimize("q"),))
    assert (r.scores[:2].tolist(), r.sign, r.best) == ([-1.0, -2.0], -1.0, 0)
    assert r.metric_of("test_q")[0] == 9.0


@pytest.mark.parametrize("order", [None, 1, 2])
def test_the_records_agree_with_the_fold_whatever_befalls(order):
    play = played(order=order, error=0.1, lost=0.05, diverged=0.1, stopped=0.2)
    while play.turn():
        p = play.population
        r = read(p)
        assert r.exploit.sum() == p.exploits
        assert r.paid.tolist() == p.spent.tolist()
        assert r.ended.sum() == p.ended_count
    for trial in range(len(p)):
        record = p.trial(trial)
        assert (r.member[trial], r.start[trial]) == (record.member, record.start)
        assert r.codes[trial].tolist() == r.space.encode(record.hparams).tolist()
        mine = [t for t in range(trial) if r.member[t] == record.member and r.ended[t]]
        assert r.previous[trial] == (mine[-1] if mine else -1)


def test_what_lanes_hold_agrees_with_reading_trial_by_trial():
    play = played(order=4, error=0.1, diverged=0.15, stopped=0.2)
    r = read(play.to_the_end())
    for steps in (0, 3, 4, 17, 40, 41, 99):
        held = [-1] * r.lanes
        paid = [0] * r.lanes
        for trial in range(len(r)):
            lane = int(r.member[trial])
            paid[lane] += int(r.steps[trial])
            if r.well[trial] and paid[lane] <= steps:
                held[lane] = trial
        assert r.standing(np.array([steps]))[0].tolist() == held


def test_an_exported_log_gives_the_same():
    play = played()
    play.to_the_end()
    rows = [codec.encode(event) for event in play.log]
    again = read(Population.fold(codec.decode(rows, first=1)))
    here = read(play.population)
    for name in ("member", "stop", "source", "exploit", "scores", "codes", "well"):
        assert getattr(again, name).tobytes() == getattr(here, name).tobytes()
    assert again.space == here.space


def test_evaluations_at_the_end_are_no_training():
    toy = noisy()
    definition = toy.definition(hd.PBT(), population=4, interval=5)
    play = Play(definition, hd.Steps(20), toy.run, finals=hd.evolution.budget.Finals(2, 3))
    r = read(play.to_the_end())
    assert (~r.trained).sum() == 2
    assert not (r.ended | r.well | r.failed | r.exploit)[~r.trained].any()
    assert r.steps[~r.trained].tolist() == [0, 0]
    assert r.paid.tolist() == [20] * 4


def test_bounds_that_changed_widen_the_scale_and_move_the_edges():
    story = Story(space=hd.Space(x=hd.Uniform(0.0, 1.0), c=hd.Categorical(["a", "b"])))
    trial = story.run(0, hparams={"x": 1.0, "c": "a"})
    story.append(ev.BoundsChanged("x", 0.5, 2.0))
    r = read(story.population)
    assert r.codes[trial].tolist() == [0.5, 0.25]
    assert r.edges[0].tolist() == [0.25, 1.0]
    assert np.isnan(r.edges[1]).all()


def test_later_events_change_nothing():
    story = small_family()
    trial = story.run(0)
    before = read(story.population)
    story.append(ev.TrialStopped(trial, 0, 31, 99.0, {"q": 99.0}, None))
    assert np.isnan(before.scores[trial])
    assert np.isnan(before.means[trial])
    assert before.stop[trial] == 40
    assert read(story.population).stop[trial] == 31


def test_a_study_before_its_first_trial():
    r = read(Story().population)
    assert (len(r), r.best, r.now.tolist()) == (0, None, [-1] * 4)
    assert r.grid().tolist() == []
    assert r.standing(np.array([10])).tolist() == [[-1] * 4]
    assert r.codes.shape == (0, 1)
    assert (len(r.previous), len(r.spent)) == (0, 0)


def test_a_grid_of_at_most_so_many_steps_ends_where_the_furthest_lane_is():
    r = read(played(order=None).to_the_end())
    assert r.grid().tolist() == [*range(4, 41, 4), 41]
    assert r.grid(most=3).tolist() == [4, 24, 41]


def test_no_study_and_no_such_metric():
    with pytest.raises(hd.NotFound, match="no study"):
        read(Population())
    with pytest.raises(hd.NotFound, match="Did you mean `test_q`"):
        small_records().metric_of("test_p")


def test_many_hparams_are_encoded_as_each_alone():
    space = hd.Space(
        lr=hd.LogUniform(1e-4, 1.0),
        n=hd.LogInteger(1, 64),
        o=hd.Ordinal([1, 2, 4]),
        c=hd.Categorical([True, "x"]),
        k=hd.Constant(3),
    )
    many = space.sample_many(50, 0)
    assert np.array_equal(encoded(space, many), [space.encode(h) for h in many])
    assert encoded(space, []).shape == (0, 5)
