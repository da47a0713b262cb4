"""The Session: what a trial was given, what came of it, and holding its user to account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import HparamsError, TrainingError
from heredity.evolution.trial import Trial
from heredity.trainables.session import MEASUREMENTS, Session, same_value

HPARAMS = {"lr": 0.1, "layers": 3, "kind": "sgd"}


def trial(**changes: Any) -> Trial:
    given: dict[str, Any] = {
        "id": 7, "seed": 11, "member": 2, "turn": 3, "start": 100, "stop": 200, "hparams": HPARAMS
    }  # fmt: skip
    return Trial(**(given | changes))


def session(
    measured: list[tuple[int, Mapping[str, float]]] | None = None, **changes: Any
) -> Session:
    record = [] if measured is None else measured
    return Session(
        trial(**changes),
        metric="accuracy",
        measured=lambda step, metrics: record.append((step, metrics)),
        interpolate=lambda a, b, fraction: {
            **b, "lr": a["lr"] + fraction * (b["lr"] - a["lr"])
        },
    )  # fmt: skip


def test_it_shows_what_the_trial_was_given() -> None:
    live = Session(trial(), metric="accuracy", save=Path("s"), restore=Path("r"), device="cuda:1")
    assert (live.start, live.stop, live.steps) == (100, 200, 100)
    assert (live.trial, live.member, live.seed, live.kind) == (7, 2, 11, "train")
    assert (live.save, live.restore, live.device) == (Path("s"), Path("r"), "cuda:1")
    assert dict(live.hparams) == HPARAMS


# Reports -------------------------------------------------------------------------------


def test_the_last_report_is_the_result() -> None:
    live = session()
    live.report(step=150, accuracy=0.5)
    live.report(accuracy=np.float32(0.75), loss=1)
    assert live.result == {"accuracy": 0.75, "loss": 1.0}
    assert live.reached == 200


@given(st.lists(st.integers(100, 199), min_size=1, max_size=300))
def test_measurements_are_passed_on_at_most_twenty_times_and_the_first_always(
    steps: list[int],
) -> None:
    passed: list[tuple[int, Mapping[str, float]]] = []
    live = session(passed)
    for step in sorted(steps):
        live.report(step=step, accuracy=step / 200)
    assert 1 <= len(passed) <= MEASUREMENTS
    assert passed[0] == (min(steps), {"accuracy": min(steps) / 200})


def test_measurements_are_spread_over_the_whole_trial() -> None:
    passed: list[tuple[int, Mapping[str, float]]] = []
    live = session(passed)
    for step in range(100, 201):
        live.report(step=step, accuracy=0.0)
    assert [step for step, _ in passed] == list(range(100, 200, 5))


@pytest.mark.parametrize("step", [99, 201, -1, 0])
def test_a_step_outside_of_the_trial_is_refused(step: int) -> None:
    with pytest.raises(TrainingError, match=r"from step 100 to 200: count on from session\.start"):
        session().report(step=step, accuracy=0.5)


@pytest.mark.parametrize("step", [0.93, "150", True, None])
def test_a_score_given_without_its_name_is_explained(step: Any) -> None:
    live = session()
    with pytest.raises(TrainingError, match=r"report\(accuracy=…\)"):
        live.report(step)


def test_numpy_steps_are_steps() -> None:
    passed: list[tuple[int, Mapping[str, float]]] = []
    session(passed).report(np.int64(150), accuracy=0.5)
    assert passed[0][0] == 150


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_a_result_but_not_kept(value: float) -> None:
    live = session()
    live.report(accuracy=value, loss=1.0)
    assert live.diverged
    assert not live.keeps
    assert live.result["accuracy"] == pytest.approx(value, nan_ok=True)


def test_another_metric_may_be_anything() -> None:
    live = session()
    live.report(accuracy=0.5, loss=math.nan)
    assert not live.diverged
    assert live.keeps


def test_an_evaluation_keeps_nothing() -> None:
    live = session(kind="evaluate", start=200)
    live.report(accuracy=0.5)
    assert not live.keeps


# Stopping early ------------------------------------------------------------------------


def test_stopping_early_ends_at_the_last_report() -> None:
    live = Session(trial(), metric="accuracy", stop_requested=lambda: True)
    live.report(step=130, accuracy=0.5)
    assert live.stop_requested
    assert live.reached == 130


def test_a_request_that_nobody_looked_at_changes_nothing() -> None:
    live = Session(trial(), metric="accuracy", stop_requested=lambda: True)
    live.report(step=130, accuracy=0.5)
    assert live.reached == 200


def test_a_request_once_seen_stays() -> None:
    answers = iter([True, False])
    live = Session(trial(), metric="accuracy", stop_requested=lambda: next(answers))
    assert live.stop_requested
    assert live.stop_requested


# Values in force -----------------------------------------------------------------------


def test_restoring_optimizer_state_puts_the_old_learning_rate_back() -> None:
    with pytest.raises(TrainingError, match=r"hparam `lr` is 0.05 in force.*was given 0.1") as info:
        session().applied(lr=0.05)
    assert "set it again after restoring" in str(info.value)


def test_what_was_confirmed_is_verified_and_consumed() -> None:
    live = session()
    live.applied(lr=np.float32(0.1), layers=3.0)
    assert live.unverified == ("kind",)
    assert live.unconsumed == ("kind",)


def test_confirming_an_unknown_hparam_suggests_the_name_meant() -> None:
    with pytest.raises(HparamsError, match=r"`layer` is not an hparam.*Did you mean `layers`"):
        session().applied(layer=3)


@pytest.mark.parametrize(
    ("seen", "expected", "same"),
    [
        (np.float32(0.1), 0.1, True),
        (0.1 * 1.0001, 0.1, False),
        (1e-8, 0.0, False),
        (3, 3.0, True),
        (2, 3, False),
        ("sgd", "sgd", True),
        ("adam", "sgd", False),
        (True, True, True),
        (0, True, False),
        (None, None, True),
        (None, 0.1, False),
        (math.nan, 0.1, False),
        ("0.1", 0.1, True),
    ],
)
def test_values_are_compared_within_single_precision(seen: Any, expected: Any, same: bool) -> None:
    assert same_value(seen, expected) is same


# Ramp ----------------------------------------------------------------------------------


def ramping(**changes: Any) -> Session:
    return session(ramp_from=HPARAMS | {"lr": 0.3}, ramp_steps=20, **changes)


def test_a_ramp_moves_from_the_old_hparams_to_the_new() -> None:
    live = ramping()
    rates = [live.hparams_at(step)["lr"] for step in (100, 105, 110, 120, 150)]
    assert rates == pytest.approx([0.3, 0.25, 0.2, 0.1, 0.1])


def test_reading_along_a_ramp_counts_as_reading() -> None:
    live = ramping()
    assert live.hparams_at(105)["lr"]
    assert live.unconsumed == ("layers", "kind")


def test_along_a_ramp_its_own_values_must_be_in_force() -> None:
    live = ramping()
    live.hparams_at(110)
    live.applied(lr=0.2)
    with pytest.raises(TrainingError, match=r"was given 0\.2"):
        live.applied(lr=0.1)


def test_without_a_ramp_the_hparams_hold_at_every_step() -> None:
    live = session()
    assert not live.ramps
    assert live.hparams_at(100) == HPARAMS


def test_a_ramp_longer_than_the_trial_ends_with_it() -> None:
    live = ramping(start=190)
    assert live.ramp_steps == 10
    assert live.hparams_at(200)["lr"] == 0.1
