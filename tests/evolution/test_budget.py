"""Budgets as users write them."""

import pytest

from heredity.errors import UsageError
from heredity.evolution.budget import (
    Seconds,
    Steps,
    Target,
    Trials,
    as_budget,
    steps_per_lane,
    trials_in_all,
)


def test_one_limit_or_several():
    assert as_budget(Steps(5)) == (Steps(5),)
    assert as_budget([Steps(5), Target(0.9)]) == (Steps(5), Target(0.9))


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        (1000, r"Did you mean hd\.Steps\(1000\)"),
        ([], "at least one"),
        ([Steps(1), Steps(2)], "one of each kind"),
        ([Steps(1), "day"], "hd.Seconds"),
    ],
)
def test_what_is_no_budget(budget, match):
    with pytest.raises(UsageError, match=match):
        as_budget(budget)


@pytest.mark.parametrize("kind", [Steps, Trials])
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "9"])
def test_counts_are_positive_integers(kind, count):
    with pytest.raises(UsageError, match=f"{kind.__name__} needs a positive integer"):
        kind(count)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan")])
def test_seconds_are_positive(seconds):
    with pytest.raises(UsageError, match="Seconds"):
        Seconds(seconds)


def test_a_target_is_finite():
    with pytest.raises(UsageError, match="finite"):
        Target(float("nan"))


def test_what_a_budget_says():
    assert steps_per_lane([Trials(3), Steps(7)]) == 7
    assert trials_in_all([Trials(3), Steps(7)]) == 3
    assert steps_per_lane([Target(1.0)]) is None
    assert trials_in_all([Seconds(1.0)]) is None
