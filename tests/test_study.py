"""What users hold: running, going on, refusing, injecting, pausing; what each promises."""

from __future__ import annotations

import math
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.evolution import events as ev
from heredity.log import Log
from heredity.stores import open_store
from heredity.testing.paths import weird_folder
from toys import NAME, Toy, events_of, run, toy_study, trained

# Budgets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize(("population", "interval", "steps"), [(1, 5, 10), (3, 4, 10), (5, 7, 6)])
def test_steps_are_used_exactly(mode: Any, population: int, interval: int, steps: int) -> None:
    result = run(
        toy_study(
            population=population,
            interval=interval,
            budget=hd.Steps(steps),
            algorithm=hd.PBT(mode=mode),
        )
    )
    assert result.status == "ended"
    assert result.population.spent.tolist() == [steps] * population
    lanes = Counter(trial.member for trial in trained(result))
    assert lanes == dict.fromkeys(range(population), math.ceil(steps / interval))


@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_trials_are_used_exactly(mode: Any, count: int) -> None:
    result = run(toy_study(budget=hd.Trials(count), algorithm=hd.PBT(mode=mode)))
    assert len(trained(result)) == result.population.ended_count == count
    assert result.reason == f"{count} trials have ended"


def test_a_target_ends_the_study_once_it_is_reached() -> None:
    result = run(toy_study(budget=[hd.Target(0.5), hd.Trials(1000)], final_evaluations=0))
    *before, last = trained(result)
    assert last.score is not None
    assert last.score <= 0.5
    assert all(trial.score > 0.5 for trial in before if trial.score is not None)


def test_seconds_count_over_all_runs(tmp_path: Path) -> None:
    """A second run has only what the first left over, to the millisecond."""
    study = toy_study(tmp_path, budget=[hd.Seconds(1e6), hd.Trials(4)])
    run(study)
    alive_s = study._workshop.store.alive_s(NAME)
    assert alive_s > 0
    result = run(toy_study(tmp_path, budget=[hd.Seconds(alive_s / 2), hd.Trials(1000)]))
    assert result.reason.endswith("seconds have passed")
    assert len(trained(result)) == 4


def test_a_larger_budget_goes_on_and_a_smaller_one_ends_at_once(tmp_path: Path) -> None:
    run(toy_study(tmp_path, budget=hd.Steps(10)))
    result = run(toy_study(tmp_path, budget=hd.Steps(25)))
    assert result.population.spent.tolist() == [25] * 4
    again = run(toy_study(tmp_path, budget=hd.Steps(15)))
    assert again.status == "ended"
    assert len(trained(again)) == len(trained(result))


def test_a_study_in_two_parts_is_the_study_in_one(tmp_path: Path) -> None:
    """Raising the budget is no fresh start: synchronous decisions are those of one long run."""
    algorithm = hd.PBT(mode="sync", ready=hd.Every(5))
    for steps in (10, 30):
        parts = run(toy_study(tmp_path, budget=hd.Steps(steps), algorithm=algorithm))
    whole = run(toy_study(budget=hd.Steps(30), algorithm=algorithm))
    assert _decisions(parts) == _decisions(whole)
    assert parts.population.exploits > 0


def _decisions(result: hd.Result) -> list[Any]:
    return [(t.member, t.turn, t.start, t.stop, t.hparams, t.score) for t in trained(result)]


# Going on ----------------------------------------------------------------------------------


def test_an_ended_study_run_again_does_nothing(tmp_path: Path) -> None:
    first = run(toy_study(tmp_path))
    log = list(events_of(tmp_path))

    class Untouched(Toy):
        def __init__(self) -> None:
            raise AssertionError("nothing is left to train")

    again = run(toy_study(tmp_path, Untouched))
    assert list(events_of(tmp_path)) == log
    assert again.best.trial == first.best.trial


def test_a_stopped_study_goes_on_and_then_stays_ended(tmp_path: Path) -> None:
    def stop(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial == 5:
            log.refresh()
            log.append([ev.StudyStopRequested("somebody asked")])

    study = toy_study(tmp_path)
    study._workshop.begin()
    log = Log(open_store(tmp_path), NAME)
    stopped = run(study, on_event=stop)
    assert (stopped.status, stopped.reason) == ("ended", "somebody asked")
    assert len(trained(stopped)) < 24
    result = run(toy_study(tmp_path, budget=hd.Steps(35)))
    assert result.population.spent.tolist() == [35] * 4
    seq = result.population.seq
    assert run(toy_study(tmp_path, budget=hd.Steps(35))).population.seq == seq


def test_a_paused_study_starts_nothing_new_and_goes_on_when_run_again(tmp_path: Path) -> None:
    def pause(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial == 5:
            log.refresh()
            log.append([ev.StudyPaused("somebody asked")])
        if isinstance(event, ev.StudyPaused):
            signal.raise_signal(signal.SIGINT)  # or it would wait until it is resumed

    study = toy_study(tmp_path)
    study._workshop.begin()
    log = Log(open_store(tmp_path), NAME)
    with pytest.raises(hd.HeredityError, match="paused: somebody asked"):
        run(study, on_event=pause)
    assert study.result.status == "paused"
    assert study.result.population.ended_count <= 7
    assert run(toy_study(tmp_path)).population.spent.tolist() == [30] * 4


def test_another_definition_is_refused_with_each_difference(tmp_path: Path) -> None:
    run(toy_study(tmp_path))
    other = toy_study(
        tmp_path,
        space=hd.Space(lr=hd.LogUniform(1e-3, 1e-1), momentum=hd.Uniform(0, 1)),
        population=5,
        algorithm=hd.PBT(mode="sync"),
        objective=hd.maximize("loss"),
    )
    with pytest.raises(hd.DefinitionMismatch, match="exists with another definition") as caught:
        run(other)
    assert caught.value.differences["population"] == ("4", "5")
    assert caught.value.differences["algorithm.mode"] == ("async", "sync")
    assert any("lr" in field for field in caught.value.differences)
    assert any("momentum" in field for field in caught.value.differences)
    for field in caught.value.differences:
        assert field in str(caught.value)


def test_a_second_driver_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    def intrude(event: ev.Event) -> None:
        if isinstance(event, ev.StudyEnded):
            with pytest.raises(hd.UsageError, match=r"is being run by .*pid \d+"):
                run(toy_study(tmp_path))
            refused.append(event)

    refused: list[ev.Event] = []
    run(toy_study(tmp_path), on_event=intrude)
    assert refused


def test_a_folder_of_any_name_will_do(tmp_path: Path) -> None:
    folder = weird_folder(tmp_path)
    result = run(toy_study(folder))
    assert hd.open(NAME, folder).best.checkpoint == result.best.checkpoint


# Listening ---------------------------------------------------------------------------------


def test_a_listener_hears_every_event_once_and_in_order(tmp_path: Path) -> None:
    heard: list[ev.Event] = []

    def listen(event: ev.Event) -> None:
        heard.append(event)
        if isinstance(event, ev.TrialFinished) and event.trial == 3:
            toy_study(tmp_path).inject({"lr": 0.01})

    run(toy_study(tmp_path), on_event=listen)
    assert heard == list(events_of(tmp_path))
    assert any(isinstance(event, ev.TrialInjected) for event in heard)


def test_a_listener_of_a_later_run_hears_only_what_is_new(tmp_path: Path) -> None:
    run(toy_study(tmp_path, budget=hd.Steps(10)))
    before = len(events_of(tmp_path))
    heard: list[ev.Event] = []
    run(toy_study(tmp_path), on_event=heard.append)
    assert heard == list(events_of(tmp_path))[before:]


# Injecting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_injections_while_it_runs_are_carried_out_once_each(tmp_path: Path, mode: Any) -> None:
    def inject(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial in (4, 5, 9):
            other = toy_study(tmp_path, algorithm=hd.PBT(mode=mode))
            other.inject({"lr": 0.05 + event.trial / 1000}, weights_from=event.trial)

    result = run(toy_study(tmp_path, algorithm=hd.PBT(mode=mode)), on_event=inject)
    injected = [trial for trial in result.trials if trial.injection is not None]
    assert [trial.injection for trial in injected] == [0, 1, 2]
    assert [trial.hparams["lr"] for trial in injected] == pytest.approx([0.054, 0.055, 0.059])
    assert [trial.weights_from for trial in injected] == [4, 5, 9]
    assert result.population.spent.tolist() == [30] * 4


def test_an_injection_before_the_first_run_waits_for_it(tmp_path: Path) -> None:
    toy_study(tmp_path).inject({"lr": 0.02})
    result = run(toy_study(tmp_path))
    assert [t.hparams["lr"] for t in result.trials if t.injection == 0] == [0.02]


def test_what_cannot_be_injected_is_refused_and_nothing_is_begun(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    with pytest.raises(hd.HparamsError, match="lr"):
        study.inject({"lr": 7.0})
    with pytest.raises(hd.HparamsError, match="Did you mean `lr`"):
        study.inject({"lrr": 0.01})
    assert NAME not in open_store(tmp_path).studies()
    with pytest.raises(hd.NotFound, match="trial 99"):
        study.inject({"lr": 0.01}, weights_from=99)


# Failures ----------------------------------------------------------------------------------


def test_a_bug_pauses_the_study_with_its_line_and_correcting_it_goes_on(tmp_path: Path) -> None:
    class Buggy(Toy):
        def train(self, steps: int) -> None:
            raise ZeroDivisionError("the bug")

    with pytest.raises(hd.TrainingError, match="ZeroDivisionError: the bug") as caught:
        run(toy_study(tmp_path, Buggy))
    assert 'raise ZeroDivisionError("the bug")' in caught.value.remote_traceback
    assert "heredity/" not in caught.value.remote_traceback
    assert caught.value.trial is not None
    assert run(toy_study(tmp_path)).population.spent.tolist() == [30] * 4


def test_the_commonest_error_is_the_one_shown() -> None:
    class Buggy(Toy):
        calls = 0

        def train(self, steps: int) -> None:
            Buggy.calls += 1
            if Buggy.calls == 2:
                raise RuntimeError("an accident")
            raise ZeroDivisionError("the bug")

    with pytest.raises(hd.TrainingError, match="the bug") as caught:
        run(toy_study(trainable=Buggy))
    assert "an accident" not in str(caught.value)


def test_a_trial_that_fails_is_tried_once_more_and_not_charged() -> None:
    class Unlucky(Toy):
        calls = 0

        def train(self, steps: int) -> None:
            Unlucky.calls += 1
            if Unlucky.calls == 7:
                raise RuntimeError("bad luck")
            super().train(steps)

    result = run(toy_study(trainable=Unlucky))
    assert [t.attempt for t in trained(result)].count(1) == 1
    assert all(t.status == "finished" for t in result.trials)
    assert result.population.spent.tolist() == [30] * 4


def test_a_lane_whose_trial_keeps_failing_gets_a_new_start() -> None:
    class Cursed(Toy):
        def train(self, steps: int) -> None:
            if self.session.trial == 6:
                raise RuntimeError("always here")
            super().train(steps)

    result = run(toy_study(trainable=Cursed))
    cursed = result.model(6).trial
    assert (cursed.status, cursed.attempt) == ("failed", 1)
    assert result.population.spent.tolist() == [30] * 4
    after = next(t for t in trained(result) if t.member == cursed.member and t.turn > cursed.turn)
    assert "trial 6 failed" in after.reason
    assert after.weights_from is not None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", [hd.minimize, hd.maximize])
def test_a_score_that_is_not_finite_is_a_result_and_never_wins(
    direction: Any, value: float
) -> None:
    class Diverging(Toy):
        def evaluate(self) -> float:
            return value if self.session.trial in (1, 6) else self.x**2

    result = run(toy_study(trainable=Diverging, objective=direction("loss")))
    for trial in (1, 6):
        record = result.model(trial).trial
        assert (record.status, record.score, record.checkpoint) == ("diverged", None, None)
        assert str(value) in record.error
    assert result.population.spent.tolist() == [30] * 4
    assert math.isfinite(result.best.score)
    assert not any(t.weights_from in (1, 6) or t.attempt for t in result.trials)


def test_intermediate_reports_may_be_anything(tmp_path: Path) -> None:
    class Reporting(Toy):
        def train(self, steps: int) -> None:
            super().train(steps)
            step = self.session.start
            self.session.report(step=step + 1, loss=math.nan, other=1.0)
            self.session.report(step=step + 2, loss=math.inf)

    study = toy_study(tmp_path, Reporting, budget=hd.Steps(5))
    assert run(study).status == "ended"
    curve = study._workshop.store.curve(NAME, 0)
    assert curve[0].metrics == {"other": 1.0}


def test_a_metric_that_is_not_there_is_named() -> None:
    with pytest.raises(hd.TrainingError, match="Did you mean `loss`"):
        run(toy_study(trainable=_WithLoss, objective=hd.minimize("los")))


class _WithLoss(Toy):
    def evaluate(self) -> Any:
        return {"loss": self.x**2, "accuracy": 1.0}


# What cannot work is refused before anything runs -------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "my study"}, "letters, digits"),
        ({"name": "../up"}, "letters, digits"),
        ({"name": ".hidden"}, "not first a dot"),
        ({"name": "heredity.db"}, "heredity.db"),
        ({"name": 5}, "got 5"),
        ({"population": 0}, "population"),
        ({"interval": 0}, "interval"),
        ({"budget": 100}, r"Did you mean hd.Steps\(100\)"),
        ({"budget": [hd.Steps(1), hd.Steps(2)]}, "one of each kind"),
        ({"keep": "some"}, "keep is one of"),
        ({"objective": "loss"}, "hd.maximize"),
        ({"initial": [{"lrr": 0.1}]}, "Did you mean `lr`"),
        ({"initial": [{"lr": 0.1}] * 5}, "population of 4"),
        ({"trainable": Toy()}, "instead of an instance"),
        ({"disk_limit_bytes": 0}, "disk_limit_bytes"),
        ({"trial_timeout_s": -1.0}, "timeout_s"),
        ({"finalists": -1}, "finalists"),
        ({"final_evaluations": 0.5}, "final_evaluations"),
    ],
)
def test_a_study_that_cannot_work_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(hd.UsageError, match=message):
        toy_study(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_making_a_study_touches_nothing(tmp_path: Path) -> None:
    toy_study(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
