"""Events as points: each trial that ended once, and what a member's run shows of it."""

from __future__ import annotations

from typing import Any

import pytest
from told import ended, exploited, numbers, run, study, timeless

import heredity as hd
from evolution.story import Story as Written
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.evolution.rounds import as_round
from heredity.evolution.trial import Proposal
from heredity.integrations.story import Point, Story, summary
from heredity.space import Categorical, Constant, Integer, Ordinal, Space, Uniform
from heredity.testing.arithmetic import Arithmetic


def told(written: Written, begin: int = 1) -> list[Point]:
    """The points of a log of which the first `begin` events were there beforehand."""
    story = Story(Population.fold(written.log[:begin]))
    points = list(story.past())
    for event in written.log[begin:]:
        points += story.read(event)
    return points


def from_scratch(member: int) -> Proposal:
    return Proposal(member=member, turn=0, hparams={"x": 0.5}, start=0, stop=10)


def log_of(**options: Any) -> tuple[hd.Result, list[ev.Event]]:
    events: list[ev.Event] = []
    return run(study(**options), events.append), events


class TestPoints:
    def test_a_trial_that_ended_is_a_point_of_its_member(self) -> None:
        result, events = log_of()
        story = Story(Population.fold(events[:1]))
        points = [point for event in events[1:] for point in story.read(event)]
        want = [trial for lane in ended(result).values() for trial in lane]
        assert len(want) == 24
        assert {p.trial: (p.member, p.step, timeless(p.values)) for p in points} == {
            t.id: (t.member, t.reached, numbers(result, t)) for t in want
        }
        assert {p.trial: p.choices for p in points} == {
            t.id: {"mode": t.hparams["mode"]} for t in want
        }

    def test_an_exploit_names_whose_weights_they_were(self) -> None:
        result, events = log_of()
        story = Story(Population.fold(events))
        notes = {p.trial: p.notes["exploit"] for p in story.past() if "exploit" in p.notes}
        assert exploited(result)
        assert notes.keys() == {trial.id for trial in exploited(result)}
        for trial in exploited(result):
            donor = result.trials[trial.weights_from or 0]
            begin = f"from trial {donor.id} of member {donor.member} at step {trial.start}: "
            assert notes[trial.id] == begin + trial.reason

    def test_hparams_alone_can_be_taken_over(self) -> None:
        written = Written(members=2)
        first, other = (written.finish(written.run(m)) for m in (0, 1))
        written.finish(written.run(0, first, hparams_from=(other,), reason="better hparams"))
        point = told(written)[-1]
        assert point.notes == {"exploit": "from trial 1 of member 1 at step 10: better hparams"}
        assert (point.values["lineage/member"], point.values["lineage/trial"]) == (0, 0)

    def test_a_divergence_has_its_hparams_and_no_score(self) -> None:
        written = Written(members=2)
        written.diverge(0)
        (point,) = told(written)
        assert "score" not in point.values
        assert point.values["hparams/x"] == 0.5
        assert point.notes == {"diverged": "nan"}

    def test_a_trial_stopped_early_stands_where_it_came_to(self) -> None:
        written = Written(members=2)
        trial = written.run(0)
        written.append(
            ev.TrialStopRequested(trial, "poor"),
            ev.TrialStopped(trial, 0, 4, 0.5, {"q": 0.5}, None),
        )
        (point,) = told(written)
        assert (point.step, point.values["score"]) == (4, 0.5)
        assert point.notes == {"stopped": "at step 4 of 10"}

    def test_a_trial_tried_again_is_one_point(self) -> None:
        written = Written(members=2)
        trial = written.run(0)
        written.fail(trial)
        written.finish(written.start(trial), 0.7, attempt=1)
        (point,) = told(written)
        assert (point.trial, point.values["score"]) == (trial, 0.7)

    def test_evaluations_of_finalists_are_no_points(self) -> None:
        result, events = log_of()
        assert any(trial.kind == "evaluate" for trial in result.trials)
        assert len(list(Story(Population.fold(events)).past())) == 24

    @pytest.mark.parametrize(
        ("parameter", "value", "number", "text"),
        [
            (Uniform(0.0, 1.0), 0.25, 0.25, None),
            (Integer(1, 9), 3, 3.0, None),
            (Ordinal([32, 64]), 64, 64.0, None),
            (Categorical([True, False]), False, 0.0, None),
            (Categorical(["relu", "gelu"]), "gelu", 1.0, "gelu"),
            (Categorical([8, "all"]), 8, 0.0, "8"),
            (Constant("adam"), "adam", 0.0, "adam"),
        ],
    )
    def test_charts_get_a_number_of_every_hparam(
        self, parameter: Any, value: Any, number: float, text: str | None
    ) -> None:
        written = Written(members=2, space=Space(h=parameter))
        written.finish(written.run(0, hparams={"h": value}))
        (point,) = told(written)
        assert point.values["hparams/h"] == number
        assert point.choices == ({} if text is None else {"h": text})


class TestOnce:
    def test_wherever_the_log_was_read_the_points_are_the_same(self) -> None:
        """The events after it, and those that it held already, told once more."""
        _, events = log_of(population=2, budget=hd.Steps(15))
        want = list(Story(Population.fold(events)).past())
        for cut in range(1, len(events)):
            for again in (0, 1, 5):
                story = Story(Population.fold(events[:cut]))
                points = list(story.past())
                for event in events[max(0, cut - again) :]:
                    points += story.read(event)
                assert sorted(points, key=lambda p: p.trial) == want

    def test_a_round_tells_what_its_trials_would(self) -> None:
        options: dict[str, Any] = {
            "objective": hd.maximize("progress"),
            "population": 6,
            "interval": 5,
            "budget": hd.Steps(30),
            "name": "rounds",
            "storage": ":memory:",
        }
        space = hd.Space(x=hd.Uniform(0.0, 1.0))
        events: list[ev.Event] = []
        hd.Study(Arithmetic(0.8), space, **options).run(
            hd.Vectorized(block=2), on_event=events.append, live="off"
        )
        rounds = [event for event in events if isinstance(event, ev.RoundFinished)]
        assert len(rounds) == 6
        told_live = Story(Population.fold(events[:1]))
        points = [point for event in events[1:] for point in told_live.read(event)]
        past = list(Story(Population.fold(events)).past())
        assert points == past
        assert len(points) == 36
        assert any("diverged" in point.notes for point in points)
        assert any("exploit" in point.notes for point in points)

    def test_a_round_that_the_log_held_adds_nothing(self) -> None:
        written = Written(members=2)
        proposed = [ev.TrialProposed(t, t, from_scratch(t)) for t in range(2)]
        outcomes = [ev.TrialFinished(t, 0, 0.5, {"q": 0.5}, None) for t in range(2)]
        event = as_round(proposed, outcomes, 1.0)
        story = Story(Population.fold(written.log))
        list(story.past())
        assert [point.trial for point in story.read(event)] == [0, 1]
        assert story.read(event) == []


class TestSummary:
    def test_it_says_what_the_study_is_and_found(self) -> None:
        result, _ = log_of()
        told = summary(result.population)
        best = result.best
        assert told.ended
        assert told.trials == 24
        assert told.values == {
            "trials": 24,
            "exploits": len(exploited(result)),
            "diverged": 0,
            "failed attempts": 0,
            "best/trial": best.trial.id,
            "best/member": best.trial.member,
            "best/step": 30,
            "best/score": best.score,
            "best/confirmed": best.confirmed,
        }
        assert told.texts["status"] == f"ended: {result.reason}"
        assert told.texts["best"].startswith(f"trial {best.trial.id} of member")
        assert told.facts["objectives"] == "minimize loss"
        assert told.facts["space/mode"].startswith("Categorical(['plain', 'steep']")

    def test_a_study_that_has_only_begun_has_no_best(self) -> None:
        told = summary(Written().population)
        assert not told.ended
        assert "best" not in told.texts
