"""What an algorithm sees: aligned arrays that it cannot change."""

import contextlib

import numpy as np
import pytest

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.budget import Seconds, Steps, Trials
from heredity.evolution.objective import minimize
from heredity.space import LogUniform, Space, Uniform
from heredity.testing.algorithm_suite import ARRAYS


def some():
    """Lane 0 trained twice, lane 1 diverged, lane 2 runs, lane 3 has not begun."""
    story = Story(budget=Steps(25))
    story.train(0, 1.0)
    story.train(0, 2.0)
    story.diverge(1)
    story.run(2)
    return story


def test_arrays_are_aligned_by_member():
    view = some().view
    assert view.size == 4
    assert view.latest.tolist() == [1, 2, -1, -1]
    assert view.steps.tolist() == [20, 10, 0, 0]
    assert view.spent.tolist() == [20, 10, 0, 0]
    assert view.turns.tolist() == [2, 1, 1, 0]
    assert view.open.tolist() == [-1, -1, 3, -1]
    assert view.newest.tolist() == [1, 2, -1, -1]
    np.testing.assert_array_equal(view.scores[:, 0], [2.0, -np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(view.hparams[:, 0], [0.5, 0.5, np.nan, np.nan])


@pytest.mark.parametrize("name", ARRAYS)
def test_no_array_of_the_state_can_be_changed(name):
    story = some()
    before = getattr(story.view, name).copy()
    with contextlib.suppress(ValueError):
        getattr(story.view, name)[0] = 7
    np.testing.assert_array_equal(getattr(story.view, name), before)


@pytest.mark.parametrize("name", ["latest", "spent", "turns", "open", "newest"])
def test_shared_arrays_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(some().view, name)[0] = 7


def test_records_are_a_copy():
    story = some()
    story.view.records(20)[:] = -7
    assert story.view.records(20).tolist() == [1, 2, -1, -1]


def test_higher_is_better_whatever_the_objective():
    story = Story(objectives=(minimize("loss"),))
    story.train(0, 3.0)
    story.diverge(1)
    assert story.view.scores[:2, 0].tolist() == [-3.0, -np.inf]
    assert story.view.sign == -1


def test_records_are_the_largest_stop_up_to_a_step():
    story = some()
    assert story.view.records(9).tolist() == [-1, -1, -1, -1]
    assert story.view.records(10).tolist() == [0, 2, -1, -1]
    assert story.view.records(19).tolist() == [0, 2, -1, -1]
    assert story.view.records(20).tolist() == [1, 2, -1, -1]


def test_of_two_records_of_one_step_the_later_counts():
    story = some()
    story.train(0, 7.0, weights_from=0)
    assert story.view.records(20).tolist() == [4, 2, -1, -1]


def test_the_furthest_behind_is_first():
    assert some().view.idle() == [3, 1, 0]


def test_a_lane_without_budget_is_not_idle():
    story = some()
    story.train(0, stop=25)
    assert story.view.idle() == [3, 1]
    assert story.view.unspent().tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("budget", "left", "lane_steps"),
    [
        (Steps(25), 5, 25),
        (Steps(10), 0, 10),
        (Trials(12), 10, 30),
        (Seconds(9), 10, None),
        ([Steps(25), Trials(400)], 5, 25),
    ],
)
def test_steps_left(budget, left, lane_steps):
    story = some()
    story.append(ev.BudgetChanged(tuple(budget) if isinstance(budget, list) else (budget,)))
    assert story.view.steps_left(0) == left
    assert story.view.lane_steps == lane_steps


def test_trials_left_bound_the_idle_lanes():
    story = some()
    story.append(ev.BudgetChanged((Trials(6),)))  # 3 ended, 1 runs
    assert story.view.idle() == [3, 1]
    story.append(ev.BudgetChanged((Trials(4),)))
    assert story.view.idle() == []


def test_randomness_is_of_a_member_a_turn_and_a_purpose():
    view, drawn = some().view, {}
    for member in range(3):
        for turn in range(3):
            for purpose in ("sample", "exploit", "explore", "measure"):
                key = (member, turn, purpose)
                drawn[key] = tuple(view.rng(*key).random(3))
                assert drawn[key] == tuple(view.rng(*key).random(3))
    assert len(set(drawn.values())) == len(drawn)


def test_known_good_hparams_come_first():
    space = Space(lr=LogUniform(1e-4, 1.0), x=Uniform(0.0, 1.0))
    story = Story(members=3, space=space, initial=({"lr": 0.1, "x": 0.5}, {"lr": 0.2}))
    first = [p.hparams for p in story.proposals(3).values()]
    assert first[0] == {"lr": 0.1, "x": 0.5}
    assert first[1]["lr"] == 0.2
    assert 0 <= first[1]["x"] <= 1
    assert story.view.newcomer(0, 1) != first[0]


def test_a_designed_sample_covers_the_space():
    def first(sampling):
        story = Story(members=16, sampling=sampling)
        return sorted(p.hparams["x"] for p in story.proposals(16).values())

    designed = first("sobol")
    assert np.histogram(designed, bins=16, range=(0, 1))[0].tolist() == [1] * 16
    assert designed != first("independent")


def test_a_lineage_follows_the_weights():
    story = Story()
    for member in (0, 1):
        story.train(member, float(member))
    story.train(0, 2.0, weights_from=1)
    assert list(story.view.lineage(2)) == [2, 1]
    assert story.view.score_history(2, 1).tolist() == [2.0]
    assert story.view.score_history(2, 9).tolist() == [2.0, 1.0]


def test_since_exploit_counts_from_the_last_take_over():
    story = Story()
    for member in (0, 1):
        story.train(member)
        story.train(member)
    story.run(0, weights_from=3, hparams_from=(3,))
    assert story.view.since_exploit.tolist() == [0, 20, 0, 0]
    story.run(1, hparams_from=(1,))  # hparams alone count too
    assert story.view.since_exploit.tolist() == [0, 0, 0, 0]
