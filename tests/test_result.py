"""What a study found, with and without its code, while it runs and after."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

import heredity as hd
from heredity.evolution import events as ev
from toys import NAME, Toy, run, toy_study, trained


@pytest.fixture(scope="module")
def result() -> hd.Result:
    return run(toy_study())


# The best ----------------------------------------------------------------------------------


def test_the_best_is_the_best_and_says_so(result: hd.Result) -> None:
    finalists = result.population.confirmed
    best = result.best
    assert best.trial.id in finalists
    assert best.confirmed == min(c.score for c in finalists.values())
    assert best.confirmation is not None
    assert best.confirmation.evaluations == 2
    assert best.score == best.trial.score == best.metrics["loss"]
    assert best.hparams == best.trial.hparams


def test_before_the_finals_it_is_the_one_with_the_best_score() -> None:
    result = run(toy_study(final_evaluations=0))
    assert result.best.confirmed is None
    assert result.best.score == min(t.score for t in trained(result) if t.score is not None)


def test_equal_scores_are_won_by_the_earlier_trial() -> None:
    class Same(Toy):
        def evaluate(self) -> float:
            return 1.0

    assert run(toy_study(trainable=Same)).best.trial.id == 0


def test_a_score_that_was_averaged_over_the_lineage_decides() -> None:
    """A single lucky trial does not win where the mean of three decides."""

    class Lucky(Toy):
        def evaluate(self) -> float:
            return 0.0 if self.session.trial == 4 else self.x**2 + 1

    result = run(
        toy_study(trainable=Lucky, algorithm=hd.PBT(average=3, exploit=None), final_evaluations=0)
    )
    assert min(t.score for t in trained(result) if t.score is not None) == 0.0
    means = result.population.means[: len(result.population)][:, 0]
    assert result.best.trial.id == int(means.argmax())


def test_its_weights_are_loaded_and_ready(result: hd.Result) -> None:
    loaded = result.best.load()
    assert isinstance(loaded, Toy)
    assert loaded.evaluate() == result.best.score
    saved = json.loads((result.best.checkpoint / "x.json").read_text())
    assert saved == loaded.x
    with result.best.opened() as folder:
        assert folder == result.best.checkpoint


def test_a_released_checkpoint_says_how_to_keep_more(result: hd.Result) -> None:
    with pytest.raises(hd.CheckpointError, match="keep='lineage'"):
        result.model(0).load()


def test_results_outlive_the_study_that_made_them_in_memory() -> None:
    assert run(toy_study()).best.load().evaluate() > 0


def test_a_trial_without_a_score_says_why() -> None:
    class Diverging(Toy):
        def evaluate(self) -> float:
            return float("nan") if self.session.trial == 1 else self.x**2

    with pytest.raises(hd.NotFound, match="trial 1 has no score: it is diverged"):
        _ = run(toy_study(trainable=Diverging)).model(1).score


def test_there_is_no_best_before_the_first_score() -> None:
    study = toy_study()
    study._workshop.begin()
    with pytest.raises(hd.NotFound, match="no score yet"):
        _ = study.result.best
    with pytest.raises(hd.NotFound, match="trial 3"):
        study.result.model(3)


# All trials --------------------------------------------------------------------------------


def test_trials_and_frame_hold_the_same(result: hd.Result) -> None:
    frame = result.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(result.trials) == 24 + 2
    assert list(frame["id"]) == list(range(26))
    for row, trial in zip(frame.to_dict("records"), result.trials, strict=True):
        assert row["hparams.lr"] == trial.hparams["lr"]
        assert row["metrics.loss"] == trial.metrics["loss"]
        assert (row["member"], row["score"], row["reason"]) == (
            trial.member,
            trial.score,
            trial.reason,
        )


def test_a_frame_without_pandas_says_what_to_install(
    result: hd.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(hd.MissingExtra, match="pip install"):
        result.frame()


def test_its_events_are_those_of_the_log(tmp_path: Path) -> None:
    told: list[ev.Event] = []
    result = run(toy_study(tmp_path), on_event=told.append)
    assert list(result.events) == told == list(hd.open(NAME, tmp_path).events)
    assert isinstance(result.events[0], ev.StudyCreated)


def test_a_result_shows_itself(result: hd.Result) -> None:
    assert repr(result) == "<Result of 'toy': ended, 24 trials ended>"
    assert (result.name, result.status) == (NAME, "ended")
    assert result.reason == "every member has trained 30 steps"


# Reading -----------------------------------------------------------------------------------

READ = """
import json, sys
import heredity as hd
result = hd.open(sys.argv[1], storage=sys.argv[2])
best = result.best
x = json.loads((best.checkpoint / "x.json").read_text())
print(json.dumps([result.status, len(result.trials), best.score, x * x]))
"""


def read(storage: Path) -> tuple[str, int, float, float]:
    """What another process, without the study's code, reads."""
    done = subprocess.run(
        [sys.executable, "-c", READ, NAME, str(storage)], capture_output=True, text=True, check=True
    )
    status, trials, score, recomputed = json.loads(done.stdout)
    return status, trials, score, recomputed


def test_another_process_reads_the_best_at_any_moment(tmp_path: Path) -> None:
    seen = []

    def look(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.trial in (0, 13):
            status, trials, score, recomputed = read(tmp_path)
            assert score == recomputed
            seen.append((status, trials))

    result = run(toy_study(tmp_path), on_event=look)
    assert seen == [("running", 1), ("running", 14)]
    assert read(tmp_path) == ("ended", 26, result.best.score, result.best.score)


def test_an_opened_result_reads_on_when_asked(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    study._workshop.begin()
    opened = hd.open(NAME, tmp_path)
    run(study)
    assert opened.trials == []
    assert len(opened.refresh().trials) == 26
    assert opened.best.trial == study.result.best.trial
    opened.close()


def test_without_its_code_a_model_is_files(tmp_path: Path) -> None:
    run(toy_study(tmp_path))
    opened = hd.open(NAME, tmp_path)
    assert (opened.best.checkpoint / "x.json").is_file()
    with pytest.raises(hd.UsageError, match="the study's code is not at hand"):
        opened.best.load()


def test_opening_changes_nothing(tmp_path: Path) -> None:
    run(toy_study(tmp_path))
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file())
    opened = hd.open(NAME, tmp_path)
    assert opened.best.score > 0
    with pytest.raises(hd.UsageError, match="read only"):
        opened._log.append([ev.BoundsChanged("lr", 1e-4, 0.1)])
    opened.close()
    after = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file())
    assert [p for p in after if p[0].suffix == ".json"] == [
        p for p in before if p[0].suffix == ".json"
    ]


def test_what_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    run(toy_study(tmp_path))
    with pytest.raises(hd.NotFound, match="Did you mean `toy`"):
        hd.open("tpy", tmp_path)
    with pytest.raises(hd.NotFound, match="no studies in"):
        hd.open(NAME, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
