"""The facts shown are those of the population."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heredity.evolution.budget import Finals, Seconds, Steps, Target, Trials
from heredity.live.facts import TimeLeft
from heredity.live.picture import picture
from live.played import facts_after


def test_before_anything_ended_there_are_rows_and_no_scores() -> None:
    facts = facts_after(0)
    rows = facts.rows(10)
    assert [row.state for row in rows] == ["training", "training", "waiting", "waiting"]
    assert {row.score for row in rows} == {None}
    assert {row.weights_from for row in rows} == {None}
    assert (facts.best, facts.best_score, facts.median_score) == (None, None, None)
    assert not any(row.best for row in rows)


def test_scores_are_in_the_users_units_and_the_best_row_is_marked() -> None:
    """The toy is minimised: the best score is the lowest."""
    facts = facts_after(30)
    population, rows = facts.population, facts.rows(10)
    assert facts.best is not None
    assert facts.best_score == population.trial(facts.best).score
    assert [row.member for row in rows if row.best] == [population.trial(facts.best).member]
    newest = [population.trial(int(trial)).score for trial in population.newest]
    assert [row.score for row in rows] == newest
    assert facts.median_score == pytest.approx(np.median([s for s in newest if s is not None]))


def test_weights_come_from_where_the_running_trial_took_them() -> None:
    facts = facts_after(10)
    for row in facts.rows(10):
        running, last = facts.population.open_trial[row.member], facts.population.last[row.member]
        record = facts.population.trial(int(running if running >= 0 else last))
        source = record.weights_from
        expected = None if source is None else (facts.population.trial(source).member, source)
        assert row.weights_from == expected
        assert row.hparams == record.hparams
    assert facts.population.exploits > 0


def test_what_goes_wrong_is_a_state() -> None:
    facts = facts_after(2, slots=1, mishaps=lambda trial: "diverged" if trial.id == 1 else None)
    assert [row.state for row in facts.rows(4)][:3] == ["waiting", "diverged", "training"]
    assert facts.rows(4)[1].score is None
    failed = facts_after(1, slots=2, mishaps=lambda trial: "error" if trial.id == 0 else None)
    assert failed.row(0).state in ("failed", "training")
    assert failed.population.failures == 1


def test_at_the_end_all_are_done() -> None:
    facts = facts_after(1000)
    assert facts.population.status == "ended"
    assert {row.state for row in facts.rows(10)} == {"done"}
    assert facts.progress.fraction == 1.0


def test_finalists_are_seen_being_measured_again() -> None:
    facts = facts_after(20, slots=1, finals=Finals(2, 3))
    assert facts.population.status == "running"
    finalists = {facts.population.member[trial] for trial in facts.population.evaluated}
    assert {row.member for row in facts.rows(4) if row.state == "measuring"} == finalists
    assert "measuring the finalists again" in picture(facts, None, 80, 24, fancy=True).plain


def test_of_a_large_population_the_best_are_shown() -> None:
    facts = facts_after(200, population=50)
    rows = facts.rows(5)
    scores = [facts.row(member).score for member in range(50)]
    lowest = sorted(score for score in scores if score is not None)[:5]
    assert [row.score for row in rows] == lowest


def test_progress_is_that_of_the_nearest_limit() -> None:
    def progress(*budget: Steps | Trials | Seconds | Target) -> tuple[float | None, str]:
        facts = facts_after(8, budget=budget, seconds=30.0)
        return facts.progress.fraction, facts.progress.text

    assert progress(Steps(50)) == (pytest.approx(0.4), "20 of 50 steps")
    assert progress(Trials(16)) == (0.5, "8 of 16 trials")
    assert progress(Seconds(120)) == (0.25, "30 of 120 s")
    assert progress(Steps(50), Seconds(40)) == (0.75, "30 of 40 s")
    assert progress(Target(1e-9)) == (None, "until the score 1e-09")
    assert progress(Target(1e-9), Trials(16)) == (0.5, "8 of 16 trials")


def test_time_left_follows_the_pace() -> None:
    left = TimeLeft()
    assert left.at(0.0, 0.0) is None
    assert left.at(0.1, 100.0) == pytest.approx(900)  # workers that compiled for a while
    assert left.at(0.1, 101.0) is None
    assert left.at(0.2, 110.0) == pytest.approx(80)
    assert left.at(0.6, 150.0) == pytest.approx(40)
    assert left.at(1.0, 190.0) == 0


def test_time_left_of_a_study_gone_on_with_counts_only_this_run() -> None:
    left = TimeLeft()
    assert left.at(0.5, 0.0) is None
    left.at(0.6, 10.0)
    assert left.at(0.7, 20.0) == pytest.approx(30)


def test_time_left_is_unknown_where_progress_is() -> None:
    assert TimeLeft().at(None, math.inf) is None
