"""Which checkpoints may go: never one that is needed."""

import pytest
from hypothesis import given

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.collect import releasable
from heredity.evolution.definition import Definition
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.view import View
from heredity.testing import strategies
from heredity.testing.play import Play
from heredity.testing.toys import noisy


def goes(story, keep="needed", finalists=1):
    return set(
        releasable(story.population, story.view, story.definition.algorithm, keep, finalists)
    )


def lanes(algorithm, *scores):
    """One lane for each sequence of scores."""
    story = Story(algorithm, members=len(scores))
    for turn in zip(*scores, strict=True):
        for member, score in enumerate(turn):
            story.train(member, score)
    return story


def test_what_idle_lanes_go_on_from_and_the_best_stay():
    story = lanes(RandomSearch(), [1.0, 9.0, 2.0], [1.0, 1.0, 1.0])
    assert story.population.held == {0, 1, 2, 3, 4, 5}
    assert goes(story) == {0, 1, 3}


def test_what_an_open_trial_begins_from_stays():
    """Seen elsewhere: retention deletes a checkpoint that another member is about to inherit."""
    story = lanes(RandomSearch(), [1.0, 2.0], [1.0, 3.0])
    story.propose(0, weights_from=1)
    assert goes(story) == {0, 2}
    story.fail(story.start(story.fail(story.start(4))))
    assert goes(story) == {0, 2}  # the lane's last trial failed for good: it begins there again


def test_records_that_a_younger_member_will_be_compared_with_stay():
    story = Story(PBT(), members=2)
    for score in (1.0, 2.0, 3.0, 4.0):
        story.train(0, score)
    story.run(1)
    assert goes(story) == set()
    story.finish(4, 0.5)
    story.train(1, 0.6)
    assert goes(story) == {0, 4}


def test_finalists_stay():
    story = lanes(RandomSearch(), [9.0, 1.0], [8.0, 1.0], [7.0, 1.0])
    assert goes(story, finalists=0) == {1, 2}
    assert goes(story, finalists=2) == {2}
    assert goes(story, finalists=3) == set()


def test_what_was_confirmed_stays_while_it_may_become_the_best_again():
    story = lanes(RandomSearch(), [5.0], [4.0])
    evaluation = {"kind": "evaluate", "start": 10, "stop": 10}
    story.finish(story.run(0, 0, **evaluation), 5.0, saved=False)
    for score in (1.0, 2.0):
        story.train(0, score)
    story.train(1, 6.0)
    assert story.population.best == 5  # not confirmed yet
    assert goes(story) == {1, 3}
    story.append(ev.CheckpointsReleased((1, 3)))
    story.finish(
        story.run(
            1,
            5,
            **evaluation,
        ),
        3.0,
        saved=False,
    )
    assert story.population.best == 0
    assert 0 in story.population.held


def test_pins_and_sources_of_injections_stay():
    story = lanes(RandomSearch(), [1.0, 2.0, 3.0])
    assert goes(story) == {0, 1}
    story.append(ev.CheckpointPinned(0), ev.TrialInjected(0, {"x": 0.1}, 1))
    assert goes(story) == set()
    story.append(ev.CheckpointUnpinned(0))
    assert goes(story) == {0}


def test_the_last_of_every_lane_stays_at_the_end():
    """A larger budget reopens the study."""
    story = lanes(PBT(), [1.0, 2.0], [3.0, 4.0])
    story.append(ev.BudgetChanged((Steps(20),)))
    story.append(*story.next_events())
    assert story.population.status == "ended"
    assert {2, 3} <= story.population.held - goes(story)


def test_keep_lineage_keeps_the_ancestors_of_what_stays():
    story = lanes(RandomSearch(), [1.0, 2.0, 3.0], [1.0, 0.0, 0.0])
    story.train(1, 0.5, weights_from=4)
    assert goes(story) == {0, 1, 2, 3, 5}
    assert goes(story, "lineage") == {1, 3, 5}
    assert goes(story, "all") == set()


@given(strategies.logs())
def test_what_goes_is_never_needed(log):
    definition, population = Definition.from_json(log[0].definition), Population.fold(log)
    view = View(population, definition)
    for keep in ("needed", "lineage"):
        gone = set(releasable(population, view, definition.algorithm, keep, 1))
        assert gone <= population.held
        assert population.best not in gone
        assert not gone & {int(population.source[trial]) for trial in population.open}
        if gone:
            population.apply([ev.CheckpointsReleased(tuple(gone))])


@pytest.mark.parametrize("keep", ["needed", "lineage", "all"])
def test_bytes_are_those_of_what_is_held(keep):
    playing = Play(noisy().definition(PBT(), 5), Steps(80), noisy().run, keep=keep, order=0)
    while playing.turn():
        assert playing.population.bytes_kept == len(playing.population.held) == len(playing.states)
    assert (len(playing.states) == 40) == (keep == "all")
