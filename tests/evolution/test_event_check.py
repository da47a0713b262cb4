"""The check of a block: each event against what its predecessors would leave behind."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.story import Story, facts, finished
from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.check import Check
from heredity.evolution.population import Population
from heredity.evolution.trial import Checkpoint, Proposal
from heredity.testing import strategies

SAVED = Checkpoint("memory:0", 1, "")


def proposal(member=0, turn=0, **fields):
    return Proposal(
        **{"member": member, "turn": turn, "hparams": {}, "start": 0, "stop": 10, **fields}
    )


def refused(story, *events, match=""):
    before = facts(story.population)
    with pytest.raises(IllegalEvent, match=match):
        story.population.apply(events)
    assert facts(story.population) == before


# Blocks -----------------------------------------------------------------------------------------


@st.composite
def blocks(draw):
    """A legal log, and a block of events that once were legal: repeated, left out, out of order."""
    log = draw(strategies.logs())
    split = draw(st.integers(0, len(log)))
    near = log[max(0, split - 5) : split + 10]
    block = draw(st.lists(st.sampled_from(near), max_size=6)) if near else []
    tail = log[split : split + draw(st.integers(0, 10))]
    return log[:split], draw(st.sampled_from([block, tail, tail + block, tail[::-1], tail[1:]]))


@given(blocks())
def test_a_block_is_legal_if_its_events_are_one_after_the_other(case):
    before, block = case
    whole, single = Population.fold(before), Population.fold(before)
    untouched = facts(whole)
    try:
        whole.apply(block)
    except IllegalEvent:
        assert facts(whole) == untouched
        with pytest.raises(IllegalEvent):
            single.replay(block)
    else:
        single.replay(block)
        assert facts(whole) == facts(single)


def test_a_whole_life_fits_in_one_block():
    story = Story()
    first = ev.TrialProposed(0, 0, proposal())
    second = ev.TrialProposed(1, 0, proposal(turn=1, weights_from=0, start=10, stop=20))
    story.append(
        first,
        ev.TrialStarted(0, 0),
        ev.TrialFailed(0, 0, "error", "a bug"),
        ev.TrialStarted(0, 1),
        finished(0, attempt=1),
        ev.CheckpointPinned(0),
        second,
        ev.TrialInjected(0, {}, None),
        ev.StudyStopRequested("enough"),
    )
    assert (story.population.statuses, story.population.status) == (
        ["finished", "proposed"],
        "stopping",
    )


def test_after_the_last_failure_of_a_block_no_completion_counts():
    """The lane moved on within the block."""
    story = Story()
    trial = story.fail(story.run(0))
    story.start(trial)
    refused(
        story,
        ev.TrialFailed(trial, 1, "error", "a bug"),
        finished(trial, attempt=1),
        match="failed for good",
    )


def test_a_pin_protects_at_once():
    story = Story()
    story.train(0)
    refused(story, ev.CheckpointPinned(0), ev.CheckpointsReleased((0,)), match="still needed")
    story.append(ev.CheckpointPinned(0))
    story.append(ev.CheckpointUnpinned(0), ev.CheckpointsReleased((0,)))
    assert not story.population.held


def test_a_proposal_protects_its_source_at_once():
    story = Story()
    story.train(0)
    wanted = ev.TrialProposed(1, 0, proposal(turn=1, weights_from=0, start=10, stop=20))
    refused(story, wanted, ev.CheckpointsReleased((0,)), match="still needed")
    refused(story, ev.CheckpointsReleased((0,)), wanted, match="no checkpoint")
    refused(story, ev.CheckpointsReleased((0,)), ev.CheckpointsReleased((0,)), match="to release")
    refused(story, ev.CheckpointsReleased((0, 0)), match="twice")


def test_one_open_trial_a_lane_within_a_block():
    two = [ev.TrialProposed(n, 0, proposal(turn=n)) for n in range(2)]
    refused(Story(), *two, match="open trial")


def test_an_injection_is_carried_out_once():
    story = Story()
    story.append(ev.TrialInjected(0, {"x": 0.1}, None), ev.TrialInjected(1, {"x": 0.2}, None))
    two = [ev.TrialProposed(n, 0, proposal(n, injection=0)) for n in range(2)]
    refused(story, *two, match="not waiting")
    refused(story, ev.TrialInjected(1, {}, None), match="out of order")


def test_a_study_does_not_end_within_a_block_while_a_trial_is_open():
    story = Story()
    opened = ev.TrialProposed(0, 0, proposal())
    refused(story, opened, ev.StudyEnded("over"), match="1 trials are open")
    story.append(opened, ev.TrialStarted(0, 0), finished(0), ev.StudyEnded("over"))
    assert story.population.status == "ended"


# Single events ----------------------------------------------------------------------------------

REFUSED = {
    "next number": proposal(),
    "out of order": proposal(1, turn=3),
    "no member 4": proposal(4),
    "no member -1": proposal(-1),
    "trains no step": proposal(1, stop=0),
    "from no weights": proposal(1, start=10, stop=20),
    "begins from trial 7": proposal(1, weights_from=7, start=10, stop=20),
    "takes hparams from trial 7": proposal(1, hparams_from=(7,)),
    "injection 0 is not waiting": proposal(1, injection=0),
    "needs weights and no steps": proposal(1, kind="evaluate"),
    "lane 0 already has an open trial": proposal(0, turn=1),
}


@pytest.mark.parametrize("match", REFUSED)
def test_proposals_that_cannot_be_carried_out(match):
    story = Story()
    story.propose(0)
    number = 5 if match == "next number" else 1
    refused(story, ev.TrialProposed(number, 0, REFUSED[match]), match=match)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_is_never_stored(score):
    story = Story()
    trial = story.run(0)
    refused(story, finished(trial, score), match="TrialDiverged")
    refused(story, ev.TrialStopped(trial, 0, 5, score, {}, SAVED), match="TrialDiverged")


@pytest.mark.parametrize("reached", [-1, 11])
def test_a_trial_stops_between_its_start_and_its_stop(reached):
    story = Story()
    trial = story.run(0)
    refused(story, ev.TrialStopped(trial, 0, reached, 1.0, {}, SAVED), match="not in 0 to 10")


def test_attempts_are_numbered():
    story = Story()
    trial = story.propose(0)
    refused(story, ev.TrialStarted(trial, 1, "w"), match="next attempt is 0")
    story.start(trial)
    story.fail(trial)
    refused(story, ev.TrialStarted(trial, 0, "w"), match="next attempt is 1")


def test_news_of_an_earlier_attempt_is_refused_and_its_completion_counts():
    """Whoever finishes a trial that is still wanted has finished it."""
    story = Story()
    trial = story.start(story.fail(story.run(0), "lost"))
    refused(story, ev.TrialFailed(trial, 0, "error", "late"), match="attempt 0")
    refused(story, ev.TrialMeasured(trial, 0, 5, {"q": 1.0}), match="attempt 0")
    story.finish(trial, attempt=0)
    refused(story, finished(trial, attempt=1), match="which is finished")
    assert story.population.spent.tolist() == [10, 0, 0, 0]


def test_pins_are_for_checkpoints_that_exist():
    story = Story()
    trial = story.finish(story.run(0), saved=False)
    refused(story, ev.CheckpointPinned(trial), match="no checkpoint")
    refused(story, ev.CheckpointUnpinned(trial), match="not pinned")
    story.train(1)
    story.append(ev.CheckpointPinned(1))
    refused(story, ev.CheckpointPinned(1), match="already pinned")


@given(strategies.logs())
def test_a_log_is_legal_event_by_event(log):
    population = Population()
    for event in log:
        Check(population).verify(event)
        population.apply([event])


@given(strategies.logs(whole=True), st.data())
def test_no_ending_counts_twice(log, data):
    """Nothing that ended a trial is accepted a second time, at any later moment."""
    endings = [
        (at, e)
        for at, e in enumerate(log)
        if isinstance(e, ev.TrialFinished | ev.TrialDiverged | ev.TrialStopped)
    ]
    at, event = data.draw(st.sampled_from(endings))
    later = data.draw(st.integers(at + 1, len(log)))
    population = Population.fold(itertools.islice(log, later))
    with pytest.raises(IllegalEvent):
        population.apply([event])


def test_a_budget_is_changed_at_any_time():
    for status in ([], [ev.StudyPaused("x")], [ev.StudyStopRequested("x")], [ev.StudyEnded("x")]):
        story = Story()
        story.append(*status, ev.BudgetChanged((Steps(7),)))
        assert story.population.budget == (Steps(7),)
