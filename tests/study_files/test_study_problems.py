"""Mistakes in a file's shape: what is said, and of which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from study_files.written import GOOD, SMALL, refused

MISTAKES = {
    "a missing key": ("interval = 50\n", "", "line 1: a study file needs `interval`"),
    "a missing field": ("low = 1e-4, ", "", "line 12: space.lr needs `low`"),
    "an unknown key": (
        "population = 6",
        "populatoin = 6",
        "line 4: a study file takes no `populatoin`. Did you mean `population`?",
    ),
    "an unknown field": (
        "low = 1e-4",
        "low = 1e-4, lwo = 1",
        "line 12: space.lr takes no `lwo`. Did you mean `low`?",
    ),
    "an unknown field in a table of its own": (
        'mode = "sync"',
        'made = "sync"',
        "line 31: algorithm takes no `made`. Did you mean `mode`?",
    ),
    "an unknown limit": (
        "seconds = 60.5",
        "secs = 60.5",
        "line 25: budget takes no `secs`. Did you mean `seconds`?",
    ),
    "an unknown key of a command": (
        "metrics.accuracy",
        "metric.accuracy",
        "line 39: command takes no `metric`. Did you mean `metrics`?",
    ),
    "a key of the study in a table": (
        "[space.batch]\n",
        'keep = "all"\n[space.batch]\n',
        "line 15: space.keep is a table such as "
        '{ type = "Uniform", low = …, high = … }, not "all". '
        "If `keep` is meant for the study, put it above the first [table].",
    ),
    "a key of the study in another table": (
        "seconds = 60.5",
        "keep = 3",
        "line 25: budget takes no `keep`. If `keep` is meant for the study, put it above the first "
        "[table].",
    ),
    "an unknown hparam type": (
        '"LogUniform"',
        '"LogUnifrom"',
        'line 12: unknown hparam type "LogUnifrom". Did you mean `LogUniform`?',
    ),
    "an unknown move": (
        '"Keep"',
        '"Kept"',
        'line 13: unknown move type "Kept". Did you mean `Keep`?',
    ),
    "an unknown algorithm": (
        '"PBT"',
        '"pbt"',
        'line 28: unknown algorithm type "pbt". Known: PBT, Generational, RandomSearch, Stopping.',
    ),
    "a type that is no name": (
        '"PBT"',
        "[1]",
        "line 28: unknown algorithm type [1]. Known: PBT, Generational, RandomSearch, Stopping.",
    ),
    "no type": (
        'type = "PBT"\n',
        "",
        "line 27: algorithm needs a type: PBT, Generational, RandomSearch, Stopping",
    ),
    "a name in place of a table": (
        '{ type = "Keep" }',
        '"Keep"',
        'line 13: space.width.move is a table such as { type = "Keep" }, not "Keep".',
    ),
    "something else in place of a table": (
        '"none"',
        '"None"',
        'line 30: algorithm.explore is a table such as { type = "Perturb" } or "none", not "None".',
    ),
    "a table in place of a value": (
        "interval = 50",
        "interval = { steps = 50 }",
        'line 5: interval should be a valid integer, not {"steps": 50}.',
    ),
    "a value in place of a table": (
        SMALL[SMALL.index("[space]") : SMALL.index("[budget]")],
        "space = 3\n",
        "line 4: space should be a valid table, not 3.",
    ),
    "text in place of a number": (
        "high = 1.0",
        'high = "1.0"',
        'line 12: space.lr.high should be a valid number, not "1.0".',
    ),
    "truth in place of a number": (
        "workers = 2",
        "workers = true",
        "line 35: executor.workers should be a valid integer, not true.",
    ),
    "text in place of a limit": (
        "seconds = 60.5",
        'seconds = "60.5"',
        'line 25: budget.seconds should be a valid number, not "60.5".',
    ),
    "a number in place of hparams": (
        "{ lr = 0.1 }",
        "0.1",
        "line 9: initial[0] should be a valid table, not 0.1.",
    ),
    "too many items": (
        "bounds = [1e-6, 1.0]",
        "bounds = [1e-6, 1.0, 2.0]",
        "line 12: space.lr.bounds should have at most 2 items, not [1e-06, 1.0, 2.0].",
    ),
    "an item of a wrong type": (
        "32,",
        "[32],",
        "line 17: space.batch.choices[0] should be a valid boolean or a valid integer or a valid "
        "number or a valid string, not [32].",
    ),
    "a date": (
        "32,",
        "2026-01-01,",
        "line 17: space.batch.choices[0] should be a valid boolean or a valid integer or a valid "
        'number or a valid string, not "2026-01-01".',
    ),
    "a number that is none": (
        "high = 1.0",
        "high = nan",
        "line 12: space.lr.high should be a finite number, not NaN.",
    ),
    "a number out of its range": (
        "population = 6",
        "population = 0",
        "line 4: population should be greater than or equal to 1, not 0.",
    ),
    "an unknown choice": (
        'mode = "sync"',
        'mode = "sinc"',
        'line 31: algorithm.mode should be "async" or "sync", not "sinc". Did you mean `sync`?',
    ),
    "a direction that is none": (
        "maximize accuracy",
        "maximise accuracy",
        'line 3: objective is "maximize METRIC" or "minimize METRIC", not "maximise accuracy"',
    ),
    "no metric": (
        '"maximize accuracy"',
        '["maximize accuracy", "minimize"]',
        'line 3: objective[1] is "maximize METRIC" or "minimize METRIC", not "minimize"',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    before, after, expected = MISTAKES[name]
    text = GOOD if before in GOOD else SMALL
    assert before in text
    assert refused(tmp_path, text.replace(before, after)) == expected


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = GOOD
    for before, after in [
        ("digits", "two words"),  # the study's own check
        ("population = 6", "populatoin = 6"),
        ('"LogUniform"', '"LogUnifrom"'),
        ("high = 4", "high = 0"),  # the class's own check
        ('"none"', '"None"'),
        ("fraction = 0.25", "fraction = 2.0"),
        ("workers = 2", "workers = 0"),
        ("[0-9.]+)", "[0-9.]+"),
    ]:
        text = text.replace(before, after)
    lines = [line.partition(":")[0] for line in refused(tmp_path, text).splitlines()]
    assert lines == [f"line {n}" for n in (2, 4, 12, 13, 29, 30, 35, 39)]


def test_long_values_are_cut(tmp_path: Path) -> None:
    said = refused(tmp_path, GOOD.replace("interval = 50", f'interval = "{"long " * 100}"'))
    assert len(said) < 200


def test_a_reference_to_a_trainable_has_two_parts(tmp_path: Path) -> None:
    text = 'trainable = "train.py"\n' + SMALL[: SMALL.index("[command]")]
    assert refused(tmp_path, text) == 'line 1: trainable is "module:Class", not "train.py"'
