"""Random search: each member trains its own draw to the end."""

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.random_search import RandomSearch
from heredity.testing.play import play
from heredity.testing.toys import noisy


def trials(population):
    return [population.trial(trial) for trial in range(len(population))]


def test_each_member_keeps_its_draw():
    population = play(noisy().definition(RandomSearch(), 6), Steps(50), noisy().run, order=0)
    lanes = {m: [t for t in trials(population) if t.member == m] for m in range(6)}
    for lane in lanes.values():
        assert len({tuple(t.hparams.values()) for t in lane}) == 1
        assert [t.weights_from for t in lane] == [None, *(t.id for t in lane[:-1])]
    assert len({lane[0].hparams["x"] for lane in lanes.values()}) == 6
    assert population.exploits == 0


def test_a_member_whose_checkpoint_is_gone_draws_again():
    story = Story(RandomSearch(), members=2)
    for member in (0, 1):
        story.train(member)
    story.append(ev.CheckpointsReleased((1,)))
    proposals = story.proposals(2)
    assert (proposals[0].weights_from, proposals[1].weights_from) == (0, None)


def test_a_member_that_diverged_draws_again():
    population = play(
        noisy().definition(RandomSearch(), 2),
        Steps(30),
        noisy().run,
        mishaps=lambda t: "diverged" if (t.member, t.turn) == (0, 1) else None,
    )
    first, _, third = (t for t in trials(population) if t.member == 0)
    assert (third.weights_from, third.start) == (None, 0)
    assert third.hparams != first.hparams
