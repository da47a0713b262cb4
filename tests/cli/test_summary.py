"""The lines that end a run say what was measured, and nothing that was not."""

from __future__ import annotations

from pathlib import Path

import heredity as hd
from heredity.cli.summary import confirmed, held_out, model_lines
from heredity.evolution import events as ev
from toys import NAME, run, toy_study


def test_a_confirmed_score_says_what_it_is_the_mean_of() -> None:
    result = run(toy_study())
    assert confirmed(result).endswith("(mean of 2 fresh evaluations, each ± 0)")


def test_before_the_end_it_is_to_come(tmp_path: Path) -> None:
    said = []

    def look(event: object) -> None:
        if isinstance(event, ev.TrialFinished):
            said.append(confirmed(hd.open(NAME, tmp_path)))

    run(toy_study(tmp_path, budget=hd.Trials(3)), on_event=look)
    assert said[:3] == ["not yet: finalists are measured again at the end"] * 3
    assert "mean of" in said[-1]


def test_a_study_that_ended_without_is_promised_nothing() -> None:
    result = run(toy_study(final_evaluations=0))
    assert confirmed(result) == "no: nothing was measured again"
    assert any(line.startswith("confirmed") for line in model_lines(result))


def test_metrics_that_select_nothing_are_shown_beside() -> None:
    assert held_out(run(toy_study())) == {}
