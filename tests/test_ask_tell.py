"""Ask and tell: loops that the user owns, which are held to what other training is held to."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.asking import Asked, Asking
from heredity.checkpoints.local import LocalCheckpoints
from heredity.desk import Desk
from heredity.evolution import events as ev
from heredity.evolution.algorithm import Decision
from heredity.evolution.view import View
from heredity.log import Log
from heredity.stores.memory import MemoryStore
from toys import NAME, Toy, events_of, toy_study


def train(session: hd.Session) -> float:
    """Descend on x² for the session's steps, and save; the loss."""
    x = 1 + session.seed % 1000 / 1000
    if session.restore is not None:
        x = float((session.restore / "x").read_text())
    for _ in range(session.steps):
        x -= session.hparams["lr"] * 2 * x
    if session.kind == "train":
        (session.save / "x").write_text(repr(x))
    return x * x


def asked_study(
    storage: str | Path = ":memory:", trainable: Any = None, **changes: Any
) -> hd.Study:
    return toy_study(storage, trainable, **changes)


def loop(study: hd.Study, count: int = 1) -> None:
    """Train all that there is."""
    while sessions := study.ask(count):
        for session in sessions:
            session.complete(loss=train(session))


def one(study: hd.Study, **options: Any) -> Asked:
    (session,) = study.ask(**options)
    return session


def events(study: hd.Study, kind: type) -> list[Any]:
    return [event for event in study._workshop.store.read(NAME) if isinstance(event, kind)]


# Whole studies -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_loop_decides_as_run_does(count: int) -> None:
    """In synchronous mode, whoever trains and however many at a time."""

    def function(session: hd.Session) -> None:
        session.report(loss=train(session))

    sync = {"algorithm": hd.PBT(mode="sync"), "population": 6}
    looped, ran = asked_study(**sync), asked_study(trainable=function, **sync)
    assert not looped.ended
    loop(looped, count)
    expected = ran.run(hd.Inline(), live="off")
    assert looped.ended
    assert facts(looped.result) == facts(expected)


def facts(result: hd.Result) -> list[Any]:
    return [
        (t.id, t.kind, t.member, dict(t.hparams), t.weights_from, t.seed, t.score)
        for t in result.trials
        if t.kind == "train"
    ]


def test_the_best_is_there_to_load_by_hand(tmp_path: Path) -> None:
    study = asked_study(tmp_path)
    loop(study)
    best = study.result.best
    assert float((best.checkpoint / "x").read_text()) ** 2 == best.score
    assert (tmp_path / NAME / "best" / "x").exists()
    with pytest.raises(hd.UsageError, match="yours to load"):
        best.load()
    assert list((tmp_path / NAME / "asked").iterdir()) == [], "nothing is left lying about"


def test_there_is_nothing_to_run_without_a_trainable() -> None:
    for act in (asked_study().run, asked_study().check):
        with pytest.raises(hd.UsageError, match=r"train what study\.ask\(\) gives"):
            act()


def test_another_definition_is_refused(tmp_path: Path) -> None:
    one(asked_study(tmp_path))
    with pytest.raises(hd.DefinitionMismatch):
        asked_study(tmp_path, population=5).ask()


def test_threads_ask_and_tell_at_once(tmp_path: Path) -> None:
    study, errors = asked_study(tmp_path, population=6), []

    def work() -> None:
        try:
            while not study.ended:
                loop(study)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert study.result.population.spent.tolist() == [30] * 6
    assert study.result.population.failures == 0


# Asking --------------------------------------------------------------------------------------


def test_no_session_is_given_twice_while_it_is_there() -> None:
    study = asked_study()
    sessions = [one(study) for _ in range(4)]
    assert sorted(session.member for session in sessions) == [0, 1, 2, 3]
    assert study.ask(3) == []
    assert not study.ended
    sessions[1].complete(loss=train(sessions[1]))
    assert one(study).member == sessions[1].member


def test_a_session_that_was_dropped_is_given_again() -> None:
    study = asked_study()
    dropped = one(study).trial
    gc.collect()
    again = one(study)
    assert again.trial == dropped
    assert events(study, ev.TrialFailed) == []


DIES = """
import os, sys
sys.path.insert(0, sys.argv[2])
from test_ask_tell import asked_study
session, = asked_study(sys.argv[1]).ask()
(session.save / "half").write_text("written")
print(session.trial, flush=True)
os._exit(1)
"""


def test_what_a_dead_process_began_is_given_out_again(tmp_path: Path) -> None:
    """The next process has its name, so need not wait; what was half saved is gone."""
    line = [sys.executable, "-c", DIES, str(tmp_path), str(Path(__file__).parent)]
    died = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert died.returncode == 1, died.stderr
    study = asked_study(tmp_path)
    session = one(study)
    assert session.trial == int(died.stdout)
    assert list(session.save.iterdir()) == []
    assert one(study, worker="another").trial != session.trial
    session.complete(loss=train(session))
    assert len(events(study, ev.TrialFinished)) == 1


def test_a_loop_that_trains_for_long_keeps_its_lease(tmp_path: Path) -> None:
    study = asked_study()
    one(study)
    store = study._workshop.store
    assert isinstance(store, MemoryStore)
    desk = Desk(Log(store, NAME), study.definition, LocalCheckpoints(tmp_path), lease_s=0.6)
    asking = Asking(desk, "slow", tmp_path / "asked")
    (session,) = asking.ask(1)
    seen: set[float] = set()
    for _ in range(1000):  # until it was renewed a few times by nobody but the thread
        leases = store._studies[NAME].leases
        seen |= {lease.left_s for lease in leases.values() if lease.trial == session.trial}
        if len(seen) > 3:
            break
        time.sleep(0.02)
    assert len(seen) > 3
    heart = asking._heart
    assert heart is not None
    session.fail("enough")
    del session
    heart.join(10)
    assert not heart.is_alive(), "with nothing to keep alive it ends"


# Telling -------------------------------------------------------------------------------------


def test_a_result_may_be_a_number_a_mapping_keywords_or_the_last_report() -> None:
    study = asked_study()
    a, b, c, d = study.ask(4)
    for session in (a, b, c, d):
        train(session)
    a.complete(0.25)
    b.complete({"loss": 0.5, "accuracy": 0.75})
    c.complete(loss=1)
    d.report(step=2, loss=3.0)
    d.report(loss=2.0)
    d.complete()
    trials = study.result.trials
    assert [t.score for t in trials] == [0.25, 0.5, 1.0, 2.0]
    assert trials[b.trial].metrics == {"loss": 0.5, "accuracy": 0.75}
    assert [t.reached for t in trials] == [5] * 4
    assert study._workshop.store.curve(NAME, d.trial)[0].metrics == {"loss": 3.0}


def test_a_diverged_trial_saves_nothing() -> None:
    study = asked_study()
    session = one(study)
    train(session)
    session.complete(loss=math.nan)
    trial = study.result.trials[session.trial]
    assert (trial.status, trial.checkpoint) == ("diverged", None)
    assert list(study.checkpoints.list()) == []


def untold(session: Asked) -> None:
    session.complete(accuracy=1.0)


def unsaved(session: Asked) -> None:
    (session.save / "x").unlink()
    session.complete(loss=1.0)


def unread(session: Asked) -> None:
    session.hparams.consumed.clear()
    session.complete(loss=1.0)


def beyond(session: Asked) -> None:
    session.complete(loss=1.0, step=99)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (untold, "no metric `loss`"),
        (unsaved, "nothing was saved"),
        (unread, "nothing used the hparam `lr`"),
        (beyond, "lies outside of this trial"),
    ],
)
def test_what_was_forgotten_is_an_error_that_can_be_put_right(mistake: Any, said: str) -> None:
    study = asked_study()
    session = one(study)
    train(session)
    with pytest.raises(hd.TrainingError, match=said):
        mistake(session)
    assert events(study, ev.TrialFinished) == []
    session.complete(loss=train(session))
    assert len(events(study, ev.TrialFinished)) == 1


def test_weights_that_were_not_restored_are_no_inheritance() -> None:
    study = asked_study(population=1)
    first = one(study)
    first.complete(loss=train(first))
    session = one(study)
    (session.save / "x").write_text(f"{session.hparams['lr']}")
    with pytest.raises(hd.TrainingError, match=r"did not read session\.restore"):
        session.complete(loss=1.0)


def test_a_session_ends_once() -> None:
    study = asked_study()
    session = one(study)
    session.complete(loss=train(session))
    for act in (lambda: session.complete(loss=1.0), lambda: session.fail("late")):
        with pytest.raises(hd.UsageError, match="completed or failed before"):
            act()


def test_a_failure_is_tried_again_with_its_traceback_in_the_log() -> None:
    study = asked_study()
    session = one(study)
    try:
        raise ValueError("no such file")
    except ValueError as error:
        session.fail(error)
    (failed,) = events(study, ev.TrialFailed)
    assert failed.error == "ValueError: no such file"
    assert "test_ask_tell" in failed.traceback
    again = one(study)
    assert (again.trial, again.seed) == (session.trial, session.seed)
    again.complete(loss=train(again))
    assert study.result.trials[again.trial].attempt == 1


def test_a_bug_does_not_look_like_bad_luck() -> None:
    study = asked_study()

    def break_all() -> None:
        for _ in range(20):
            one(study).fail("it broke")

    with pytest.raises(hd.TrainingError, match="The commonest error, in trial 0: it broke"):
        break_all()
    study.resume()
    assert study.ask(), "one may go on once the cause is gone"


def test_while_a_person_has_it_paused_there_is_nothing_to_do() -> None:
    study = asked_study()
    session = one(study)
    study.pause()
    session.complete(loss=train(session))
    assert (study.ask(4), study.ended) == ([], False)
    study.resume()
    loop(study, 4)
    assert study.ended


def test_a_trial_that_was_completed_elsewhere_is_done() -> None:
    study = asked_study()
    session = one(study)
    loss = train(session)
    desk = study._workshop._desk
    assert desk is not None
    desk.fail("asked", _failed(session))
    other = one(study, worker="other")
    assert other.trial == session.trial
    other.complete(loss=train(other))
    session.complete(loss=loss)
    assert len(events(study, ev.TrialFinished)) == 1
    assert len(list(study.checkpoints.list())) == 1


def _failed(session: Asked) -> Any:
    from heredity.executors.base import Failed

    return Failed(session.trial, 0, "lost", "silent")


# Stops, evaluations --------------------------------------------------------------------------


@dataclass(frozen=True)
class StopsTheWorse(hd.PBT):
    """Ends a trial that reports a loss above 10 on the way."""

    watches = True

    def decide(self, view: View, free: int) -> Decision:
        decision = super().decide(view, free)
        worse = [t for t in view.running if any(m["loss"] > 10 for _, m in view.measurements(t))]
        return replace(decision, stop=tuple(worse))


def test_a_stop_reaches_the_loop_that_reports() -> None:
    study = asked_study(algorithm=StopsTheWorse())
    good, bad = study.ask(2)
    for session, loss in ((good, 1.0), (bad, 11.0)):
        session.report(step=2, loss=loss)
        train(session)
    assert (good.stop_requested, bad.stop_requested) == (False, True)
    bad.complete(loss=11.0, step=2)
    good.complete(loss=1.0)
    stopped, finished = study.result.trials[bad.trial], study.result.trials[good.trial]
    assert (stopped.status, stopped.reached) == ("stopped", 2)
    assert (finished.status, finished.reached) == ("finished", 5)


def test_a_loop_may_stop_by_itself_if_it_says_where() -> None:
    study = asked_study()
    session = one(study)
    session.complete(loss=train(session), step=3)
    trial = study.result.trials[session.trial]
    assert (trial.status, trial.reached) == ("stopped", 3)


def test_finalists_are_measured_with_fresh_seeds_and_a_loop_need_not_know(tmp_path: Path) -> None:
    study = asked_study(tmp_path, finalists=2, final_evaluations=3)
    measured: dict[int, list[tuple[int, float]]] = {}
    while sessions := study.ask(2):
        for session in sessions:
            loss = train(session)
            if session.kind == "evaluate":
                assert (session.steps, session.evaluations) == (0, 1)
                loss += session.seed / 2**31
                measured.setdefault(session.trial, []).append((session.seed, loss))
            session.complete(loss=loss)
    assert len(measured) == 2
    assert all(len({seed for seed, _ in each}) == 3 for each in measured.values())
    for trial, each in measured.items():
        source = study.result.trials[trial].weights_from
        assert source is not None
        confirmed = study.result.model(source).confirmed
        assert confirmed == pytest.approx(sum(loss for _, loss in each) / 3)


# A driver beside it --------------------------------------------------------------------------


def test_a_driver_takes_nothing_from_workers_that_are_at_work(tmp_path: Path) -> None:
    asked, driven = asked_study(tmp_path, trainable=Toy), asked_study(tmp_path, trainable=Toy)
    session = one(asked, worker="gpu-1")
    before = len(events_of(tmp_path))
    with pytest.raises(hd.UsageError, match=r"gpu-1 \(for \d+ s yet\).*Stop them"):
        driven.run(hd.Inline(), live="off")
    assert len(events_of(tmp_path)) == before, "nothing is recorded"
    session.complete(loss=train(session))
    assert driven.run(hd.Inline(), live="off").status == "ended"


def test_a_driver_goes_on_once_the_leases_have_ended(tmp_path: Path) -> None:
    asked, driven = asked_study(tmp_path, trainable=Toy), asked_study(tmp_path, trainable=Toy)
    session = one(asked, worker="gpu-1")
    driven._workshop.store.lease(NAME, session.trial, 0, "gpu-1", -1.0)
    assert driven.run(hd.Inline(), live="off").status == "ended"
    (lost,) = events(driven, ev.TrialFailed)
    assert (lost.failure, lost.error) == ("lost", "worker gpu-1 was silent")


def test_run_after_ask_in_one_process(tmp_path: Path) -> None:
    """A session that is there is to be ended first; one that was dropped is nobody's."""
    study = asked_study(tmp_path, trainable=Toy)
    session = one(study)
    with pytest.raises(hd.UsageError, match=r"complete or fail trial 0 before study\.run"):
        study.run(hd.Inline(), live="off")
    del session
    gc.collect()
    assert study.run(hd.Inline(), live="off").status == "ended"
    assert study.ended


def test_the_same_script_started_twice_is_refused(tmp_path: Path) -> None:
    """Else each would remove what the other saves."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from toys import toy_study\n"
        f"sessions = toy_study({str(tmp_path)!r}, None).ask()\n"
        f"print(len(sessions), flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        with pytest.raises(hd.UsageError, match=r"worker 'asked' \(pid \d+"):
            asked_study(tmp_path).ask()
        assert one(asked_study(tmp_path), worker="another").trial == 1
        other.kill()
    assert one(asked_study(tmp_path)).trial == 0, "what it had is given out again"
