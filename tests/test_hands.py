"""What a person may do to a study, what each does, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import heredity as hd
from heredity import hands
from heredity.errors import NotFound, SpaceError, UsageError
from heredity.evolution import events as ev
from heredity.log import Log
from heredity.stores.memory import MemoryStore
from toys import NAME, run, toy_study


@pytest.fixture
def study(tmp_path: Path) -> hd.Study:
    """A study that has begun, and that nobody runs."""
    study = toy_study(tmp_path)
    study.inject({"lr": 0.01})
    return study


def events(study: hd.Study, kind: type) -> list[ev.Event]:
    return [event for event in study._workshop.store.read(NAME) if isinstance(event, kind)]


def test_pausing_and_resuming_bring_about_a_state(study: hd.Study) -> None:
    for _ in range(2):
        study.pause("to look at it")
    assert (study.result.status, study.result.reason) == ("paused", "to look at it")
    for _ in range(2):
        study.resume()
    assert study.result.status == "running"
    assert len(events(study, ev.StudyPaused)) == len(events(study, ev.StudyResumed)) == 1


def test_a_study_that_was_stopped_ends_by_itself_and_can_be_resumed(study: hd.Study) -> None:
    for _ in range(2):
        study.stop("it is good enough")
    assert study.result.status == "stopping"
    assert len(events(study, ev.StudyStopRequested)) == 1
    with pytest.raises(UsageError, match="cannot be given a trial now; it is stopping: it is good"):
        study.inject({"lr": 0.01})


def test_an_ended_study_cannot_be_paused_nor_resumed_beyond_its_budget(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    run(study)
    with pytest.raises(UsageError, match="cannot be paused now; it is ended: every member has"):
        study.pause()
    with pytest.raises(UsageError, match="run it with a larger budget"):
        study.resume()
    study.stop()
    assert study.result.status == "ended"
    best = study.result.best.trial.id
    study.pin(best)
    study.unpin(best)


def test_a_stop_ends_a_study_that_is_run_again_and_a_resume_reopens_it(tmp_path: Path) -> None:
    study = toy_study(tmp_path)

    def stop(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial == 5:
            study.stop()

    result = run(study, on_event=stop)
    assert (result.status, result.reason) == ("ended", "stopped by a person")
    assert result.population.confirmed, "the finalists are measured again"
    assert result.population.ended_count < 24
    study.resume()
    assert study.result.status == "running"
    assert run(study).population.ended_count == 24


def test_a_pin_keeps_a_checkpoint(tmp_path: Path) -> None:
    study = toy_study(tmp_path)

    def pin(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial == 0:
            study.pin(0)
            study.pin(0)

    run(study, on_event=pin)
    assert len(events(study, ev.CheckpointPinned)) == 1
    assert study.result.model(0).checkpoint.is_dir()
    study.unpin(0)
    study.unpin(0)
    assert not study.result.population.pins


def test_what_has_no_checkpoint_cannot_be_pinned(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    run(study)
    gone = next(t.id for t in study.result.trials if t.checkpoint is None)
    with pytest.raises(NotFound, match=f"trial {gone} has no checkpoint"):
        study.pin(gone)
    for what in (study.pin, study.unpin):
        with pytest.raises(NotFound, match="there is no trial 999"):
            what(999)
    with pytest.raises(NotFound, match="there is no trial -1"):
        study.pin(-1)


def test_other_bounds_hold_from_here_on(tmp_path: Path) -> None:
    study = toy_study(tmp_path, budget=hd.Steps(60), algorithm=hd.PBT(exploit=hd.Tournament()))
    seen: list[int] = []

    def narrow(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and not seen:
            study.change_bounds("lr", 0.02, 0.03)
            study.change_bounds("lr", 0.02, 0.03)
            seen.append(event.trial)

    result = run(study, on_event=narrow)
    assert len(events(study, ev.BoundsChanged)) == 1
    moved = [t for t in result.trials if t.kind == "train" and t.evidence]
    assert moved
    assert all(0.02 <= t.hparams["lr"] <= 0.03 for t in moved[1:])
    assert any(not 0.02 <= t.hparams["lr"] <= 0.03 for t in result.trials), "and not before"


@pytest.mark.parametrize(
    ("name", "low", "high", "said"),
    [
        ("lrr", 0.1, 1.0, "Did you mean `lr`?"),
        ("lr", 0.0, 1.0, "lr: "),
        ("lr", 1.0, 0.1, "lr: "),
        ("lr", float("nan"), 1.0, "lr: "),
    ],
)
def test_bounds_that_cannot_be_are_refused(
    study: hd.Study, name: str, low: float, high: float, said: str
) -> None:
    with pytest.raises(SpaceError, match=said):
        study.change_bounds(name, low, high)
    assert events(study, ev.BoundsChanged) == []


def test_an_injection_is_checked_against_the_bounds_that_hold_now(study: hd.Study) -> None:
    study.change_bounds("lr", 0.02, 0.03)
    with pytest.raises(hd.HparamsError, match="lr"):
        study.inject({"lr": 0.05})
    with pytest.raises(NotFound, match="there is no trial 3"):
        study.inject({"lr": 0.02}, weights_from=3)
    study.inject({"lr": 0.02})
    assert len(events(study, ev.TrialInjected)) == 2


def test_a_study_that_was_never_run_is_not_found(tmp_path: Path) -> None:
    for act in ("pause", "resume", "stop"):
        with pytest.raises(NotFound, match="there is no study"):
            getattr(toy_study(tmp_path), act)()


def test_two_people_at_once(study: hd.Study) -> None:
    """Whoever comes second finds the state that they wanted."""
    store = study._workshop.store
    logs = [Log(store, NAME), Log(store, NAME)]
    for log in logs:
        hands.pause(log)
    assert len(events(study, ev.StudyPaused)) == 1
    assert all(log.population.status == "paused" for log in logs)


def test_the_studys_code_is_not_needed(tmp_path: Path) -> None:
    """A definition whose algorithm cannot be imported here."""
    definition = dict(toy_study(tmp_path).definition.as_json())
    definition["algorithm"] = {"type": "nowhere:Algorithm"}
    store = MemoryStore()
    store.create(NAME, [ev.StudyCreated(definition, (hd.Steps(10),))])
    log = Log(store, NAME)
    hands.change_bounds(log, "lr", 0.01, 0.02)
    hands.inject(log, {"lr": 0.015})
    hands.pause(log)
    hands.resume(log)
    hands.stop(log)
    assert log.population.status == "stopping"


@pytest.mark.parametrize("budget", [hd.Steps(30), hd.Trials(24), [hd.Steps(60), hd.Trials(24)]])
def test_an_injection_is_accepted_as_long_as_some_trial_will_carry_it_out(
    tmp_path: Path, budget: object
) -> None:
    """Asked for again and again: what was accepted is carried out, all else refused."""
    study = toy_study(tmp_path, None, budget=budget)
    accepted, refused, sessions = 0, 0, []
    while sessions := [*sessions, *study.ask(2)]:
        try:
            study.inject({"lr": 0.01})
            accepted += 1
        except UsageError:
            refused += 1
        session = sessions.pop(0)
        (session.save / "x").write_text(str(session.restore))
        session.complete(loss=session.hparams["lr"])
    assert study.ended
    assert not study.result.population.injections, "none has vanished"
    assert accepted >= 18
    assert refused
