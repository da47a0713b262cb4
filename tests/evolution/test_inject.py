"""Injections: what a person asks for is carried out by the weakest idle lane, once."""

from hypothesis import given
from hypothesis import strategies as st

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.pbt import PBT
from heredity.testing.play import Play
from heredity.testing.toys import noisy


def ranked():
    story = Story(PBT(), members=4)
    for member, score in enumerate((3.0, 1.0, 2.0, 4.0)):
        story.train(member, score)
    return story


def test_the_weakest_idle_lane_carries_it_out():
    story = ranked()
    story.append(ev.TrialInjected(0, {"x": 0.123}, None))
    proposals = story.proposals(4)
    injected = proposals[1]
    assert (injected.hparams, injected.injection) == ({"x": 0.123}, 0)
    assert (injected.weights_from, injected.start, injected.stop) == (None, 0, 10)
    assert injected.reason == "injected by a person"
    assert [p.injection for m, p in proposals.items() if m != 1] == [None] * 3


def test_it_is_carried_out_once_and_in_order():
    story = ranked()
    story.append(ev.TrialInjected(0, {"x": 0.1}, None), ev.TrialInjected(1, {"x": 0.2}, 3))
    story.append(*story.next_events(1))
    assert [i.number for i in story.population.injections] == [1]
    assert story.population.proposal_of(4).injection == 0
    (second,) = story.proposals(1).values()
    assert (second.injection, second.weights_from, second.start) == (1, 3, 10)
    story.append(*story.next_events(3))
    assert not story.population.injections


def test_weights_that_are_gone_are_said_to_be():
    story = ranked()
    story.append(ev.TrialInjected(0, {"x": 0.1}, 0), ev.CheckpointsReleased((0,)))
    story.run(1)
    story.run(2)
    story.run(3)
    story.append(ev.BudgetChanged((Steps(100),)))
    story.population.last[0] = 1  # its own weights are gone too: it only matters that it is idle
    (injected,) = story.proposals(1).values()
    assert (injected.weights_from, injected.start) == (None, 0)
    assert "the checkpoint of trial 0 was released" in injected.reason


@given(st.integers(0, 30), st.booleans(), st.integers(0, 3))
def test_an_injection_changes_no_budget(turns, with_weights, order):
    definition = noisy().definition(PBT(), population=4)
    playing = Play(definition, Steps(80), noisy().run, slots=2, order=order)
    for _ in range(turns):
        playing.turn()
    weights = playing.population.best if with_weights else None
    if playing.population.status == "running":
        playing.append(ev.TrialInjected(0, {"x": 0.7, "y": 0.5}, weights))
    population = playing.to_the_end()
    assert population.spent.tolist() == [80] * 4
    carried_out = [e for e in population.proposed if e.proposal.injection == 0]
    assert len(carried_out) == population.injected - len(population.injections)
