"""One turn of decisions: budgets, pauses, ends, finals, and what cannot go on."""

from dataclasses import dataclass

import pytest

from evolution.story import Story
from heredity.errors import AlgorithmStuck
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.budget import Finals, Seconds, Steps, Target, Trials
from heredity.evolution.decide import failure_limit
from heredity.evolution.lanes import from_scratch
from heredity.evolution.objective import minimize
from heredity.evolution.pbt import PBT
from heredity.testing.play import Play, mishaps, play
from heredity.testing.toys import noisy

FINALS = Finals(count=2, evaluations=5)


def ends(story, because, **options):
    assert story.next_events(**options) == [ev.StudyEnded(because)]


# Budgets ----------------------------------------------------------------------------------------


def test_steps_end_a_study():
    story = Story(members=2, budget=Steps(10))
    story.train(0)
    assert story.proposals(2).keys() == {1}
    story.train(1)
    ends(story, "every member has trained 10 steps")


def test_trials_end_a_study_and_running_ones_count():
    story = Story(members=3, budget=Trials(3))
    story.train(0)
    story.diverge(1)
    running = story.run(2)
    assert story.next_events(3) == []
    story.finish(running)
    ends(story, "3 trials have ended")


def test_a_failed_trial_is_no_trial_of_the_budget():
    story = Story(members=3, budget=Trials(1))
    story.fail_for_good(0)
    assert len(story.proposals(3)) == 1


def test_seconds_end_a_study():
    story = Story(budget=[Seconds(60), Steps(1000)])
    assert story.next_events(seconds=59.9)
    ends(story, "60 seconds have passed", seconds=60.0)


@pytest.mark.parametrize(
    ("objective", "target", "reached"),
    [(None, 0.9, 0.9), (None, 0.9, 1.0), (minimize("q"), 0.1, 0.1), (minimize("q"), 0.1, 0.0)],
)
def test_a_target_ends_a_study(objective, target, reached):
    told = {"objectives": (objective,)} if objective else {}
    story = Story(budget=[Target(target), Steps(1000)], **told)
    story.train(0, 0.5)
    assert story.next_events()
    story.train(1, reached)
    ends(story, f"the target score {target:g} was reached")


def test_at_the_end_nothing_new_starts_and_what_runs_is_finished():
    story = Story(budget=Target(1.0))
    running = story.run(0)
    story.train(1, 2.0)
    assert story.next_events(4) == []
    story.finish(running)
    ends(story, "the target score 1 was reached")


def test_a_larger_budget_reopens_a_study():
    story = Story(members=2, budget=Steps(10))
    for member in range(2):
        story.train(member, member)
    story.append(*story.next_events())
    assert story.next_events() == []
    story.append(ev.BudgetChanged((Steps(20),)))
    assert story.population.status == "running"
    assert story.proposals(2)[1].weights_from == 1


def test_a_smaller_budget_ends_a_study():
    story = Story(members=2, budget=Steps(100))
    for member in range(2):
        story.train(member)
    story.append(ev.BudgetChanged((Steps(5),)))
    ends(story, "every member has trained 5 steps")


# People -----------------------------------------------------------------------------------------


def test_a_study_that_is_asked_to_stop_ends_when_nothing_runs():
    story = Story()
    running = story.run(0)
    story.append(ev.StudyStopRequested("I have seen enough"))
    assert story.next_events(4) == []
    story.finish(running)
    ends(story, "I have seen enough")


def test_a_paused_study_decides_nothing():
    story = Story()
    story.append(ev.StudyPaused("lunch"))
    assert story.next_events(4) == []
    story.append(ev.StudyResumed())
    assert story.next_events(4)


# Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lanes", "limit"), [(1, 3), (2, 3), (3, 3), (4, 4), (100, 100)])
def test_how_many_failures_look_like_a_bug(lanes, limit):
    assert failure_limit(lanes) == limit


def test_failures_without_a_finish_between_them_pause_the_study():
    story = Story(members=2)
    story.fail_for_good(0)
    trial = story.fail(story.run(1))
    assert story.next_events() == [ev.StudyPaused("3 failures with no finished trial between them")]
    story.append(*story.next_events(), ev.StudyResumed())
    story.start(trial)
    assert story.proposals().keys() == {0}


def test_a_finish_between_them_starts_the_count_again():
    story = Story(members=3)
    story.fail_for_good(0)
    story.train(1)
    story.fail(story.run(2))
    assert story.proposals(3).keys() == {0, 1}


def test_lost_workers_are_no_bug():
    story = Story(members=2)
    trial = story.run(0)
    for _ in range(5):
        story.start(story.fail(trial, "lost"))
    assert story.next_events()


def test_a_study_in_which_all_fails_pauses():
    """REFERENCE: a bug must not look like bad luck."""
    befalls = mishaps(0, error=1.0)
    end = play(noisy().definition(PBT(), 5), Steps(100), noisy().run, mishaps=befalls)
    assert end.status == "paused"
    assert 5 <= end.failures <= 8  # those that ran already end too
    assert end.spent.tolist() == [0] * 5


# Finals -----------------------------------------------------------------------------------------


def finalists(finals=FINALS):
    """A study at its end: three lanes with scores 1, 3 and 2."""
    story = Story(members=3, budget=Steps(10))
    for member, score in enumerate((1.0, 3.0, 2.0)):
        story.train(member, score)
    story.append(*story.next_events(3, finals))
    return story


def test_the_best_are_evaluated_again_with_fresh_seeds():
    story = finalists()
    evaluations = [story.population.trial(trial) for trial in (3, 4)]
    assert [(e.kind, e.weights_from, e.evaluations) for e in evaluations] == [
        ("evaluate", 1, 5),
        ("evaluate", 2, 5),
    ]
    assert [(e.start, e.stop, e.steps) for e in evaluations] == [(10, 10, 0)] * 2
    assert evaluations[0].hparams == story.population.trial(1).hparams
    seeds = {story.population.trial(trial).seed for trial in range(5)}
    assert len(seeds) == 5


def test_the_best_is_the_one_that_is_confirmed_highest():
    story = finalists()
    assert story.population.best == 1
    for trial, score in ((4, 2.5), (3, 2.0)):
        story.finish(story.start(trial), score, saved=False)
    assert story.population.best == 2
    assert story.population.confirmed[2].score == 2.5
    assert story.population.trial(2).score == 2.0
    assert story.population.spent.tolist() == [10] * 3
    ends(story, "every member has trained 10 steps", finals=FINALS)


def test_a_finalist_is_evaluated_once():
    story = finalists()
    story.fail(story.start(story.fail(story.start(3))))
    story.finish(story.start(4), 9.0, saved=False)
    ends(story, "every member has trained 10 steps", finals=FINALS)
    assert story.population.best == 1


def test_a_finalist_without_a_checkpoint_is_left_out():
    story = Story(members=2, budget=Steps(10))
    for member in range(2):
        story.train(member, float(member))
    story.append(ev.CheckpointsReleased((0,)))
    assert story.proposals(finals=FINALS).keys() == {1}


def test_what_was_confirmed_stays_when_the_study_goes_on():
    """A later leader that is not confirmed higher gives the place back, weights and all."""
    toy, finals = noisy(noise=3.0), Finals(count=1, evaluations=20)
    for seed in range(5):
        definition = toy.definition(PBT(), 6, seed=seed)
        playing = Play(definition, Steps(50), toy.run, finals=finals)
        for steps in (60, 70, 80):
            playing.to_the_end()
            assert playing.population.best in playing.states
            playing.append(ev.BudgetChanged((Steps(steps),)))
        population = playing.to_the_end()
        highest = max(population.rivals, key=lambda t: population.confirmed[t].score)
        assert population.best == highest
        assert population.best in playing.states


def test_no_finals_where_none_are_asked_for():
    story = finalists(Finals(count=3, evaluations=0))
    assert story.population.status == "ended"


# Algorithms that have their own ideas -----------------------------------------------------------


@dataclass(frozen=True)
class Idle(Algorithm):
    """Proposes nothing."""

    done: str | None = None

    def decide(self, view, free):
        return Decision(done=self.done)

    def retains(self, view):
        return set()


@dataclass(frozen=True)
class Stopper(Algorithm):
    """Starts one lane and stops it when it has been measured."""

    def decide(self, view, free):
        stop = tuple(trial for trial in view.running if view.measurements(trial))
        proposals = () if view.running else (from_scratch(view, 0, "first start"),)
        return Decision(proposals, stop=stop)

    def retains(self, view):
        return set()


def test_an_algorithm_that_is_stuck_is_an_error():
    with pytest.raises(AlgorithmStuck, match=r"Idle proposes nothing .* Decision\(done='why'\)"):
        Story(Idle()).next_events(1)


def test_where_no_slot_is_free_nobody_is_stuck():
    assert Story(Idle()).next_events(0) == []
    assert Story(PBT()).next_events(0) == []


def test_an_algorithm_may_end_the_study():
    ends(Story(Idle(done="it has converged")), "it has converged")


def test_a_running_trial_is_asked_to_stop_once():
    story = Story(Stopper(), members=1)
    story.append(*story.next_events())
    assert story.next_events() == []
    story.start(0)
    story.append(ev.TrialMeasured(0, 0, 4, {"q": 0.1}))
    asked = story.next_events()
    assert asked == [ev.TrialStopRequested(0, "the algorithm asked for it")]
    story.append(*asked)
    assert story.next_events() == []
    story.append(ev.TrialStopped(0, 0, 4, 0.1, {"q": 0.1}, None))
    assert story.population.spent.tolist() == [4]


def test_measurements_of_a_failed_attempt_are_forgotten():
    story = Story(Stopper(), members=1)
    trial = story.run(0)
    story.append(ev.TrialMeasured(trial, 0, 4, {"q": 0.1}))
    story.start(story.fail(trial))
    assert story.view.measurements(trial) == []
    assert story.next_events() == []
