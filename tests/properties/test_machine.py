"""Arbitrary interleavings of results, failures, divergence, stops, losses, restarts and people keep
every invariant of a population."""

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evolution.story import facts
from heredity.evolution import events as ev
from heredity.evolution.budget import Finals, Steps, Trials, as_budget
from heredity.evolution.collect import releasable
from heredity.evolution.decide import failure_limit, next_events
from heredity.evolution.population import Population
from heredity.evolution.trial import ENDED, Checkpoint
from heredity.evolution.view import View
from heredity.testing import strategies
from heredity.testing.toys import noisy

FINALS = Finals(count=2, evaluations=2)
BUDGETS = st.sampled_from([Steps(12), Steps(40), Steps(75), Trials(5), Trials(30)])


def running_ones(machine):
    return [t for t in machine.population.open if machine.population.statuses[t] == "running"]


class Study(RuleBasedStateMachine):
    """Everything that can happen to a study, in any order."""

    @initialize(
        algorithm=strategies.algorithms(),
        population=st.integers(1, 6),
        budget=BUDGETS,
        seed=st.integers(0, 9),
    )
    def begin(self, algorithm, population, budget, seed):
        self.definition = noisy().definition(algorithm, population, interval=10, seed=seed)
        self.log = []
        self.population = Population()
        self.append(ev.StudyCreated(self.definition.as_json(), as_budget(budget)))

    def append(self, *events):
        before = len(self.population)
        self.population.apply(events)
        self.log += events
        assert len(self.population) >= before

    # Drivers --------------------------------------------------------------------------------

    @rule(free=st.integers(0, 8))
    def decide(self, free):
        events = next_events(self.population, self.definition, free, finals=FINALS)
        again = next_events(Population.fold(self.log), self.definition, free, finals=FINALS)
        assert again == events
        self.append(*events)

    @precondition(lambda self: self.population.waiting and self.population.status != "ended")
    @rule(count=st.integers(1, 4))
    def launch(self, count):
        for trial in list(self.population.waiting)[:count]:
            self.append(ev.TrialStarted(trial, self.population.attempts[trial] + 1, "w"))

    @rule(keep=st.sampled_from(["needed", "lineage"]))
    def collect(self, keep):
        view = View(self.population, self.definition)
        trials = releasable(self.population, view, self.definition.algorithm, keep, FINALS.count)
        if trials:
            self.append(ev.CheckpointsReleased(trials))

    @rule()
    def restart(self):
        """The driver is killed: what ran is lost."""
        folded = Population.fold(self.log)
        assert facts(folded) == facts(self.population)
        self.population = folded
        for trial in running_ones(self):
            self.append(ev.TrialFailed(trial, folded.attempts[trial], "lost", "killed"))

    # Workers --------------------------------------------------------------------------------

    @precondition(running_ones)
    @rule(data=st.data(), score=st.floats(-10, 10), late=st.booleans())
    def finish(self, data, score, late):
        trial = data.draw(st.sampled_from(running_ones(self)))
        record = self.population.trial(trial)
        saved = Checkpoint(f"memory:{trial}", 3, "") if record.kind == "train" else None
        measured = score if record.evaluations else None
        attempt = 0 if late else record.attempt
        self.append(ev.TrialFinished(trial, attempt, measured, {}, saved))

    @precondition(running_ones)
    @rule(data=st.data(), score=st.floats(-10, 10), share=st.floats(0, 1))
    def measure(self, data, score, share):
        trial = data.draw(st.sampled_from(running_ones(self)))
        record = self.population.trial(trial)
        step, metric = record.start + int(share * record.steps), self.population.names[0]
        self.append(ev.TrialMeasured(trial, record.attempt, step, {metric: score}))

    @precondition(running_ones)
    @rule(data=st.data(), score=st.floats(-10, 10), share=st.floats(0, 1))
    def stop_early(self, data, score, share):
        trial = data.draw(st.sampled_from(running_ones(self)))
        record = self.population.trial(trial)
        assume(record.kind == "train")
        reached = record.start + max(1, int(share * record.steps))
        saved = Checkpoint(f"memory:{trial}", 3, "")
        self.append(
            ev.TrialStopRequested(trial, "slow"),
            ev.TrialStopped(trial, record.attempt, reached, score, {}, saved),
        )

    @precondition(running_ones)
    @rule(data=st.data())
    def diverge(self, data):
        trial = data.draw(st.sampled_from(running_ones(self)))
        self.append(ev.TrialDiverged(trial, self.population.attempts[trial], "nan"))

    @precondition(running_ones)
    @rule(data=st.data(), kind=st.sampled_from(["error", "lost", "timeout"]))
    def fail(self, data, kind):
        trial = data.draw(st.sampled_from(running_ones(self)))
        self.append(ev.TrialFailed(trial, self.population.attempts[trial], kind, "a bug"))

    # People ---------------------------------------------------------------------------------

    @rule(budget=BUDGETS)
    def change_budget(self, budget):
        self.append(ev.BudgetChanged((budget,)))

    @precondition(lambda self: self.population.status == "running")
    @rule(stop=st.booleans())
    def pause_or_stop(self, stop):
        self.append(ev.StudyStopRequested("enough") if stop else ev.StudyPaused("lunch"))

    @precondition(lambda self: self.population.status in ("paused", "ended"))
    @rule()
    def resume(self):
        self.append(ev.StudyResumed())

    @precondition(lambda self: self.population.status in ("running", "paused"))
    @rule(data=st.data(), hparams=strategies.hparams(noisy().space))
    def inject(self, data, hparams):
        weights = data.draw(st.sampled_from([None, *sorted(self.population.held)]))
        self.append(ev.TrialInjected(self.population.injected, hparams, weights))

    @precondition(lambda self: self.population.held)
    @rule(data=st.data())
    def pin_or_unpin(self, data):
        trial = data.draw(st.sampled_from(sorted(self.population.held)))
        pinned = trial in self.population.pins
        self.append(ev.CheckpointUnpinned(trial) if pinned else ev.CheckpointPinned(trial))

    # What always holds ------------------------------------------------------------------------

    @invariant()
    def nothing_is_counted_twice(self):
        p = self.population
        trials = [p.trial(t) for t in range(len(p))]
        ended = [t for t in trials if t.status in ENDED and t.kind == "train"]
        charged = [sum(t.reached - t.start for t in ended if t.member == m) for m in range(p.lanes)]
        assert p.spent.tolist() == charged
        assert p.ended_count == len(ended)
        assert p.turns.tolist() == [
            sum(t.kind == "train" and t.member == m for t in trials) for m in range(p.lanes)
        ]

    @invariant()
    def the_population_never_shrinks(self):
        """Every lane has an open trial, has used its budget, or will be given one."""
        view = View(self.population, self.definition)
        open_or_idle = (view.open >= 0) | (~view.unspent())
        if self.population.trials_left() is None:
            open_or_idle[view.idle()] = True
            assert open_or_idle.all()
        assert self.population.lanes == self.definition.population

    @invariant()
    def one_open_trial_a_lane(self):
        p = self.population
        lanes = [m for t, m in p.open.items() if p.proposal_of(t).kind == "train"]
        assert len(set(lanes)) == len(lanes)
        assert {m: t for t, m in p.open.items() if p.proposal_of(t).kind == "train"} == {
            m: int(t) for m, t in enumerate(p.open_trial) if t >= 0
        }
        assert set(p.waiting) <= p.open.keys()
        assert len(set(p.waiting)) == len(p.waiting)

    @invariant()
    def what_is_needed_is_held(self):
        """The best and what open trials begin from are never released, and pins neither."""
        p = self.population
        sources = {int(p.source[t]) for t in p.open} - {-1}
        assert sources | p.pins | ({p.best} - {None}) <= p.held
        assert p.held == set(np.flatnonzero(p.kept.values))
        assert p.bytes_kept == 3 * len(p.held)

    @invariant()
    def every_proposal_is_within_bounds(self):
        for event in self.log[-8:]:
            if isinstance(event, ev.TrialProposed):
                self.definition.space.check(event.proposal.hparams)

    @invariant()
    def it_never_goes_on_failing(self):
        p = self.population
        if len(p.failures_in_a_row) >= failure_limit(p.lanes) and p.status == "running":
            (event,) = next_events(p, self.definition, 4)
            assert isinstance(event, ev.StudyPaused)

    def teardown(self):
        """However it went: with all that runs finished and resumed, the study ends."""
        if not hasattr(self, "log"):
            return
        for _ in range(10_000):
            p = self.population
            if p.status == "ended":
                break
            if p.status == "paused":
                self.append(ev.StudyResumed())
            self.append(*next_events(p, self.definition, 4, finals=FINALS))
            self.launch_all()
        assert self.population.status == "ended"

    def launch_all(self):
        for trial in list(self.population.waiting):
            self.append(ev.TrialStarted(trial, self.population.attempts[trial] + 1, "w"))
        for trial in running_ones(self):
            record = self.population.trial(trial)
            saved = Checkpoint(f"memory:{trial}", 3, "") if record.kind == "train" else None
            score = 0.5 if record.evaluations else None
            self.append(ev.TrialFinished(trial, record.attempt, score, {}, saved))


Study.TestCase.settings = settings(max_examples=100, stateful_step_count=60)
TestStudy = Study.TestCase
