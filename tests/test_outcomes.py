"""Reports become events, and what is not finite is never stored."""

from __future__ import annotations

import math
from typing import Any

import pytest

from heredity.evolution import events as ev
from heredity.evolution.trial import Checkpoint, Trial
from heredity.executors.base import Completed, Failed, Measured
from heredity.outcomes import as_event, finite

SAVED = Checkpoint("3/0", 10, "digest")


def trial(**changes: Any) -> Trial:
    fields = {"id": 3, "seed": 0, "member": 0, "turn": 0, "hparams": {}, "start": 0, "stop": 10}
    return Trial(**{**fields, **changes})


def completed(reached: int = 10, **metrics: float) -> Completed:
    return Completed(3, 0, reached, metrics, SAVED, 1.5)


def test_a_finite_score_finishes_with_the_finite_metrics() -> None:
    event = as_event(completed(loss=0.5, other=math.nan), trial(), "loss", "w")
    assert event == ev.TrialFinished(3, 0, 0.5, {"loss": 0.5}, SAVED, 1.5, "w")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_diverges_and_says_what_was_seen(value: float) -> None:
    event = as_event(completed(loss=value, other=1.0), trial(), "loss", "w")
    assert event == ev.TrialDiverged(3, 0, f"loss is {value}", {"other": 1.0}, 1.5, "w")


def test_a_trial_that_is_not_to_be_measured_has_no_score() -> None:
    event = as_event(completed(loss=math.nan), trial(evaluations=0), "loss", "w")
    assert isinstance(event, ev.TrialFinished)
    assert event.score is None


def test_a_trial_that_ended_early_stopped_where_it_got_to() -> None:
    event = as_event(completed(7, loss=0.5), trial(), "loss", "w")
    assert event == ev.TrialStopped(3, 0, 7, 0.5, {"loss": 0.5}, SAVED, 1.5, "w")


def test_a_failure_keeps_its_kind_its_message_and_its_frames() -> None:
    failed = Failed(3, 1, "timeout", "too long", "line 1", 2.0)
    event = as_event(failed, trial(), "loss", "w")
    assert event == ev.TrialFailed(3, 1, "timeout", "too long", "line 1", 2.0, "w")


def test_a_measurement_keeps_what_is_finite() -> None:
    event = as_event(Measured(3, 0, 5, {"loss": math.inf, "x": 1.0}), trial(), "loss", "")
    assert event == ev.TrialMeasured(3, 0, 5, {"x": 1.0})
    assert finite({"a": math.nan}) == {}
