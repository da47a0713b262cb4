"""The moves that every algorithm makes with a lane."""

from evolution.story import Story
from heredity.evolution.budget import Steps
from heredity.evolution.lanes import from_scratch, go_on, going_on_from


def test_from_scratch_is_the_lanes_next_turn():
    story = Story(budget=Steps(14))
    proposal = from_scratch(story.view, 2, "why not")
    assert (proposal.member, proposal.turn, proposal.start, proposal.stop) == (2, 0, 0, 10)
    assert (proposal.weights_from, proposal.hparams_from) == (None, ())
    story.train(2)
    again = from_scratch(story.view, 2, "why not")
    assert (again.turn, again.start, again.stop) == (1, 0, 4)
    assert again.hparams != proposal.hparams


def test_go_on_from_the_last_trial():
    story = Story(budget=Steps(14))
    story.train(1, hparams={"x": 0.25})
    proposal = go_on(story.view, 1)
    assert (proposal.weights_from, proposal.hparams_from, proposal.turn) == (0, (0,), 1)
    assert (proposal.start, proposal.stop, proposal.hparams) == (10, 14, {"x": 0.25})
    assert go_on(story.view, 1, reason="a whim").reason == "a whim"


def test_what_idle_lanes_go_on_from():
    story = Story()
    story.train(0)
    story.train(0)
    story.train(1)
    story.fail_for_good(1)
    story.diverge(2)
    assert going_on_from(story.view) == {1, 2}
    story.run(0)
    assert going_on_from(story.view) == {2}
