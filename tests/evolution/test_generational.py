"""Initiators, opponents and their children, one at a time; what befalls them; every option."""

import numpy as np
import pytest

from evolution.brood import Brood
from heredity.errors import UsageError
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.explore import Perturb
from heredity.evolution.generational import Generational
from heredity.evolution.random_search import RandomSearch
from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogUniform,
    Neighbour,
    Ordinal,
    Resample,
    Space,
    Uniform,
)
from heredity.testing.play import play
from heredity.testing.toys import figure2, noisy, quadratic

# Who is the parent ------------------------------------------------------------------------------


def test_the_first_generation_is_drawn_from_the_prior():
    child = Brood(initial=({"x": 0.25},)).child(0)
    assert (child.generation, child.weights_from, child.evidence) == (0, None, ())
    assert child.hparams == {"x": 0.25}
    assert child.reason == "first generation"


@pytest.mark.parametrize(("scores", "parent"), [((1.0, 2.0), 1), ((2.0, 1.0), 0), ((1.0, 1.0), 0)])
def test_the_fitter_gives_weights_and_hparams(scores, parent):
    """Of equals the initiator."""
    brood = Brood()
    brood.generation(*scores)
    child = brood.child(0)
    assert (child.evidence, child.generation, child.turn) == ((0, 1), 1, 1)
    assert (child.weights_from, child.hparams_from) == (parent, (parent,))
    assert (child.start, child.stop) == (10, 20)
    ours = brood.population.proposal_of(parent).hparams["x"]
    assert child.hparams["x"] == pytest.approx(ours * 1.2) or child.hparams["x"] == pytest.approx(
        ours * 0.8
    )


def test_the_reason_is_fit_for_a_person():
    brood = Brood()
    brood.generation(0.5, 0.75)
    assert brood.child(0).reason == "trial 0 (0.5) meets trial 1 (0.75): trial 1 is the parent"
    assert brood.child(1).reason == "trial 1 (0.75) meets trial 0 (0.5): trial 1 is the parent"


def test_whoever_ends_first_meets_nobody_and_goes_on():
    brood = Brood()
    brood.begin(1)
    first = brood.end(0, 3.0)
    child = brood.child(0)
    assert (child.weights_from, child.evidence, child.start) == (first, (first,), 10)
    assert child.hparams != brood.population.proposal_of(first).hparams
    assert child.reason == "trial 1 meets nobody yet and goes on"


def test_opponents_are_of_the_last_two_generations():
    """Lane 1 still trains generation 1, so lane 0's trial of that generation meets lane 1's of
    generation 0; and never, from a lane ahead, what came after its own generation."""
    brood = Brood(members=2)
    brood.generation(0.0, 5.0)
    slow = brood.begin(1)
    brood.end(0, 1.0)
    assert brood.child(0).evidence == (3, 1)
    fast = brood.end(0, 99.0)
    brood.finish(slow, 2.0)
    assert brood.child(1).evidence == (slow, 3)
    assert brood.population.proposal_of(fast).generation == 2


def test_every_other_lane_is_met_equally_often():
    met = []
    for seed in range(200):
        brood = Brood(members=5, seed=seed)
        brood.generation(*[0.0] * 5)
        met.append(brood.child(2).evidence[1])
    assert sorted(set(met)) == [0, 1, 3, 4]
    assert min(met.count(lane) for lane in (0, 1, 3, 4)) >= 30


def test_clones_of_one_parent_mutate_differently():
    """Each lane draws for itself, and each hparam too."""
    space = Space({f"h{n}": Uniform(0.0, 1.0) for n in range(12)})
    brood = Brood(space=space, initial=(dict.fromkeys(space.names, 0.5),) * 2)
    brood.generation(1.0, 2.0)
    children = [brood.child(member) for member in (0, 1)]
    assert [child.weights_from for child in children] == [1, 1]
    assert children[0].hparams != children[1].hparams
    assert all(len(set(child.hparams.values())) == 2 for child in children)


# Waiting ----------------------------------------------------------------------------------------


def test_a_lane_waits_until_its_generation_is_full():
    brood = Brood(members=3)
    brood.generation(1.0, 2.0, 3.0)
    brood.begin(1)
    brood.end(0)
    assert brood.proposals(3).keys() == {0, 2}
    assert list(brood.proposals(1)) == [2]  # first more trials of its generation
    brood.begin(2)
    brood.end(0)
    assert brood.proposals(3) == {}  # lanes 1 and 2 have not begun generation 2


def test_a_lane_whose_budget_is_used_is_not_waited_for():
    """Lane 0, stopped early once, needs a generation more than lane 1 has."""
    brood = Brood(members=2, budget=Steps(20))
    brood.stopped(0, reached=5)
    for member in (1, 0, 1):
        brood.end(member)
    last = brood.end(0)
    assert brood.population.proposal_of(last).generation == 2
    assert brood.population.spent.tolist() == [20, 20]


# Misfortune -------------------------------------------------------------------------------------


def test_a_diverged_initiator_takes_its_opponent_as_the_parent():
    brood = Brood()
    brood.end(1, -5.0)
    lost = brood.diverged(0)
    child = brood.child(0)
    assert (child.weights_from, child.evidence, child.generation) == (0, (lost, 0), 1)
    assert child.reason == "trial 1 diverged: trial 0 (-5) is the parent"


def test_what_diverged_is_no_opponent():
    brood = Brood(members=3)
    brood.diverged(1)
    brood.end(0, 1.0)
    brood.end(2, 0.0)
    assert brood.child(0).evidence == (1, 2)


def test_where_nobody_can_give_weights_a_lane_starts_from_the_prior():
    brood = Brood()
    for member in (0, 1):
        brood.diverged(member)
    child = brood.child(0)
    assert (child.weights_from, child.start, child.generation) == (None, 0, 1)
    assert child.evidence == (0,)
    assert child.hparams != brood.population.proposal_of(0).hparams
    assert child.reason == "trial 0 diverged, nor can others: new start from the prior"


def test_a_child_that_failed_for_good_is_initiated_again_in_another_way():
    brood = Brood(members=6)
    brood.generation(*map(float, range(6)))
    lost = brood.failed(0)
    before, child = brood.population.proposal_of(lost), brood.child(0)
    assert (child.generation, child.evidence[0], child.turn) == (1, 0, 2)
    assert child.hparams != before.hparams
    again = [brood.failed(0) for _ in range(2)]
    assert all(brood.population.proposal_of(trial).evidence[0] == 0 for trial in again)
    others = {brood.population.proposal_of(trial).evidence[1] for trial in (lost, *again)}
    assert len(others) > 1


def test_a_first_trial_that_failed_for_good_is_drawn_again():
    brood = Brood()
    brood.end(1, 1.0)
    lost = brood.failed(0)
    child = brood.child(0)
    assert (child.generation, child.weights_from, child.turn) == (0, None, 1)
    assert child.hparams != brood.population.proposal_of(lost).hparams


def test_an_initiator_that_lost_its_checkpoint_takes_the_opponent():
    brood = Brood()
    brood.generation(9.0, 1.0)
    brood.append(ev.CheckpointsReleased((0,)))
    child = brood.child(0)
    assert (child.weights_from, child.evidence) == (1, (0, 1))
    assert child.reason == "trial 0 lost its checkpoint: trial 1 (1) is the parent"
    assert brood.child(1).evidence == (1,)


def test_an_injected_trial_is_of_its_lanes_generation_and_initiates():
    brood = Brood()
    brood.generation(1.0, 2.0)
    brood.append(ev.TrialInjected(0, {"x": 0.5}, None))
    (member,) = [m for m, p in brood.proposals(2).items() if p.injection is not None]
    injected = brood.end(member, 3.0)
    assert brood.population.proposal_of(injected).generation == 1
    other = 1 - member
    brood.end(other, 0.0)
    child = brood.child(member)
    assert (child.evidence[0], child.generation, child.weights_from) == (injected, 2, injected)


# Stopped early ----------------------------------------------------------------------------------


def test_a_stopped_trial_initiates_and_meets_nobody_it_has_not_paid_for():
    brood = Brood()
    early = brood.stopped(0, reached=5, score=0.0)
    brood.end(1, 9.0)
    child = brood.child(0)
    assert (child.evidence, child.start, child.stop) == ((early,), 5, 15)
    brood.end(0, 0.0)
    child = brood.child(0)
    assert (child.weights_from, child.start) == (1, 10)
    assert child.generation == 2


# Options ----------------------------------------------------------------------------------------

SPACE = Space(
    lr=LogUniform(1e-4, 1.0),
    batch=Ordinal([16, 32, 64, 128, 256]),
    act=Categorical(["relu", "tanh", "gelu"]),
    layers=Integer(1, 99, move=Neighbour(3)),
    momentum=Uniform(0.0, 1.0, move=Resample()),
    width=Integer(8, 512, move=Keep()),
    classes=Constant(10),
)
HPARAMS = {
    "lr": 0.01,
    "batch": 64,
    "act": "tanh",
    "layers": 50,
    "momentum": 0.5,
    "width": 64,
    "classes": 10,
}


def children(count=60, **options):
    """Hparams of children of two equal parents."""
    for seed in range(count):
        algorithm = Generational(**options)
        brood = Brood(algorithm, space=SPACE, seed=seed, initial=(HPARAMS, HPARAMS))
        brood.generation(1.0, 2.0)
        yield brood.child(0).hparams


def test_each_type_mutates_in_its_own_way_unless_declared_otherwise():
    seen = {name: {child[name] for child in children()} for name in SPACE}
    assert {round(lr, 6) for lr in seen["lr"]} == {0.008, 0.012}
    assert seen["batch"] == {32, 128}
    assert seen["act"] == {"relu", "gelu"}
    assert seen["layers"] == {47, 53}
    assert len(seen["momentum"]) == 60
    assert (seen["width"], seen["classes"]) == ({64}, {10})


def test_a_move_for_all_or_none():
    assert all(child == HPARAMS for child in children(3, explore=None))
    assert len({child["lr"] for child in children(5, explore=Resample())}) == 5
    assert len({child["lr"] for child in children(20, explore=Perturb(resample=1.0))}) == 20


def crossed(crossover, scores=(1.0, 2.0), seed=0):
    other = {**HPARAMS, "lr": 0.5, "batch": 16, "act": "relu", "layers": 7, "width": 256}
    algorithm = Generational(None, crossover=crossover)
    brood = Brood(algorithm, space=SPACE, seed=seed, initial=(HPARAMS, other))
    brood.generation(*scores)
    return brood, brood.child(0)


@pytest.mark.parametrize(("scores", "width"), [((1.0, 2.0), 256), ((2.0, 1.0), 64)])
def test_crossover_takes_from_both_and_the_weights_keep_what_is_theirs(scores, width):
    drawn = [crossed(0.5, scores, seed)[1] for seed in range(40)]
    assert {child.hparams["lr"] for child in drawn} == {0.01, 0.5}
    assert len({(c.hparams["lr"], c.hparams["batch"], c.hparams["act"]) for c in drawn}) == 8
    assert {child.hparams["width"] for child in drawn} == {width}
    parent = 0 if scores[0] > scores[1] else 1
    assert {child.hparams_from for child in drawn} == {(parent, 1 - parent)}
    assert {child.weights_from for child in drawn} == {parent}


def test_nothing_is_crossed_in_from_what_diverged():
    brood = Brood(Generational(None, crossover=1.0), initial=({"x": 0.1}, {"x": 0.9}))
    brood.end(1, 1.0)
    brood.diverged(0)
    child = brood.child(0)
    assert (child.hparams, child.hparams_from) == ({"x": 0.9}, (0,))


# Retaining --------------------------------------------------------------------------------------


def test_only_what_may_still_be_met_is_retained():
    brood = Brood(members=3)
    assert brood.retained == set()
    first = brood.generation(1.0, 2.0, 3.0)
    assert brood.retained == set(first)
    second = [brood.end(0, 9.0), brood.end(1, 9.0)]
    slow = brood.begin(2)  # may fail, and would then meet its first opponents again
    assert brood.retained == {*first, *second}
    brood.finish(slow, 9.0)
    assert brood.retained == {*second, slow}
    brood.begin(0)
    assert brood.retained == {*second, slow}


def test_what_diverged_or_lost_its_checkpoint_is_not_retained():
    brood = Brood(members=3)
    brood.diverged(0)
    healthy, damaged = brood.end(1), brood.end(2)
    brood.append(ev.CheckpointsReleased((damaged,)))
    assert brood.retained == {healthy}


# What it is worth -------------------------------------------------------------------------------


def best(toy, algorithm, seed, steps=400, population=10):
    end = play(toy.definition(algorithm, population, seed=seed), Steps(steps), toy.run)
    return end.trial(end.best).score


def test_it_finds_schedules_that_no_constant_rate_reaches():
    ours = [best(quadratic(), Generational(), seed) for seed in range(5)]
    constant = [best(quadratic(), RandomSearch(), seed) for seed in range(5)]
    assert np.median(ours) < 0.8 * np.median(constant)


def test_figure2_needs_weights_of_both():
    assert best(figure2(), Generational(), 0, steps=200, population=2) > 1.1


def test_a_minority_of_good_members_spreads():
    ends = [
        play(noisy().definition(Generational(), 10, seed=s), Steps(200), noisy().run)
        for s in range(5)
    ]
    drawn = [
        play(noisy().definition(RandomSearch(), 10, seed=s), Steps(200), noisy().run)
        for s in range(5)
    ]
    mean = [np.mean([end.means[end.newest][:, 0].mean() for end in e]) for e in (ends, drawn)]
    assert mean[0] > mean[1] + 20


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"explore": "perturb"}, "explore is"),
        ({"crossover": 1.5}, "crossover is a probability, not 1.5"),
        ({"crossover": float("nan")}, "crossover"),
        ({"weights": 1.0}, "weights are one number"),
        ({"weights": ()}, "weights are"),
        ({"weights": (0.0, 0)}, "not all 0"),
        ({"weights": (1.0, -1.0)}, "≥ 0"),
        ({"weights": (1.0, float("inf"))}, "weights are"),
        ({"weights": ("a",)}, "weights are"),
    ],
)
def test_options_that_make_no_sense(options, match):
    with pytest.raises(UsageError, match=match):
        Generational(**options)
