"""A study in memory does what a driver does, and notices what must not happen."""

import doctest
from dataclasses import dataclass

import pytest

from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.budget import Steps
from heredity.evolution.lanes import from_scratch, go_on
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.testing import play as module
from heredity.testing.play import Play, mishaps, play
from heredity.testing.toys import noisy


def a_study(algorithm=None, population=4, steps=40, **options):
    definition = noisy().definition(algorithm or RandomSearch(), population)
    return Play(definition, Steps(steps), noisy().run, **options)


def test_slots_bound_what_runs():
    for slots in (1, 3):
        playing, running = a_study(slots=slots), 0
        playing.to_the_end()
        for event in playing.log:
            running += isinstance(event, ev.TrialStarted)
            running -= isinstance(event, ev.TrialFinished)
            assert running <= slots


def test_time_is_that_of_the_slots():
    """The fast slot ends the four trials of its lane before the slow one ends its first, and then
    takes over the others."""
    playing = a_study(population=2, speeds=[5.0, 1.0], steps=40)
    playing.to_the_end()
    assert playing.seconds == 10.0 + 3 * 2.0
    by_slot = [e.worker for e in playing.log if isinstance(e, ev.TrialStarted)]
    assert (by_slot.count("slot 0"), by_slot.count("slot 1")) == (7, 1)


def test_an_order_is_repeatable_and_another_is_another():
    def arrivals(order):
        playing = a_study(slots=4, order=order)
        playing.to_the_end()
        return [e.trial for e in playing.log if isinstance(e, ev.TrialFinished)]

    assert arrivals(1) == arrivals(1)
    assert len({tuple(arrivals(order)) for order in range(5)}) > 1


def test_what_is_said_beforehand_befalls():
    fate = {(0, 0): "diverged", (1, 0): "error", (2, 0): "lost", (3, 0): "timeout"}
    playing = a_study(mishaps=lambda t: fate.get((t.member, t.turn)) if t.attempt == 0 else None)
    population = playing.to_the_end()
    assert (population.diverged, population.failures, population.status) == (1, 3, "ended")


@pytest.mark.parametrize("kind", ["error", "lost", "timeout", "diverged"])
def test_how_often_mishaps_befall(kind):
    befalls, playing = mishaps(0, **{kind: 0.3}), a_study(population=30, steps=200)
    population = playing.to_the_end()
    seen = [befalls(population.trial(trial)) for trial in range(len(population))]
    assert {None, kind} == set(seen)
    assert 0.25 < seen.count(kind) / len(seen) < 0.35


def test_a_score_that_is_not_finite_is_a_divergence():
    playing = a_study()
    playing._run = lambda trial, state: (float("nan"), None)
    assert playing.to_the_end().diverged == 16


def test_a_restart_goes_on_from_the_log():
    playing = a_study(PBT(), slots=3)
    for _ in range(4):
        playing.turn()
    running = len(playing.population.open)
    playing.restart()
    lost = [e for e in playing.log if isinstance(e, ev.TrialFailed)]
    assert len(lost) == running == 2
    assert playing.to_the_end().spent.tolist() == [40] * 4


@dataclass(frozen=True)
class Forgetful(Algorithm):
    """Goes on from weights that it let go."""

    def decide(self, view, free):
        def following(member):
            begun = view.latest[member] >= 0
            return go_on(view, member) if begun else from_scratch(view, member, "start")

        return Decision(tuple(following(member) for member in view.idle()[:free]))

    def retains(self, view):
        return set()


def test_an_algorithm_that_lets_go_what_it_wants_is_caught():
    with pytest.raises(IllegalEvent, match="has no checkpoint"):
        a_study(Forgetful(), slots=1).to_the_end()


def test_a_study_that_does_not_end_is_caught():
    with pytest.raises(RuntimeError, match="does not end"):
        a_study(steps=10_000).to_the_end(max_events=100)


def test_examples():
    assert doctest.testmod(module).failed == 0
    assert play(noisy().definition(PBT()), Steps(10), noisy().run).status == "ended"
