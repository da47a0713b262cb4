"""The demo, smaller: real networks in one program or on real processes, from the command to the
comparison."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
from typer.testing import CliRunner

import heredity as hd
from heredity.cli import app as cli
from heredity.demo import Demo, Kind
from heredity.demo.digits import evaluate
from heredity.errors import UsageError

SMALL = Kind("demo", population=4, interval=5, intervals=3)
IN_PROCESSES = Kind("demo-processes", population=2, interval=5, intervals=2)
HPARAMS = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4, "dropout": 0.1, "distortion": 1.0}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's demos are small ones."""
    monkeypatch.setattr("heredity.demo.ONE_PROGRAM", SMALL)
    monkeypatch.setattr("heredity.demo.PROCESSES", IN_PROCESSES)


@pytest.mark.parametrize(
    ("kind", "options"), [(SMALL, []), (IN_PROCESSES, ["--processes", "--workers", "1"])]
)
def test_the_command_ends_with_a_comparison_and_what_to_type_next(
    kind: Kind, options: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    ended = CliRunner().invoke(cli.app, ["demo", *options, "--storage", str(runs)])
    assert ended.exit_code == 0, ended.output
    for name in (kind.name, f"{kind.name}-random"):
        found = hd.open(name, runs)
        assert found.status == "ended"
        assert found.population.ended_count == kind.population * kind.intervals
        assert found.population.vectorized == (kind is SMALL), "each on its executor"
        assert found.best.confirmed is not None
        assert f"{found.best.score:.4g}" in ended.stdout
        assert f"{found.best.confirmed:.4g}" in ended.stdout
    schedule = hd.open(kind.name, runs).schedule()
    assert str(schedule).splitlines()[-1].strip() in ended.stdout
    assert f"heredity status {kind.name} --storage {runs}" in ended.stdout
    assert Demo.of(runs, 0, kind).begin() is False, "one that has ended is not gone on with"
    with pytest.raises(hd.NotFound):
        hd.open(kind.name, runs)


def test_what_it_trains_can_be_loaded_and_used(tmp_path: Path) -> None:
    demo = Demo.of(tmp_path, kind=Kind("demo", population=2, interval=60, intervals=1))
    result = demo.pbt.run(live="off")
    found = demo.pbt.result.best
    assert found.trial == result.best.trial
    metrics = evaluate(found.load(), found.hparams, jax.random.key(0))
    assert set(metrics) == {"accuracy", "test_accuracy"}
    assert all(0 <= value <= 1 for value in metrics.values())


def test_an_interrupted_demo_is_gone_on_with(tmp_path: Path) -> None:
    demo = Demo.of(tmp_path, kind=SMALL)
    assert demo.begin() is False
    demo.pbt.inject(HPARAMS)
    assert Demo.of(tmp_path, kind=SMALL).begin() is True
    assert len(hd.open(SMALL.name, tmp_path).population.injections) == 1


def test_a_demo_of_another_seed_begins_afresh(tmp_path: Path) -> None:
    Demo.of(tmp_path, kind=SMALL).pbt.inject(HPARAMS)
    assert Demo.of(tmp_path, 1, SMALL).begin() is False
    with pytest.raises(hd.NotFound):
        hd.open(SMALL.name, tmp_path)


def test_one_kind_of_demo_leaves_the_other_alone(tmp_path: Path) -> None:
    Demo.of(tmp_path, kind=SMALL).pbt.inject(HPARAMS)
    assert Demo.of(tmp_path, 1, IN_PROCESSES).begin() is False
    assert Demo.of(tmp_path, kind=SMALL).begin() is True


def test_workers_are_for_processes(tmp_path: Path) -> None:
    ended = CliRunner().invoke(cli.app, ["demo", "--workers", "2", "--storage", str(tmp_path)])
    assert ended.exit_code == UsageError.exit_code
    assert "--processes" in ended.stderr


def test_somebody_elses_study_of_that_name_is_left_alone(tmp_path: Path) -> None:
    def train(session: hd.Session) -> None: ...

    theirs = hd.Study(
        train,
        hd.Space(lr=hd.LogUniform(0.01, 1.0)),
        objective=hd.minimize("loss"),
        interval=10,
        budget=hd.Steps(20),
        name=SMALL.name,
        storage=tmp_path,
    )
    theirs.inject({"lr": 0.1})
    with pytest.raises(UsageError, match="not the demo's"):
        Demo.of(tmp_path, kind=SMALL).begin()
    assert len(hd.open(SMALL.name, tmp_path).population.injections) == 1
