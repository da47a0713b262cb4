"""Population Based Training: known answers, ages, misfortune, and every option."""

import itertools

import numpy as np
import pytest

from evolution.story import Story
from heredity.errors import UsageError
from heredity.evolution.budget import Steps, Trials
from heredity.evolution.exploit import Deadband, Tournament, Truncation, TTest
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.ready import Every
from heredity.space import Integer, Keep, Space, Uniform
from heredity.testing.play import Play, mishaps, play
from heredity.testing.toys import figure2, noisy, quadratic


def trials(population):
    return [population.trial(trial) for trial in range(len(population))]


def best_score(population):
    return population.trial(population.best).score


# Known answers ----------------------------------------------------------------------------------


def on_figure2(seed=0, **options):
    """Figure 2 of the paper: two members, ready every 10 steps, synchronous."""
    algorithm = PBT(ready=Every(10), mode="sync", **options)
    definition = figure2().definition(algorithm, population=2, interval=10, seed=seed)
    return best_score(play(definition, Steps(200), figure2().run))


def test_figure2_without_exploit_and_explore():
    assert on_figure2(exploit=None, explore=None) == pytest.approx(0.390, abs=5e-4)


def test_figure2_with_exploit_alone():
    assert on_figure2(explore=None) == pytest.approx(0.390, abs=5e-4)


def test_figure2_with_exploit_of_weights_alone():
    assert on_figure2(explore=None, copy="weights") == pytest.approx(1.17, abs=5e-3)


def test_figure2_with_all_of_pbt():
    scores = [on_figure2(seed) for seed in range(20)]
    assert np.mean(scores) > 1.18
    assert min(scores) >= 1.15
    assert max(scores) <= figure2().best(200)


def test_a_schedule_beats_every_constant():
    """On a noisy quadratic the best rate falls with time; PBT finds such a schedule, and comes
    nearer to the optimum than the best constant rate there is."""
    toy, steps = quadratic(), 400

    def constant(lr):
        v = 1.0
        for _ in range(steps):
            v = (1 - lr) ** 2 * v + lr**2
        return v

    best_constant = min(constant(lr) for lr in np.geomspace(1e-4, 1, 2000))
    algorithm = PBT(ready=Every(0))
    found = [
        best_score(play(toy.definition(algorithm, 20, seed=s), Steps(steps), toy.run))
        for s in range(3)
    ]
    assert np.median(found) < 0.8 * best_constant
    assert min(found) > toy.best(steps)


def test_pbt_beats_random_search_at_equal_steps():
    def mean(algorithm):
        ends = [
            play(noisy().definition(algorithm, 10, seed=s), Steps(200), noisy().run)
            for s in range(5)
        ]
        return np.mean([np.mean(end.means[end.newest][:, 0]) for end in ends])

    assert mean(PBT()) > mean(RandomSearch()) + 20


# It ends, and nobody gets older -----------------------------------------------------------------


@pytest.mark.parametrize("order", range(3))
def test_sixteen_members_on_two_workers(order):
    """Seen elsewhere: with more members than workers, an asynchronous scheduler replaces the same
    two members for ever while the rest starve; the run never ends."""
    definition = noisy().definition(PBT(ready=Every(0)), population=16, interval=10)
    playing = Play(definition, Steps(200), noisy().run, slots=2, order=order)
    while playing.turn():
        spent = playing.population.spent
        assert spent.max() - spent.min() <= 20  # the furthest behind goes first
    population = playing.population
    assert population.ended_count == len(population) == 16 * 200 // 10
    assert population.spent.tolist() == [200] * 16


SPEEDS = [4.0, 1.0, 1.0, 1.0]


def oldest(**options):
    """The largest step any weights reach, with one worker four times as fast as the others."""
    algorithm = PBT(ready=Every(0), **options)
    ends = [
        play(
            noisy().definition(algorithm, population=4, seed=seed),
            Steps(200),
            noisy().run,
            speeds=SPEEDS,
        )
        for seed in range(10)
    ]
    assert all(end.spent.tolist() == [200] * 4 for end in ends)
    return [max(trial.stop for trial in trials(end)) for end in ends]


def test_no_weights_get_older_than_the_budget():
    """Seen elsewhere: comparing members at different ages rewards age."""
    assert oldest() == [200] * 10


def test_compared_with_the_latest_lineages_outgrow_the_budget():
    """Why "same step" is the default: slow members take over fast ones, and age wins."""
    assert np.median(oldest(compare="latest")) >= 240


def test_same_step_compares_with_the_record_of_that_age():
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0)), members=2)
    story.train(0, 5.0)
    story.train(0, 9.0)
    story.train(1, 1.0)
    proposal = story.proposals()[1]
    assert (proposal.weights_from, proposal.start, proposal.evidence) == (0, 10, (0, 2))


def test_latest_compares_with_the_newest():
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0), compare="latest"), members=2)
    story.train(0, 5.0)
    story.train(0, 9.0)
    story.train(1, 1.0)
    proposal = story.proposals()[1]
    assert (proposal.weights_from, proposal.start, proposal.evidence) == (1, 20, (1, 2))


def test_a_younger_record_is_compared_as_it_is():
    """A lane that has not come so far is judged by the furthest it got."""
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0)), members=2)
    story.train(0, 5.0)
    story.train(1, 1.0)
    story.train(1, 2.0)
    assert story.proposals(2)[1].weights_from == 0


# Modes ------------------------------------------------------------------------------------------


def test_synchronous_waits_for_all_and_decides_for_all():
    story = Story(PBT(mode="sync"))
    assert story.proposals(free=1).keys() == {0, 1, 2, 3}
    for member in range(3):
        story.train(member, float(member))
    running = story.run(3)
    assert story.next_events(4) == []
    story.finish(running, 3.0)
    assert story.proposals(free=1).keys() == {0, 1, 2, 3}


def test_a_synchronous_round_does_not_wait_for_a_dead_member():
    """Seen elsewhere: a synchronous round waits for ever for a dead member."""
    dead = play(
        noisy().definition(PBT(mode="sync"), population=6),
        Steps(60),
        noisy().run,
        mishaps=lambda t: "error" if t.member == 2 and t.turn == 1 else None,
    )
    assert dead.status == "ended"
    assert dead.spent.tolist() == [60] * 6
    assert dead.turns[2] == 7


def test_asynchronous_decides_for_free_slots_only():
    story = Story(PBT())
    assert list(story.proposals(free=2)) == [0, 1]
    story.run(0)
    story.train(1)
    assert list(story.proposals(free=4)) == [2, 3, 1]


# Options ----------------------------------------------------------------------------------------


def test_hparams_of_the_weights_come_with_the_weights():
    space = Space(lr=Uniform(0, 1), width=Integer(1, 64, move=Keep()))

    def story(copy):
        told = Story(PBT(exploit=Truncation(0.5), ready=Every(0), copy=copy), 2, space=space)
        told.train(0, 2.0, hparams={"lr": 0.9, "width": 8})
        told.train(1, 1.0, hparams={"lr": 0.1, "width": 32})
        return told.proposals(2)[1].hparams

    assert story("all")["width"] == 8
    assert story("weights")["width"] == 8
    assert story("hparams")["width"] == 32
    assert abs(story("weights")["lr"] - 0.1) < 0.05 < abs(story("hparams")["lr"] - 0.1)


def test_a_ramp_leads_from_the_hparams_of_the_weights():
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0), ramp=0.25), members=2)
    story.train(0, 2.0, hparams={"x": 0.3})
    story.train(1, 1.0, hparams={"x": 0.6})
    proposals = story.proposals(2)
    assert (proposals[1].ramp_from, proposals[1].ramp_steps) == ({"x": 0.3}, 2)
    assert (proposals[0].ramp_from, proposals[0].ramp_steps) == (None, 0)


def test_there_is_no_ramp_where_nothing_changes():
    story = Story(PBT(Truncation(0.5), None, Every(0), ramp=0.25), members=2)
    story.train(0, 2.0, hparams={"x": 0.3})
    story.train(1, 1.0, hparams={"x": 0.6})
    assert story.proposals(2)[1].ramp_from is None


def test_averaging_follows_the_weights():
    """A lane that took over another has the other's history."""
    story = Story(PBT(average=3, exploit=Truncation(0.5), ready=Every(0)), members=2)
    for score in (3.0, 6.0):
        story.train(0, score)
        story.train(1, 0.0)
    story.train(1, 9.0, weights_from=2)
    assert story.population.means.values[:, 0].tolist() == [3.0, 0.0, 4.5, 0.0, 6.0]
    assert story.population.best == 4


def test_averaging_changes_who_wins():
    def donor(average):
        story = Story(PBT(exploit=Truncation(0.4), ready=Every(0), average=average), members=3)
        for scores in ((5.0, 4.0, 0.0), (0.0, 4.0, 0.0), (5.0, 4.0, 0.0)):
            for member, score in enumerate(scores):
                story.train(member, score)
        return story.population.trial(story.proposals(3)[2].weights_from).member

    assert donor(average=1) == 0
    assert donor(average=3) == 1


def test_a_random_subset_is_measured_and_the_last_turn_always():
    definition = noisy().definition(PBT(measure=0.25), population=8)
    population = play(definition, Steps(300), noisy().run, order=3)
    subsets = []
    for turn in range(30):
        of_turn = [t for t in trials(population) if t.turn == turn]
        subsets.append({t.member for t in of_turn if t.evaluations})
        assert all((t.score is None) == (t.evaluations == 0) for t in of_turn)
    assert [len(subset) for subset in subsets] == [2] * 29 + [8]
    assert len(set(map(frozenset, subsets))) > 10
    assert set().union(*subsets[:29]) == set(range(8))


@pytest.mark.parametrize("rule", [Truncation(0.5), Tournament(), TTest(), Deadband()], ids=str)
def test_an_unmeasured_member_takes_over_nobody(rule):
    story = Story(PBT(rule, ready=Every(0)), members=2)
    for noise in (0.0, 0.1, -0.1):
        story.train(0, 5.0 + noise)
        story.train(1, 1.0 + noise)
    assert story.proposals(2)[1].reason != "goes on"
    story.train(0, 6.0)
    story.finish(story.run(1, evaluations=0), None)
    assert story.proposals(2)[1].reason == "goes on"


def test_the_last_trial_is_shortened_to_fit():
    population = play(noisy().definition(PBT(), 3, interval=10), Steps(25), noisy().run)
    assert [t.steps for t in trials(population) if t.member == 1] == [10, 10, 5]


def test_ready_counts_from_the_last_exploit():
    algorithm = PBT(exploit=Truncation(0.5), ready=Every(30))
    population = play(noisy().definition(algorithm, 4, seed=2), Steps(200), noisy().run)
    for member in range(4):
        taken = [t.turn for t in trials(population) if t.member == member and t.evidence]
        assert all(b - a >= 3 for a, b in itertools.pairwise([0, *taken]))
    assert population.exploits > 0


def test_clones_of_one_parent_mutate_differently():
    """Seen elsewhere: one random key for all hparams, so that all move together; clones of one
    parent mutate identically."""
    space = Space({f"h{n}": Uniform(0.0, 1.0) for n in range(12)})
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0)), members=20, space=space)
    for member in range(20):
        story.train(member, float(member == 0), hparams=dict.fromkeys(space.names, 0.5))
    clones = [p.hparams for p in story.proposals(20).values() if p.evidence]
    assert len(clones) == 10
    assert len({tuple(hparams.values()) for hparams in clones}) == 10
    assert all(len(set(hparams.values())) > 1 for hparams in clones)


def test_the_reason_is_fit_for_a_person():
    story = Story(PBT(exploit=Truncation(0.5), ready=Every(0)), members=2)
    story.train(0, 0.75)
    story.train(1, 0.5)
    assert story.proposals(2)[1].reason == "member 1 (0.5) takes over trial 0 of member 0 (0.75)"


# Retaining --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "slots"), [("sync", 3), ("sync", 16), ("async", 1), ("async", 3)])
def test_two_checkpoints_a_member_are_enough(mode, slots):
    """Bounded disk, whatever the length of the study: as long as no member falls behind, none keeps
    more than its last trial and the one before it."""
    definition = noisy().definition(PBT(mode=mode, ready=Every(0)), population=8)
    playing = Play(definition, Steps(300), noisy().run, slots=slots, order=slots)
    most = 0
    while playing.turn():
        most = max(most, len(playing.states))
    assert most <= 2 * 8 + 3


@pytest.mark.parametrize("exploit", [None, Truncation()])
@pytest.mark.parametrize("compare", ["same step", "latest"])
def test_collection_changes_no_decision(exploit, compare):
    """A decision is the same whether or not what nothing wants was let go."""

    def proposals(keep):
        algorithm = PBT(exploit=exploit, compare=compare, ready=Every(0))
        playing = Play(
            noisy().definition(algorithm, population=6),
            Steps(100),
            noisy().run,
            order=4,
            keep=keep,
            mishaps=mishaps(1, diverged=0.05),
        )
        playing.to_the_end()
        return list(playing.population.proposed)

    assert proposals("needed") == proposals("all") == proposals("lineage")


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mode": "asynchronous"}, "mode is one of 'async', 'sync'; got 'asynchronous'"),
        ({"copy": "both"}, "copy is one of"),
        ({"compare": "same"}, "compare is one of"),
        ({"average": 0}, "average"),
        ({"ramp": 1.5}, "ramp"),
        ({"measure": 0}, "measure"),
        ({"measure": 1.5}, "measure"),
        ({"explore": "perturb"}, "explore is"),
    ],
)
def test_options_that_make_no_sense(options, match):
    with pytest.raises(UsageError, match=match):
        PBT(**options)


def test_trials_end_a_study_of_any_shape():
    population = play(noisy().definition(PBT(mode="sync"), 4), Trials(10), noisy().run)
    assert (population.ended_count, population.status) == (10, "ended")
    assert population.turns.tolist() == [3, 3, 2, 2]
