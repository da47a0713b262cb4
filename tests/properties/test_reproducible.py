"""Decisions depend on the log alone; synchronous ones not even on who arrives first."""

from hypothesis import given, settings
from hypothesis import strategies as st

from heredity.evolution.budget import Steps
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.events import TrialProposed
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.ready import Every
from heredity.evolution.view import View
from heredity.testing import strategies
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy

SYNC = st.builds(
    PBT,
    exploit=strategies.exploits(),
    explore=strategies.explores(),
    ready=st.just(Every(0)),
    mode=st.just("sync"),
    copy=st.sampled_from(["all", "weights", "hparams"]),
    compare=st.sampled_from(["same step", "latest"]),
    average=st.integers(1, 2),
)


def decisions(algorithm, seed, **options):
    """All proposals of a study whose trials meet the same fate wherever they run."""
    definition = noisy().definition(algorithm, population=5, seed=seed)
    befalls = mishaps(seed, diverged=0.05, error=0.05)
    playing = Play(definition, Steps(60), noisy().run, mishaps=befalls, **options)
    playing.to_the_end()
    return list(playing.population.proposed)


@given(
    SYNC,
    st.integers(0, 9),
    st.integers(1, 8),
    st.integers(0, 99),
    st.sampled_from(["needed", "all"]),
)
def test_synchronous_decisions_are_the_same_on_any_workers(algorithm, seed, slots, order, keep):
    """Whatever the number of slots, the order of arrivals, and what was let go."""
    alone = decisions(algorithm, seed, slots=1)
    assert decisions(algorithm, seed, slots=slots, order=order, keep=keep) == alone


@given(strategies.algorithms(), st.integers(0, 9), st.integers(0, 99))
def test_the_same_arrivals_give_the_same_study(algorithm, seed, order):
    def log():
        definition = noisy().definition(algorithm, population=4, seed=seed)
        playing = Play(definition, Steps(40), noisy().run, order=order)
        playing.to_the_end()
        return playing.log

    assert log() == log()


@given(strategies.logs(), st.integers(0, 8))
def test_the_same_log_gives_the_same_decision(log, free):
    definition = Definition.from_json(log[0].definition)
    first, second = Population(), Population.fold(log)
    for event in log:
        first.apply([event])
    assert next_events(first, definition, free) == next_events(second, definition, free)


@given(strategies.logs(), st.integers(0, 8))
def test_looking_changes_nothing(log, free):
    """A view that others looked at before leads to the same decision as a fresh one."""
    definition = Definition.from_json(log[0].definition)
    population = Population.fold(log)
    used = View(population, definition)
    definition.algorithm.retains(used)
    definition.algorithm.decide(used, 8)
    fresh = View(population, definition)
    assert definition.algorithm.decide(used, free) == definition.algorithm.decide(fresh, free)


@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(0, 99))
def test_a_lane_that_looks_at_nobody_does_not_depend_on_the_others(seed, order):
    """Draws are keyed by member and turn: without exploit, arrivals change no lane's hparams."""

    def by_lane(**options):
        proposed = decisions(PBT(exploit=None), seed=seed, **options)
        return sorted((e.proposal.member, e.proposal.turn, e.seed) for e in proposed)

    assert by_lane(slots=1) == by_lane(slots=4, order=order)


@settings(max_examples=60)
@given(st.integers(0, 99), st.integers(0, 99))
def test_first_hparams_do_not_depend_on_the_order_of_starts(order, seed):
    def first(slots):
        definition = noisy().definition(PBT(), population=6, seed=seed)
        playing = Play(definition, Steps(10), noisy().run, slots=slots, order=order)
        playing.to_the_end()
        return {
            e.proposal.member: (e.proposal.hparams, e.seed)
            for e in playing.log
            if isinstance(e, TrialProposed)
        }

    assert first(1) == first(3) == first(6)
