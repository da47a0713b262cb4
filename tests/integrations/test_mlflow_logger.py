"""MLflow, read back through its client from a real database."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from told import Descent, ended, exploited, killed, made, numbers, run, study

import heredity as hd
from heredity.evolution import events as ev
from heredity.integrations.mlflow import Logger

pytest.importorskip("mlflow")
pytest.importorskip("alembic")  # of MLflow's databases

# Said by MLflow's own tables.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def place(empty: Path, tmp_path: Path) -> Path:
    """A folder with a database of its own."""
    shutil.copy(empty, tmp_path)
    return tmp_path


class Read:
    """The runs of an experiment."""

    def __init__(self, place: Path, experiment: str = "descent") -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
        known = self._client.get_experiment_by_name(experiment)
        self.runs = {
            run.info.run_name: run for run in self._client.search_runs([known.experiment_id])
        }

    def values(self, run: str, name: str) -> list[tuple[int, float]]:
        history = self._client.get_metric_history(self.runs[run].info.run_id, name)
        return [(metric.step, metric.value) for metric in history]


def assert_told(place: Path, result: hd.Result) -> None:
    """One run a member with its trials, all of them, once, in order."""
    read = Read(place)
    assert set(read.runs) == {"descent", *(f"member-{m}" for m in range(4))}
    for member, trials in ended(result).items():
        rows = [numbers(result, trial) for trial in trials]
        for name in rows[0]:
            want = [(t.reached, row[name]) for t, row in zip(trials, rows, strict=True)]
            assert read.values(f"member-{member}", name.replace("@", "_")) == want


def test_each_member_is_one_run_with_all_its_values(place: Path) -> None:
    mine = study()
    result = run(mine, made("mlflow", mine, place))
    assert_told(place, result)


def test_members_are_children_of_the_study(place: Path) -> None:
    mine = study()
    result = run(mine, made("mlflow", mine, place))
    runs = Read(place).runs
    parent = runs.pop("descent")
    assert {r.data.tags["mlflow.parentRunId"] for r in runs.values()} == {parent.info.run_id}
    assert {r.info.status for r in [parent, *runs.values()]} == {"FINISHED"}
    assert parent.data.tags["status"] == f"ended: {result.reason}"
    assert parent.data.tags["space.lr"] == "LogUniform(0.0001, 0.1)"
    assert parent.data.metrics["best/confirmed"] == result.best.confirmed


def test_exploits_and_choices_are_tags(place: Path) -> None:
    mine = study()
    result = run(mine, made("mlflow", mine, place))
    runs = Read(place).runs
    for member, trials in ended(result).items():
        tags = runs[f"member-{member}"].data.tags
        assert tags["hparams.mode"] == trials[-1].hparams["mode"]
        notes = {name: note for name, note in tags.items() if name.startswith("exploit.")}
        want = {f"exploit.{t.id}": t for t in exploited(result) if t.member == member}
        assert notes.keys() == want.keys()
        for name, trial in want.items():
            assert f"trial {trial.weights_from} of member " in notes[name]
    assert exploited(result)


def test_a_killed_study_goes_on_in_the_same_runs(place: Path) -> None:
    killed("mlflow", place, after=10)
    mine = study(place / "runs")
    result = run(mine, made("mlflow", mine, place))
    assert_told(place, result)


def test_a_larger_budget_goes_on_in_finished_runs(place: Path) -> None:
    for steps in (10, 20):
        mine = study(place / "runs", budget=hd.Steps(steps))
        result = run(mine, made("mlflow", mine, place))
    assert_told(place, result)


class Talkative(Descent):
    """Has so many metrics that six trials are more than MLflow takes at once."""

    def evaluate(self) -> Any:
        return {**super().evaluate(), **{f"m{number}": float(number) for number in range(200)}}


def test_more_than_one_request_takes(place: Path) -> None:
    mine = study(trainable=Talkative, population=2, finalists=0)
    result = run(mine)
    made("mlflow", mine, place).backfill()
    assert Read(place).values("member-0", "metrics/m199") == [
        (trial.reached, 199.0) for trial in ended(result)[0]
    ]


def test_a_run_that_goes_on_is_running(place: Path) -> None:
    mine = study(place / "runs", budget=hd.Steps(10))
    run(mine, made("mlflow", mine, place))
    again = study(place / "runs")
    with pytest.raises(InterruptedError):
        run(again, interrupted)
    made("mlflow", again, place).backfill()
    runs = Read(place).runs
    assert {run.info.status for run in runs.values()} == {"RUNNING"}


def interrupted(event: ev.Event) -> None:
    if isinstance(event, ev.TrialFinished):
        raise InterruptedError


def test_two_studies_share_an_experiment(place: Path) -> None:
    uri = f"sqlite:///{place / 'mlflow.db'}"
    for name in ("first", "second"):
        mine = study(name=name, budget=hd.Steps(5))
        run(mine, Logger(mine, experiment="both", tracking_uri=uri))
    read: Any = Read(place, "both")
    assert {"first", "second"} <= set(read.runs)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    known = client.get_experiment_by_name("both")
    assert len(client.search_runs([known.experiment_id])) == 2 * 5
