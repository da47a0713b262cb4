"""What every algorithm must do, as a suite that third parties subclass too.

    class TestMine(AlgorithmSuite):
        @pytest.fixture
        def algorithm(self):
            return Mine()

It plays whole studies in memory and looks at each decision as it is made. It knows no algorithm.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from heredity.evolution import events as ev
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.budget import Limit, Steps, Trials
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.population import Population
from heredity.evolution.trial import ENDED, Trial
from heredity.evolution.view import View
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import Toy, figure2, noisy

BUDGET = Steps(120)
"""What each lane may train in the studies that do not vary it."""

ARRAYS = ("latest", "steps", "scores", "spent", "turns", "open", "newest", "since_exploit")
"""A view's arrays, which no algorithm may change."""


class AlgorithmSuite:
    """Subclass it and give a fixture `algorithm`.

    Attributes:
        toy: what is trained.
        population: members of the studies that do not vary it.
        same_step: whether no weights get older than a lane's budget.
    """

    toy: ClassVar[Toy] = noisy()
    population: ClassVar[int] = 6
    same_step: ClassVar[bool] = True

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        """The algorithm under test."""
        raise NotImplementedError("give a fixture `algorithm`")

    def play(self, algorithm: Algorithm, budget: Limit = BUDGET, **options: Any) -> Play:
        """A study of this algorithm that has not begun."""
        population = options.pop("population", self.population)
        definition = self.toy.definition(algorithm, population, seed=options.pop("seed", 0))
        return Play(definition, budget, self.toy.run, **options)

    # ------------------------------------------------------------------ decisions

    def test_the_definition_survives_json(self, algorithm: Algorithm) -> None:
        definition = self.toy.definition(algorithm)
        again = Definition.from_json(json.loads(json.dumps(definition.as_json(), allow_nan=False)))
        assert again == definition

    def test_the_same_view_gives_the_same_decision(self, algorithm: Algorithm) -> None:
        for play in self.moments(algorithm):
            view = View(play.population, play.definition)
            before = _arrays(view)
            first = algorithm.decide(view, 3)
            assert algorithm.decide(view, 3) == first
            assert self.decision(play, 3) == first
            assert algorithm.retains(view) == algorithm.retains(view)
            assert _arrays(view) == before

    def test_deciding_is_left_to_the_log(self, algorithm: Algorithm) -> None:
        """A population folded anew from the log leads to the same events."""
        for play in self.moments(algorithm):
            folded = Population.fold(play.log)
            for free in (0, 1, 3):
                assert next_events(folded, play.definition, free) == next_events(
                    play.population, play.definition, free
                )

    def test_fewer_slots_get_the_beginning_of_the_decision(self, algorithm: Algorithm) -> None:
        for play in self.moments(algorithm):
            decisions = [self.decision(play, free).proposals for free in range(self.population + 2)]
            for fewer, more in itertools.pairwise(decisions):
                assert more[: len(fewer)] == fewer

    def test_one_proposal_for_each_idle_lane_at_most(self, algorithm: Algorithm) -> None:
        for play in self.moments(algorithm):
            view = View(play.population, play.definition)
            members = [p.member for p in algorithm.decide(view, self.population).proposals]
            assert len(set(members)) == len(members)
            assert set(members) <= set(view.idle())

    def test_all_hparams_are_within_their_bounds(self, algorithm: Algorithm) -> None:
        for trial in _trials(self.play(algorithm).to_the_end()):
            assert self.toy.space.check(trial.hparams) == trial.hparams

    def test_the_weights_decide_where_a_trial_starts(self, algorithm: Algorithm) -> None:
        population = self.play(algorithm, order=0, mishaps=mishaps(0, diverged=0.1)).to_the_end()
        for trial in _trials(population):
            source = trial.weights_from
            assert trial.start == (0 if source is None else population.trial(source).reached)
            assert 0 < trial.steps <= 10

    # ------------------------------------------------------------------ budgets

    @pytest.mark.parametrize("population", [1, 2, 7])
    @pytest.mark.parametrize("slots", [1, 3, 16])
    def test_steps_are_spent_exactly(
        self, algorithm: Algorithm, population: int, slots: int
    ) -> None:
        options = {"population": population, "slots": slots, "order": slots}
        end = self.play(algorithm, Steps(45), **options).to_the_end()
        assert end.status == "ended"
        assert end.spent.tolist() == [45] * population
        assert len(end) == 5 * population
        assert {trial.status for trial in _trials(end)} == {"finished"}

    @pytest.mark.parametrize("population", [1, 2, 7])
    @pytest.mark.parametrize("slots", [1, 3, 16])
    def test_trials_are_counted_exactly(
        self, algorithm: Algorithm, population: int, slots: int
    ) -> None:
        options = {"population": population, "slots": slots, "order": slots}
        end = self.play(algorithm, Trials(31), **options).to_the_end()
        assert (end.status, end.ended_count) == ("ended", 31)
        assert slots > 1 or max(end.turns) - min(end.turns) <= 1  # the furthest behind goes first

    def test_no_weights_get_older_than_the_budget(self, algorithm: Algorithm) -> None:
        end = self.play(algorithm, speeds=[4, 1], order=0).to_the_end()
        assert not self.same_step or max(trial.stop for trial in _trials(end)) <= 120

    # ------------------------------------------------------------------ misfortune

    @pytest.mark.parametrize("seed", range(4))
    def test_failures_divergence_stops_and_restarts_are_survived(
        self, algorithm: Algorithm, seed: int
    ) -> None:
        """No member is lost, and what was spent is what was charged."""
        befalls = mishaps(seed, error=0.1, lost=0.05, timeout=0.05, diverged=0.1, stopped=0.1)
        play = self.play(algorithm, order=seed, mishaps=befalls, seed=seed)
        self.play_on(play, restart_every=7)
        assert play.population.status == "ended"
        assert play.population.spent.tolist() == [120] * self.population
        assert _charged(play.population) == play.population.spent.tolist()

    def test_a_lane_that_always_diverges_uses_its_budget_too(self, algorithm: Algorithm) -> None:
        play = self.play(algorithm, mishaps=lambda t: "diverged" if t.member == 1 else None)
        end = play.to_the_end()
        assert end.spent.tolist() == [120] * self.population
        assert end.best is not None
        assert end.member[end.best] != 1

    def test_a_lane_that_always_fails_pauses_the_study(self, algorithm: Algorithm) -> None:
        play = self.play(algorithm, mishaps=lambda t: "error" if t.member == 1 else None)
        assert play.to_the_end().status == "paused"

    # ------------------------------------------------------------------ checkpoints

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("speeds", [[1], [1, 1, 1], [8, 1, 1, 1]])
    def test_no_decision_wants_a_checkpoint_that_it_let_go(
        self, algorithm: Algorithm, speeds: Sequence[float], seed: int
    ) -> None:
        """`retains` covers what later decisions use: they are the same when all is kept. And the
        best stays."""
        options: dict[str, Any] = {
            "mishaps": mishaps(seed, error=0.05, diverged=0.05, stopped=0.05),
            "speeds": speeds,
            "order": seed,
            "seed": seed,
        }
        play = self.play(algorithm, **options)
        while play.turn():
            population = play.population
            assert population.best is None or population.best in population.held
        assert play.population.status == "ended"
        everything = self.play(algorithm, keep="all", **options).to_the_end()
        assert list(play.population.proposed) == list(everything.proposed)

    def test_a_larger_budget_reopens_the_study(self, algorithm: Algorithm) -> None:
        play = self.play(algorithm, Steps(60))
        play.to_the_end()
        play.append(ev.BudgetChanged((Steps(100),)))
        assert play.to_the_end().status == "ended"
        assert play.population.spent.tolist() == [100] * self.population

    def test_members_learn(self, algorithm: Algorithm) -> None:
        """Weights are handed on: the best is far beyond what one trial from scratch can reach."""
        toy = figure2()
        definition = toy.definition(algorithm, population=4)
        end = Play(definition, Steps(200), toy.run).to_the_end()
        assert end.best is not None
        assert end.means[end.best][0] >= 0.38

    # ------------------------------------------------------------------ tools

    def moments(self, algorithm: Algorithm) -> Iterator[Play]:
        """A study at many moments, with lanes idle, trials running, failed and diverged."""
        befalls = mishaps(1, error=0.05, diverged=0.1)
        play = self.play(algorithm, slots=3, order=1, mishaps=befalls)
        yield play
        while play.turn():
            yield play

    def decision(self, play: Play, free: int) -> Decision:
        """What a fresh view leads to."""
        return play.definition.algorithm.decide(View(play.population, play.definition), free)

    def play_on(self, play: Play, restart_every: int) -> None:
        """To the end, with the driver killed every so many turns. People resume what pauses."""
        turns = 0
        while play.turn() or play.population.status == "paused":
            turns += 1
            if play.population.status == "paused":
                play.append(ev.StudyResumed())
            elif turns % restart_every == 0:
                play.restart()


def _trials(population: Population) -> list[Trial]:
    return [population.trial(trial) for trial in range(len(population))]


def _charged(population: Population) -> list[int]:
    """What each lane's trials sum up to."""
    charged = [0] * population.lanes
    for trial in _trials(population):
        if trial.status in ENDED and trial.kind == "train":
            assert trial.reached is not None
            charged[trial.member] += trial.reached - trial.start
    return charged


def _arrays(view: View) -> dict[str, bytes]:
    return {name: getattr(view, name).tobytes() for name in ARRAYS}
