"""Whose turn it is to initiate, and which trial of a lane can be met."""

import numpy as np

from evolution.brood import Brood
from heredity.evolution import events as ev
from heredity.evolution.generations import healthy, initiator, ready, record, records_since


def records(brood, member, upto=40):
    """What `record` finds for 0, 5, 10, … steps paid."""
    return [record(brood.view, member, paid) for paid in range(0, upto, 5)]


def test_the_furthest_behind_is_ready_first_and_no_more_than_are_free():
    brood = Brood(members=3)
    brood.end(0)
    assert [ready(brood.view, free) for free in (-1, 0, 1, 2, 9)] == [
        [],
        [],
        [1],
        [1, 2],
        [1, 2, 0],
    ]


def test_a_decision_counts_what_it_starts_itself():
    """Lane 0 may go once lane 1, which is behind, goes too."""
    brood = Brood(members=2)
    brood.generation(0.0, 0.0)
    brood.begin(1)
    brood.end(0)
    brood.finish(brood.population.open_trial[1].item())
    brood.end(0)
    assert brood.population.spent.tolist() == [30, 20]
    assert ready(brood.view, 1) == [1]
    assert ready(brood.view, 2) == [1, 0]


def test_running_trials_count_for_their_lanes():
    brood = Brood(members=2)
    brood.begin(1)
    brood.end(0)
    assert ready(brood.view, 2) == [0]
    brood.end(0)
    assert ready(brood.view, 2) == []


def test_evaluations_are_nobodys_turn():
    brood = Brood(members=2)
    brood.generation(0.0, 0.0)
    trial = brood.propose(0, 0, kind="evaluate", turn=0, start=10, stop=10)
    brood.start(trial)
    assert ready(brood.view, 2) == [0, 1]


def test_the_initiator_is_what_ended_last_whatever_failed_since():
    brood = Brood()
    assert initiator(brood.view, 0) == -1
    brood.failed(0)
    assert initiator(brood.view, 0) == -1
    brood.end(1)
    first = brood.end(0)
    brood.failed(0)
    assert initiator(brood.view, 0) == first
    lost = brood.diverged(0)
    assert initiator(brood.view, 0) == lost


def test_a_lanes_trials_are_found_by_what_it_had_paid():
    brood = Brood(members=1)
    first = brood.end(0)
    early = brood.stopped(0, reached=15)
    brood.failed(0)
    last = brood.end(0)
    assert brood.population.spent.tolist() == [25]
    assert records(brood, 0) == [-1, -1, first, early, early, last, last, last]


def test_what_a_person_injected_hides_what_was_before_it():
    brood = Brood(members=1)
    brood.end(0)
    brood.append(ev.TrialInjected(0, {"x": 0.5}, None))
    injected = brood.end(0)
    last = brood.end(0)
    assert records(brood, 0) == [-1] * 4 + [injected] * 2 + [last] * 2


def test_what_is_found_now_or_later_is_kept():
    brood = Brood(members=2)
    for _ in range(3):
        brood.generation(1.0, 1.0)
    for paid in (0, 10, 15, 20, 30, 40):
        later = {record(brood.view, m, more) for m in (0, 1) for more in range(paid, 50)}
        assert records_since(brood.view, paid) - {0, 1} == later - {-1, 0, 1}
    assert records_since(brood.view, 30) == {4, 5}


def test_only_what_ended_well_and_is_still_there_can_be_a_parent():
    brood = Brood(members=3)
    good, lost, gone = brood.end(0), brood.diverged(1), brood.end(2)
    brood.append(ev.CheckpointsReleased((gone,)))
    unmeasured = brood.finish(brood.begin(0, evaluations=0), None)
    trials = (-1, good, lost, gone, unmeasured)
    assert [healthy(brood.view, trial) for trial in trials] == [False, True, False, False, False]
    assert np.isnan(brood.view.scores_of(np.array([unmeasured]))).all()
