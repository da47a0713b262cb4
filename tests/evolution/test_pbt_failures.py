"""Population Based Training in misfortune: what diverges, fails or loses its weights gets a new
start, and nobody is dropped."""

import pytest

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.pbt import PBT
from heredity.evolution.ready import Every
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy


def weak_and_strong(**options):
    """Four lanes at step 20, better from lane to lane."""
    story = Story(PBT(ready=Every(0), **options))
    for _ in range(2):
        for member in range(4):
            story.train(member, float(member))
    return story


def test_a_diverged_lane_takes_over_a_healthy_one():
    """Whatever its place in the ranking, and even where nothing else is taken over."""
    for options in ({}, {"exploit": None}, {"copy": "weights"}, {"copy": "hparams"}):
        story = weak_and_strong(**options)
        lost = story.diverge(3)
        proposal = story.proposals(4)[3]
        donor = story.population.trial(proposal.weights_from)
        assert donor.member == 2
        assert proposal.hparams_from == (donor.id,)
        assert proposal.evidence == (donor.id, lost)
        assert "diverged" in proposal.reason


def test_a_divergence_is_charged():
    story = weak_and_strong()
    story.diverge(3)
    assert story.population.spent.tolist() == [20, 20, 20, 30]
    assert story.population.ended_count == 9


def test_a_lane_that_fails_is_tried_again_and_then_takes_over():
    """REFERENCE: a failed member is dropped and the population shrinks, down to one."""
    story = weak_and_strong()
    trial = story.fail(story.run(0))
    assert list(story.population.waiting) == [trial]
    assert 0 not in story.proposals(4)
    story.fail(story.start(trial))
    proposal = story.proposals(4)[0]
    assert story.population.trial(proposal.weights_from).member == 3
    assert proposal.hparams != story.population.trial(proposal.weights_from).hparams
    assert (proposal.turn, proposal.start) == (3, 20)
    assert story.population.spent.tolist() == [20, 20, 20, 20]


def test_without_a_donor_a_failed_lane_tries_its_own_weights_with_other_hparams():
    story = Story(PBT(), members=1)
    good = story.train(0, 1.0)
    story.fail_for_good(0)
    proposal = story.proposals()[0]
    assert (proposal.weights_from, proposal.start) == (good, 10)
    assert proposal.hparams != story.population.trial(good).hparams


@pytest.mark.parametrize("ending", ["diverge", "fail_for_good"])
def test_without_any_weights_a_lane_starts_from_the_prior(ending):
    story = Story(PBT(), members=2)
    getattr(story, ending)(0)
    proposal = story.proposals()[1 if ending == "diverge" else 0]
    proposal = story.proposals(2)[0]
    assert (proposal.weights_from, proposal.start, proposal.turn) == (None, 0, 1)
    assert proposal.hparams != {"x": 0.5}


def test_a_lane_whose_checkpoint_is_gone_takes_over():
    """It was found damaged, say."""
    story = weak_and_strong()
    story.append(ev.CheckpointsReleased((4,)))
    proposal = story.proposals(4)[0]
    assert story.population.trial(proposal.weights_from).member == 3
    assert "trial 4 lost its checkpoint" in proposal.reason


def test_a_rescue_is_never_from_a_step_the_lane_has_not_paid_for():
    story = Story(PBT(), members=2)
    for score in (1.0, 2.0, 3.0):
        story.train(0, score)
    story.diverge(1)
    assert story.proposals(2)[1].weights_from == 0


def test_a_lane_that_goes_on_failing_never_stops_the_others():
    befalls = mishaps(0, error=0.3, diverged=0.1)
    playing = Play(noisy().definition(PBT(), 8), Steps(100), noisy().run, mishaps=befalls, order=0)
    while playing.turn() or playing.population.status == "paused":
        if playing.population.status == "paused":
            playing.append(ev.StudyResumed())
    assert playing.population.spent.tolist() == [100] * 8
    assert playing.population.failures > 20
