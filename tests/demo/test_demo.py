"""The demo, smaller: real networks in JAX on real processes, from the command to the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import heredity as hd
from heredity.cli import app as cli
from heredity.demo import BASELINE, NAME, Demo
from heredity.errors import UsageError

SMALL: dict[str, Any] = {"population": 4, "interval": 5, "intervals": 3}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's demo is a small one."""
    whole = Demo.of
    monkeypatch.setattr(Demo, "of", lambda storage, seed, **_: whole(storage, seed, **SMALL))


@pytest.mark.usefixtures("small")
def test_the_command_ends_with_a_comparison_and_what_to_type_next(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    arguments = ["demo", "--workers", "2", "--storage", str(runs)]
    ended = CliRunner().invoke(cli.app, arguments)
    assert ended.exit_code == 0, ended.output
    for name in (NAME, BASELINE):
        found = hd.open(name, runs)
        assert found.status == "ended"
        assert found.population.ended_count == 12
        assert found.best.confirmed is not None
        assert f"{found.best.score:.4g}" in ended.stdout
        assert f"{found.best.confirmed:.4g}" in ended.stdout
    assert str(hd.open(NAME, runs).schedule()).splitlines()[-1].strip() in ended.stdout
    assert f"heredity status demo --storage {runs}" in ended.stdout
    assert Demo.of(runs, 0, **SMALL).begin() is False, "one that has ended is not gone on with"
    with pytest.raises(hd.NotFound):
        hd.open(NAME, runs)


def test_what_it_trains_can_be_loaded_and_used(tmp_path: Path) -> None:
    demo = Demo.of(tmp_path, population=2, interval=60, intervals=1)
    result = demo.pbt.run(hd.Inline(), live="off")
    digits = result.best.load()
    metrics = digits.evaluate()
    assert set(metrics) == {"accuracy", "test_accuracy"}
    assert all(0 <= value <= 1 for value in metrics.values())


def test_an_interrupted_demo_is_gone_on_with(tmp_path: Path) -> None:
    demo = Demo.of(tmp_path, **SMALL)
    assert demo.begin() is False
    hparams = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4, "dropout": 0.1, "distortion": 1.0}
    demo.pbt.inject(hparams)
    assert Demo.of(tmp_path, **SMALL).begin() is True
    assert len(hd.open(NAME, tmp_path).population.injections) == 1


def test_a_demo_of_another_seed_begins_afresh(tmp_path: Path) -> None:
    demo = Demo.of(tmp_path, **SMALL)
    hparams = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4, "dropout": 0.1, "distortion": 1.0}
    demo.pbt.inject(hparams)
    assert Demo.of(tmp_path, 1, **SMALL).begin() is False
    with pytest.raises(hd.NotFound):
        hd.open(NAME, tmp_path)


def test_somebody_elses_study_of_that_name_is_left_alone(tmp_path: Path) -> None:
    def train(session: hd.Session) -> None: ...

    theirs = hd.Study(
        train,
        hd.Space(lr=hd.LogUniform(0.01, 1.0)),
        objective=hd.minimize("loss"),
        interval=10,
        budget=hd.Steps(20),
        name=NAME,
        storage=tmp_path,
    )
    theirs.inject({"lr": 0.1})
    with pytest.raises(UsageError, match="not the demo's"):
        Demo.of(tmp_path, **SMALL).begin()
    assert len(hd.open(NAME, tmp_path).population.injections) == 1
