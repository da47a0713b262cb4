"""A round is one event, and means exactly what its trials' own events mean."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution.story import Story, facts, finished
from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.ready import Every
from heredity.evolution.rounds import as_round, expand
from heredity.testing import strategies
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy

ENDINGS = ev.TrialFinished | ev.TrialDiverged


def rounds_of(playing):
    """Proposals and outcomes of each round of a synchronous study, without checkpoints."""
    of_turn = {}
    for event in playing.population.proposed:
        of_turn.setdefault(event.proposal.turn, []).append(event)
    ends = {e.trial: e for e in playing.log if isinstance(e, ENDINGS)}
    for proposed in of_turn.values():
        outcomes = [ends[event.trial] for event in proposed]
        yield proposed, [replace(o, elapsed_s=2.0, worker="", **_unsaved(o)) for o in outcomes]


def _unsaved(outcome):
    return {"checkpoint": None} if isinstance(outcome, ev.TrialFinished) else {}


@given(
    st.builds(
        PBT,
        exploit=strategies.exploits(),
        explore=strategies.explores(),
        ready=st.just(Every(0)),
        mode=st.just("sync"),
        ramp=st.sampled_from([0.0, 0.5]),
        measure=st.sampled_from([1.0, 0.5]),
    ),
    st.integers(1, 6),
    st.integers(0, 99),
)
def test_a_round_expands_to_what_it_was_made_of(algorithm, population, seed):
    definition = noisy().definition(algorithm, population, seed=seed)
    playing = Play(definition, Steps(40), noisy().run, mishaps=mishaps(seed, diverged=0.2))
    playing.to_the_end()
    for proposed, outcomes in rounds_of(playing):
        event = as_round(proposed, outcomes, 2.0)
        started = [ev.TrialStarted(e.trial, 0) for e in proposed]
        assert expand(event) == [*proposed, *started, *outcomes]


def two_lanes():
    story = Story(members=2)
    proposed = story.next_events(2)
    ended = [finished(0, 1.0, saved=False), ev.TrialDiverged(1, 0, "inf")]
    return story, as_round(proposed, ended, 0.0)


def test_a_round_folds_like_its_parts():
    story, event = two_lanes()
    parts = Population.fold([*story.log, *expand(event)])
    story.append(event)
    assert story.population.seq == 2
    ours, theirs = facts(story.population), facts(parts)
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different == {"seq", "resident", "vectorized"}


def test_an_illegal_round_changes_nothing():
    story, event = two_lanes()
    before = facts(story.population)
    for illegal in (replace(event, first=1), replace(event, scores=[float("nan"), None])):
        with pytest.raises(IllegalEvent):
            story.append(illegal)
        assert facts(story.population) == before
    story.append(event)
    with pytest.raises(IllegalEvent):
        story.append(event)
