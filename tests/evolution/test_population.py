"""The fold: what each event leaves behind, and nothing but the events."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.story import Story, facts
from heredity.errors import NotFound
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.objective import maximize, minimize
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.trial import ENDED, Checkpoint
from heredity.testing import strategies

# Splits -----------------------------------------------------------------------------------------


@given(strategies.logs(), st.lists(st.integers(0, 300), max_size=5))
def test_the_fold_of_any_split_is_the_fold_of_the_whole(log, splits):
    """A restarted driver, a reader who follows and a snapshot all arrive at the same state."""
    cuts = [0, *sorted(min(cut, len(log)) for cut in splits), len(log)]
    population = Population()
    for start, end in itertools.pairwise(cuts):
        population.apply(log[start:end])
    assert facts(population) == facts(Population.fold(log))


@given(strategies.logs())
def test_what_was_spent_is_what_was_charged(log):
    """Nothing is counted twice, and every lane's sum is the sum of its own trials."""
    population = Population.fold(log)
    trained = [
        t
        for t in map(population.trial, range(len(population)))
        if t.status in ENDED and t.kind == "train"
    ]
    charged = [sum(t.reached - t.start for t in trained if t.member == m) for m in range(6)]
    assert population.spent.tolist() == charged[: population.lanes]
    assert population.ended_count == len(trained)
    assert population.diverged == sum(t.status == "diverged" for t in trained)
    assert population.seq == len(log)


@given(strategies.logs())
def test_records_of_a_lane_are_what_a_search_finds(log):
    """The linked lists answer as looking through all trials would."""
    story = Story()
    population = story.population = Population.fold(log)
    measured = {
        t: population.trial(t)
        for t in range(len(population))
        if not np.isnan(population.scores[t, 0]) and population.proposal_of(t).kind == "train"
    }
    ended = {e.trial: at for at, e in enumerate(log) if hasattr(e, "elapsed_s")}
    for step in (0, 5, 12, 20, 33, 60):
        found = story.view.records(step).tolist()
        for member in range(population.lanes):
            of_lane = [t for t, r in measured.items() if r.member == member and r.reached <= step]
            last = max(of_lane, key=lambda t: (measured[t].reached, ended[t]), default=-1)
            assert found[member] == last
        since = story.view.records_since(step)
        assert since == {t for s in range(step, 101) for t in story.view.records(s).tolist()} - {-1}


# The best ---------------------------------------------------------------------------------------


@given(strategies.logs())
def test_the_best_has_the_highest_mean_ties_to_the_earlier(log):
    population = Population.fold(log)
    if population.best is None or population.confirmed:
        return
    saved = [
        t
        for t in range(len(population))
        if getattr(population.outcomes[t], "checkpoint", None)
        and np.isfinite(population.means[t, 0])
    ]
    assert population.best == max(saved, key=lambda t: (population.means[t, 0], -t))


def test_ties_go_to_the_earlier_trial():
    story = Story()
    for member in (2, 0, 1):
        story.train(member, 1.0)
    assert story.population.best == 0
    story.train(2, 1.0)
    assert story.population.best == 0


@pytest.mark.parametrize(("objective", "best"), [(maximize("q"), 1), (minimize("q"), 0)])
def test_the_direction_decides(objective, best):
    story = Story(objectives=(objective,))
    story.train(0, 1.0)
    story.train(1, 2.0)
    assert story.population.best == best
    assert [story.population.trial(t).score for t in (0, 1)] == [1.0, 2.0]


def test_there_is_no_best_before_the_first_score():
    story = Story()
    assert story.population.best is None
    story.diverge(0)
    story.finish(story.run(1, evaluations=0), None)
    assert story.population.best is None
    story.finish(story.run(2), 1.0, saved=False)
    assert story.population.best is None
    story.train(3, -5.0)
    assert story.population.best == 3


def test_nan_never_wins():
    """REFERENCE: NaN breaks the ranking."""
    story = Story()
    story.train(0, -1e300)
    story.diverge(1)
    assert story.population.best == 0
    assert story.population.scores[1, 0] == -np.inf
    assert story.population.trial(1).score is None


def test_more_objectives_are_columns():
    story = Story(objectives=(maximize("q"), minimize("cost")))
    story.finish(story.run(0), 1.0, cost=3.0)
    story.finish(story.run(1), 2.0)
    assert story.population.scores.values.tolist()[0] == [1.0, -3.0]
    assert np.isnan(story.population.scores[1, 1])
    assert story.population.best == 1


# Records ----------------------------------------------------------------------------------------


def test_a_trial_is_one_record():
    story = Story()
    story.finish(story.run(0, hparams={"x": 0.25}), 0.5, loss=2.0)
    trial = story.population.trial(0)
    assert (trial.status, trial.score, trial.metrics) == ("finished", 0.5, {"q": 0.5, "loss": 2.0})
    assert (trial.start, trial.stop, trial.reached, trial.steps) == (0, 10, 10, 10)
    assert (trial.hparams, trial.worker, trial.attempt) == ({"x": 0.25}, "w", 0)
    assert trial.checkpoint == Checkpoint("memory:0", 1, "")
    story.append(ev.CheckpointsReleased((0,)))
    assert story.population.trial(0).checkpoint is None


def test_what_went_wrong_stands_in_the_record():
    story = Story()
    trial = story.fail(story.run(0))
    assert (story.population.trial(trial).status, story.population.trial(trial).error) == (
        "failed",
        "a bug",
    )
    trial = story.diverge(1)
    assert (story.population.trial(trial).status, story.population.trial(trial).error) == (
        "diverged",
        "nan",
    )


@pytest.mark.parametrize("trial", [-1, 1])
def test_a_trial_that_does_not_exist(trial):
    story = Story()
    story.train(0)
    with pytest.raises(NotFound, match="1 so far"):
        story.population.trial(trial)


def test_a_trial_that_stops_early_is_charged_for_what_it_trained():
    story = Story()
    trial = story.run(0)
    saved = Checkpoint("memory:0", 1, "")
    story.append(ev.TrialStopped(trial, 0, 4, 1.0, {"q": 1.0}, saved))
    assert story.population.spent.tolist() == [4, 0, 0, 0]
    assert story.propose(0) == 1
    assert story.population.proposal_of(1).start == 4


# Failures ---------------------------------------------------------------------------------------


def test_a_lost_trial_is_issued_again_nine_times_first_in_line():
    story = Story()
    story.propose(1)
    trial = story.run(0)
    for attempt in range(9):
        story.fail(trial, "lost")
        assert list(story.population.waiting) == [trial, 0]
        story.start(trial)
        assert story.population.trial(trial).attempt == attempt + 1
    story.fail(trial, "lost")
    assert list(story.population.waiting) == [0]
    assert story.population.open_in(0) == -1
    assert story.population.spent.tolist() == [0] * 4


def test_a_completion_counts_while_the_trial_waits_to_be_tried_again():
    story = Story()
    trial = story.fail(story.run(0), "lost")
    story.finish(trial, 1.0)
    assert not story.population.waiting
    assert story.population.trial(trial).status == "finished"
    assert story.population.spent.tolist() == [10, 0, 0, 0]


def test_the_seed_is_the_same_at_every_attempt():
    story = Story()
    trial = story.run(0)
    seed = story.population.trial(trial).seed
    story.start(story.fail(trial))
    assert story.population.trial(trial).seed == seed


# Settings that change ---------------------------------------------------------------------------


def test_bounds_change_from_here_on():
    story = Story()
    story.append(ev.BoundsChanged("x", 0.4, 0.6))
    assert story.view.space.check({"x": 0.5}) == {"x": 0.5}
    assert all(0.4 <= p.hparams["x"] <= 0.6 for p in story.proposals(4).values())
    story.append(ev.BoundsChanged("x", 0.0, 0.2))
    assert all(p.hparams["x"] <= 0.2 for p in story.proposals(4).values())


def test_nothing_is_lost_in_a_crash():
    """REFERENCE: after a crash the scheduler's own state is lost and defaults take its place. All
    there is is the log."""
    story = Story(PBT(average=2), budget=Steps(50))
    story.append(ev.TrialInjected(0, {"x": 0.1}, None), ev.BoundsChanged("x", 0.2, 0.8))
    story.train(0, 1.0)
    story.append(ev.CheckpointPinned(0), ev.BudgetChanged((Steps(70),)))
    story.fail(story.run(1))
    again = Population.fold(story.log)
    assert facts(again) == facts(story.population)
    assert (again.budget, again.pins, again.average) == ((Steps(70),), {0}, 2)
    assert len(again.injections) == 1
