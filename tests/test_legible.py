"""No text that user code can come up with keeps an event from being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity import legible
from heredity.evolution import events as ev
from heredity.evolution.trial import Checkpoint, Proposal
from heredity.stores.codec import decode, encode
from toys import NAME, events_of, toy_study

BAD, GOOD = "caf\udce9", "caf\\udce9"


def fails(session: hd.Session) -> None:
    """A file's name that is not UTF-8, in an error and in a metric's name."""
    if session.trial == 1:
        raise OSError(f"cannot read '{BAD}.png'" + "x" * 1_000_000)
    (session.save / "x").write_text(str(session.restore))
    session.report(**{"loss": session.hparams["lr"], BAD: 1.0})


@pytest.mark.parametrize("executor", [hd.Inline(), hd.Processes(2)], ids=["inline", "processes"])
def test_a_study_survives_what_an_exception_says(tmp_path: Path, executor: Any) -> None:
    study = toy_study(tmp_path, fails, budget=hd.Steps(10))
    assert study.run(executor, live="off").status == "ended"
    failed = [e for e in events_of(tmp_path, NAME) if isinstance(e, ev.TrialFailed)]
    assert [event.trial for event in failed] == [1, 1]
    for event in failed:
        assert event.error.startswith(f"OSError: cannot read '{GOOD}.png'")
        assert (len(event.error), len(event.traceback)) == (2_000, 20_000)
    assert GOOD in study.result.population.trial(0).metrics


def test_all_that_an_event_says_can_be_written() -> None:
    proposal = Proposal(member=0, turn=0, hparams={"x": BAD}, start=0, stop=5, reason=BAD)
    for event in (
        ev.TrialProposed(0, 1, proposal),
        ev.TrialStarted(0, 0, BAD),
        ev.TrialFailed(0, 0, "error", BAD, BAD, 0.0, BAD),
        ev.TrialFinished(0, 0, 1.0, {BAD: 1.0}, Checkpoint("0/0", 1, "d"), 0.0, BAD),
        ev.TrialInjected(0, {"x": BAD}, None),
        ev.StudyPaused(BAD),
    ):
        fit = legible.record(event)
        assert decode([encode(fit)], 1) == [fit]
        assert "\udce9" not in repr(fit)
        assert legible.record(fit) is fit


def test_of_an_error_the_beginning_is_kept_and_of_a_traceback_the_end() -> None:
    event = legible.record(ev.TrialFailed(0, 0, "error", "a" * 9_999 + "b", "a" * 99_999 + "b"))
    assert (len(event.error), len(event.traceback)) == (2_000, 20_000)
    assert event.error.startswith("aaa")
    assert event.traceback.endswith("aab")


def test_other_letters_stay_as_they_are() -> None:
    event = ev.StudyPaused("größer als 😀")
    assert legible.record(event) is event


def test_hparams_that_cannot_be_written_are_refused_before_anything_runs() -> None:
    """What a trial is given must be the very value that stands in the space."""
    with pytest.raises(hd.UsageError, match="cannot be written as UTF-8"):
        toy_study(space=hd.Space(lr=hd.Uniform(0, 1), file=hd.Categorical(["a", BAD])))


def test_the_log_and_what_is_folded_from_it_hold_the_same_text() -> None:
    study = toy_study()
    study.inject({"lr": 0.01})
    log = study._workshop.log()
    log.append([ev.StudyPaused(BAD)])
    assert log.population.reason == GOOD
    assert study._workshop.log().population.reason == GOOD
