"""Who initiates whom, and when: two schedules worked out by hand, and what holds in any order of
endings, failures, divergence and restarts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.evolution import events as ev
from heredity.evolution.budget import Steps, Trials
from heredity.evolution.generational import Generational
from heredity.evolution.trial import ENDED
from heredity.evolution.view import View
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy

# By hand: PBT-5×5 and PBT-5×20 ------------------------------------------------------------------

# Trials of 10 steps. Each line: at so many seconds, trials of a generation start; "7<2" is trial 7,
# initiated by trial 2, and "7" alone begins from scratch.

# Workers 0 and 1 train 2 steps a second, the others 1. At 15 s the fast lanes 0 and 1 have ended
# generation 2, which holds but two trials then: they wait until 20 s, when the other three start.
BY_5_OF_5 = """
 0 | 0 | 0 1 2 3 4
 5 | 1 | 5<0 6<1
10 | 1 | 7<2 8<3 9<4
10 | 2 | 10<5 11<6
20 | 2 | 12<7 13<8 14<9
20 | 3 | 15<10 16<11
25 | 3 | 17<12 18<13
30 | 3 | 19<14
"""

# Worker 4 takes 40 s for a trial, the others 10 s. At 10, 20 and 30 s generation 0 holds fewer than
# 20 trials, so more of it start; it is full at 40 s, when reproduction begins. Generation 1 is full
# at 90 s. Trial 51 is on worker 4, and the last to end.
BY_5_OF_20 = """
  0 | 0 | 0 1 2 3 4
 10 | 0 | 5 6 7 8
 20 | 0 | 9 10 11 12
 30 | 0 | 13 14 15 16
 40 | 0 | 17 18 19
 40 | 1 | 20<0 21<1
 50 | 1 | 22<2 23<3 24<4 25<5
 60 | 1 | 26<6 27<7 28<8 29<9
 70 | 1 | 30<10 31<11 32<12 33<13
 80 | 1 | 34<14 35<15 36<16 37<17 38<18
 90 | 1 | 39<19
 90 | 2 | 40<20 41<21 42<22
100 | 2 | 43<23 44<24 45<25 46<26
110 | 2 | 47<27 48<28 49<29 50<30
120 | 2 | 51<31 52<32 53<33 54<34 55<35
130 | 2 | 56<36 57<37 58<38 59<39
"""


@pytest.mark.parametrize(
    ("table", "population", "speeds", "steps", "ends_s"),
    [
        (BY_5_OF_5, 5, [2, 2, 1, 1, 1], 40, 40),
        (BY_5_OF_20, 20, [1, 1, 1, 1, 0.25], 30, 160),
    ],
    ids=["5x5", "5x20"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_schedule_is_the_one_worked_out_by_hand(table, population, speeds, steps, ends_s, seed):
    definition = noisy().definition(Generational(), population, interval=10, seed=seed)
    playing = Play(definition, Steps(steps), noisy().run, speeds=speeds)
    assert played(playing) == written(table)
    assert playing.population.status == "ended"
    assert playing.population.spent.tolist() == [steps] * population
    assert playing.seconds == ends_s


def written(table):
    """The lines of a table as (seconds, generation, trial, initiator or None)."""
    rows = []
    for line in table.strip().splitlines():
        seconds, generation, starts = line.split("|")
        for start in starts.split():
            trial, _, initiator = start.partition("<")
            number = int(initiator) if initiator else None
            rows.append((float(seconds), int(generation), int(trial), number))
    return rows


def played(playing):
    """What a play starts, in the same form."""
    rows, going_on = [], True
    while going_on:
        seconds, known = playing.seconds, len(playing.population)
        going_on = playing.turn()
        for trial in range(known, len(playing.population)):
            p = playing.population.proposal_of(trial)
            initiator = p.evidence[0] if p.evidence else None
            rows.append((seconds, p.generation, trial, initiator))
    return rows


def test_any_number_of_workers_leads_to_the_same_generations():
    """Slots beyond the population stay idle."""
    for slots in (1, 4, 5, 9):
        definition = noisy().definition(Generational(), 5, interval=10)
        playing = Play(definition, Steps(60), noisy().run, slots=slots)
        rows = played(playing)
        assert Counter(generation for _, generation, _, _ in rows) == dict.fromkeys(range(6), 5)
        assert playing.seconds == {1: 300.0, 4: 80.0, 5: 60.0, 9: 60.0}[slots]


# In any order -----------------------------------------------------------------------------------

RATES = st.fixed_dictionaries(
    {kind: st.sampled_from([0.0, 0.1, 0.3]) for kind in ("error", "lost", "timeout", "diverged")}
)


@st.composite
def adventures(draw, **fixed):
    """A study that has not begun, and how often its driver will be killed: uneven workers, endings
    in any order, misfortune."""
    rates = {**draw(RATES), **fixed}
    definition = noisy().definition(
        Generational(crossover=draw(st.sampled_from([0.0, 0.5]))),
        population=draw(st.integers(1, 8)),
        interval=10,
        seed=draw(st.integers(0, 9)),
    )
    playing = Play(
        definition,
        draw(st.sampled_from([Steps(10), Steps(45), Steps(60), Trials(7), Trials(30)])),
        noisy().run,
        speeds=draw(st.lists(st.sampled_from([1, 1, 3]), min_size=1, max_size=9)),
        order=draw(st.integers(0, 99)),
        mishaps=mishaps(draw(st.integers(0, 99)), **rates),
    )
    return playing, draw(st.integers(2, 20))


def misadventures(**fixed):
    """Such a study played to its end."""
    return adventures(**fixed).map(lambda adventure: to_the_end(*adventure))


def to_the_end(playing, restart_every, look=lambda playing: None):
    """Play on over pauses, with the driver killed now and then; `look` at every turn."""
    turns = 0
    while playing.turn() or playing.population.status == "paused":
        turns += 1
        assert turns < 5000
        look(playing)
        if playing.population.status == "paused":
            playing.append(ev.StudyResumed())
        elif turns % restart_every == 0:
            playing.restart()
    return playing


def trials(playing):
    return list(map(playing.population.trial, range(len(playing.population))))


@given(misadventures())
def test_the_budget_is_used_exactly(playing):
    population, (limit,) = playing.population, playing.population.budget
    assert population.status == "ended"
    if isinstance(limit, Steps):
        assert population.spent.tolist() == [limit.count] * population.lanes
    else:
        assert population.ended_count == limit.count


@given(misadventures())
def test_every_trial_that_ended_initiates_exactly_once(playing):
    """Each ended trial, but a lane's last, has one child in its lane that ended. A child that
    failed for good does not count; it is initiated again."""
    everything = trials(playing)
    ended = [trial for trial in everything if trial.status in ENDED]
    initiators = [trial.evidence[0] for trial in ended if trial.evidence]
    assert len(set(initiators)) == len(initiators)
    last = {trial.member: trial.id for trial in ended}
    assert set(initiators) == {trial.id for trial in ended} - set(last.values())
    for trial in everything:
        if trial.evidence:
            initiator = everything[trial.evidence[0]]
            assert (initiator.member, initiator.generation) == (trial.member, trial.generation - 1)
        else:
            assert (trial.generation, trial.weights_from) == (0, None)


@given(misadventures())
def test_reproduction_starts_when_the_generation_is_full(playing):
    """Every lane had a trial of the initiator's generation before; and in the end every generation
    holds one trial of each lane that ended, but where the budget cut the last ones short."""
    had = [set() for _ in range(99)]
    for trial in trials(playing):
        lanes = set(range(playing.population.lanes))
        assert trial.generation == 0 or had[trial.generation - 1] == lanes
        had[trial.generation].add(trial.member)
    ended = Counter(t.generation for t in trials(playing) if t.status in ENDED)
    for generation in range(len(ended) - 2):
        assert ended[generation] == playing.population.lanes


@given(misadventures())
def test_the_fitter_is_the_parent_and_what_diverged_never_is(playing):
    everything, scores = trials(playing), playing.population.scores
    for trial in everything:
        if trial.weights_from is None:
            continue
        initiator, parent = everything[trial.evidence[0]], everything[trial.weights_from]
        assert parent.id in trial.evidence
        assert parent.status == "finished"
        assert trial.start == parent.reached
        assert trial.hparams_from[0] == parent.id
        if len(trial.evidence) == 2:
            opponent = everything[trial.evidence[1]]
            assert opponent.member != trial.member
            assert opponent.generation in (initiator.generation, initiator.generation - 1)
            ours, theirs = scores[initiator.id][0], scores[opponent.id][0]
            assert (parent is opponent) == (theirs > ours)


@given(misadventures(stopped=0.3))
def test_with_trials_stopped_early_the_budget_is_used_and_no_weights_outgrow_it(playing):
    (limit,) = playing.population.budget
    assert playing.population.status == "ended"
    if isinstance(limit, Steps):
        assert playing.population.spent.tolist() == [limit.count] * playing.population.lanes
        assert max(trial.stop for trial in trials(playing)) <= limit.count
    ended = [trial for trial in trials(playing) if trial.status in ENDED and trial.evidence]
    assert len({trial.evidence[0] for trial in ended}) == len(ended)


@given(adventures())
def test_three_checkpoints_a_lane_are_enough(adventure):
    """And one for the best, and what running trials began from."""

    def look(playing):
        population, algorithm = playing.population, playing.definition.algorithm
        wanted = algorithm.retains(View(population, playing.definition))
        assert len(wanted) <= 3 * population.lanes
        assert len(population.held) <= len(wanted) + len(population.open) + 1

    to_the_end(*adventure, look)


def test_two_checkpoints_a_lane_are_enough_for_workers_of_even_speed():
    definition = noisy().definition(Generational(), 20, interval=10)
    playing, most = Play(definition, Steps(200), noisy().run, slots=5), 0
    while playing.turn():
        most = max(most, len(playing.states))
    assert most <= 2 * 20 + 5 + 1
