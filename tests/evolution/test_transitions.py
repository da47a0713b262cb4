"""Every (status, event) pair is legal or illegal, as written down here; what is illegal changes
nothing."""

import pytest

from evolution.story import Story, facts, finished
from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.budget import Steps
from heredity.evolution.population import Population
from heredity.evolution.rounds import as_round
from heredity.evolution.transitions import STUDY, TRIAL, may_retry
from heredity.evolution.trial import Checkpoint, Proposal

SAVED = Checkpoint("memory:0", 1, "")
PROPOSAL = Proposal(member=0, turn=0, hparams={"x": 0.5}, start=0, stop=10)


# Trials -----------------------------------------------------------------------------------------


def proposed(story):
    return story.propose(0)


def running(story):
    return story.run(0)


def failed(story):
    return story.fail(story.run(0))


def failed_for_good(story):
    return story.fail_for_good(0)


def finished_(story):
    return story.train(0)


def diverged(story):
    return story.diverge(0)


def stopped(story):
    trial = story.run(0)
    story.append(ev.TrialStopped(trial, 0, 5, 1.0, {}, SAVED))
    return trial


def unknown(story):
    return 0


TRIALS = [unknown, proposed, running, failed, failed_for_good, finished_, diverged, stopped]

TRIAL_EVENTS = {
    "propose": lambda t, a: ev.TrialProposed(t, 0, PROPOSAL),
    "start": lambda t, a: ev.TrialStarted(t, a + 1, "w"),
    "measure": lambda t, a: ev.TrialMeasured(t, a, 3, {"q": 1.0}),
    "finish": lambda t, a: finished(t),
    "diverge": lambda t, a: ev.TrialDiverged(t, max(a, 0), "inf"),
    "fail": lambda t, a: ev.TrialFailed(t, max(a, 0), "error", "a bug"),
    "ask to stop": lambda t, a: ev.TrialStopRequested(t, "slow"),
    "stop": lambda t, a: ev.TrialStopped(t, max(a, 0), 5, 1.0, {}, SAVED),
}

LEGAL_FOR_TRIALS = {
    unknown: {"propose"},
    proposed: {"start"},
    running: {"measure", "finish", "diverge", "fail", "ask to stop", "stop"},
    failed: {"start", "finish", "diverge", "stop"},
    failed_for_good: set(),
    finished_: set(),
    diverged: set(),
    stopped: set(),
}


@pytest.mark.parametrize("event", TRIAL_EVENTS)
@pytest.mark.parametrize("status", TRIALS)
def test_every_event_in_every_status_of_a_trial(status, event):
    story = Story()
    trial = status(story)
    attempt = story.population.attempts[trial] if len(story.population) else -1
    follows(story, TRIAL_EVENTS[event](trial, attempt), event in LEGAL_FOR_TRIALS[status])


def follows(story, event, legal):
    """The event may follow if it is legal, alone and in a block; if not, it changes nothing."""
    before, name = facts(story.population), ev.BoundsChanged("x", 0.1, 0.9)
    if legal:
        story.append(event)
        assert story.population.seq == before["seq"] + 1
        return
    with pytest.raises(IllegalEvent):
        story.population.apply([event])
    assert facts(story.population) == before
    if story.population.status in ("running", "paused", "ended"):
        with pytest.raises(IllegalEvent):
            story.population.apply([name, event])
        assert facts(story.population) == before


# Studies ----------------------------------------------------------------------------------------

CREATED = ev.StudyCreated(Story().definition.as_json(), (Steps(100),))

STUDIES = {
    None: [],
    "running": [CREATED],
    "paused": [CREATED, ev.StudyPaused("by hand")],
    "stopping": [CREATED, ev.StudyStopRequested("enough")],
    "ended": [CREATED, ev.StudyEnded("over")],
}

STUDY_EVENTS = {
    "create": CREATED,
    "propose": ev.TrialProposed(0, 0, PROPOSAL),
    "pause": ev.StudyPaused("a bug"),
    "resume": ev.StudyResumed(),
    "ask to stop": ev.StudyStopRequested("enough"),
    "end": ev.StudyEnded("over"),
    "budget": ev.BudgetChanged((Steps(200),)),
    "bounds": ev.BoundsChanged("x", 0.1, 0.9),
    "inject": ev.TrialInjected(0, {"x": 0.5}, None),
    "round": as_round([ev.TrialProposed(0, 0, PROPOSAL)], [finished(0, saved=False)], 1.0),
    "chunk": ev.ChunkChosen(4, "the fastest"),
}

LEGAL_FOR_STUDIES = {
    None: {"create"},
    "running": {
        *("propose", "pause", "ask to stop", "end", "budget", "bounds", "inject"),
        *("round", "chunk"),
    },
    "paused": {"resume", "ask to stop", "budget", "bounds", "inject", "round", "chunk"},
    "stopping": {"pause", "end", "budget", "round", "chunk"},
    "ended": {"resume", "budget", "bounds"},
}


@pytest.mark.parametrize("event", STUDY_EVENTS)
@pytest.mark.parametrize("status", STUDIES)
def test_every_event_in_every_status_of_a_study(status, event):
    story = Story()
    story.population = Population.fold(STUDIES[status])
    assert story.population.status == status
    follows(story, STUDY_EVENTS[event], event in LEGAL_FOR_STUDIES[status])


def test_the_tables_name_the_status_that_is_folded():
    """What the tables promise is what `apply` leaves."""
    for (status, event), after in STUDY.items():
        story = Story()
        story.population = Population.fold(STUDIES[status])
        story.append(next(e for e in STUDY_EVENTS.values() if type(e) is event))
        assert story.population.status == after


@pytest.mark.parametrize(("status", "event"), [k for k in TRIAL if k[1] is not ev.TrialProposed])
def test_the_table_of_trials_names_the_status_that_is_folded(status, event):
    story = Story()
    trial = {"proposed": proposed, "running": running, "failed": failed}[status](story)
    made = [e(trial, story.population.attempts[trial]) for e in TRIAL_EVENTS.values()]
    story.append(next(e for e in made if type(e) is event))
    assert story.population.statuses[trial] == TRIAL[status, event]


@pytest.mark.parametrize("status", ["stopping", "paused", "ended", None])
def test_nothing_is_proposed_unless_the_study_runs(status):
    with pytest.raises(IllegalEvent, match=r"not possible|can be proposed"):
        Population.fold([*STUDIES[status], STUDY_EVENTS["propose"]])


def test_evaluations_are_proposed_while_a_study_stops():
    story = Story()
    story.train(0)
    story.append(ev.StudyStopRequested("enough"))
    story.propose(0, kind="evaluate", weights_from=0, start=10, stop=10)
    assert story.population.open == {1: 0}


def test_an_error_is_retried_once_and_a_loss_nine_times():
    assert may_retry(errors=1, attempt=0)
    assert not may_retry(errors=2, attempt=1)
    assert may_retry(errors=0, attempt=8)
    assert not may_retry(errors=0, attempt=9)
