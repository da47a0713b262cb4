"""Schedules handed on from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from cli.climbing import Call, climb, failed, parsed
from heredity.analysis.export import FORMS, exported, smoothed, table
from heredity.analysis.fit import fits
from heredity.analysis.records import read


@pytest.mark.parametrize("form", FORMS)
def test_a_schedule_is_written_in_every_form(form: str, ran: Path, call: Call) -> None:
    ended = call("export-schedule", "climb", "--as", form, "--storage", ran)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == exported(hd.open("climb", ran).schedule(), form)


def test_a_table_is_the_default(ran: Path, call: Call) -> None:
    result = hd.open("climb", ran)
    assert call("export-schedule", "--storage", ran).stdout == table(result.schedule())
    told = call("export-schedule", "--every", 7, "--storage", ran).stdout
    assert told == table(result.schedule(), 7)


def test_another_trial_smoothed_into_a_file(ran: Path, tmp_path: Path, call: Call) -> None:
    result, out = hd.open("climb", ran), tmp_path / "schedule.py"
    options = ("--trial", 8, "--smooth", 20, "--as", "torch", "--out", out, "--storage", ran)
    ended = call("export-schedule", "climb", *options)
    assert (ended.exit_code, ended.output) == (0, "")
    smooth = smoothed(result.schedule(8), read(result.population).space, 20)
    module: dict[str, Any] = {}
    exec(out.read_text(), module)
    steps = range(result.schedule(8).segments[-1].stop)
    assert [module["hparams"](step) for step in steps] == [smooth.at(step) for step in steps]


def test_export_mistakes(ran: Path, tmp_path: Path, call: Call) -> None:
    def message(*options: Any, code: int = 2) -> str:
        return failed(call("export-schedule", "--storage", ran, *options), code)

    assert "Did you mean `optax`?" in message("--as", "optx")
    assert "--as csv" in message("--as", "csv", "--every", 5)
    assert "not 0" in message("--smooth", 0)
    assert "every 0" in message("--every", 0)
    assert str(tmp_path) in message("--out", tmp_path)
    assert "no trial 999" in message("--trial", 999, code=4)


def test_shapes_are_fitted_and_ranked(ran: Path, call: Call) -> None:
    result = hd.open("climb", ran)
    ranked = fits(result.schedule(), read(result.population).space)["rate"]
    told = parsed(call("fit-schedule", "--storage", ran, "--json"))
    assert told == [
        {"hparam": "rate", "shape": fit.shape, "explained": fit.explained, "code": fit.code}
        for fit in ranked
    ]
    shown = call("fit-schedule", "--storage", ran).stdout.splitlines()
    assert shown[0].split() == ["hparam", "shape", "explains", "code"]
    assert len(shown) == len(ranked) + 1
    for line, fit in zip(shown[1:], ranked, strict=True):
        assert line.split()[:3] == ["rate", fit.shape, f"{fit.explained:.1%}"]
        assert line.endswith(fit.code)


def test_of_a_trial_as_well(ran: Path, call: Call) -> None:
    (only,) = parsed(call("fit-schedule", "--trial", 1, "--storage", ran, "--json"))
    assert (only["shape"], only["explained"], only["code"]) == ("constant", 1.0, "rate = 0.5")
    assert "no trial 999" in failed(call("fit-schedule", "--trial", 999, "--storage", ran), 4)


def test_without_numbers_there_is_nothing_to_fit(tmp_path: Path, call: Call) -> None:
    hd.Study(
        _train,
        hd.Space(shape=hd.Categorical(["round", "square"])),
        objective=hd.maximize("x"),
        population=2,
        interval=1,
        budget=hd.Steps(2),
        name="words",
        storage=tmp_path,
    ).run(hd.Inline(), live="off")
    ended = call("fit-schedule", "--storage", tmp_path)
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "none to fit" in ended.stderr
    assert json.loads(call("fit-schedule", "--storage", tmp_path, "--json").stdout) == []


def _train(session: Any) -> None:
    if session.restore:
        assert (session.restore / "x").exists()
    (session.save / "x").touch()
    session.report(x=float(len(session.hparams["shape"])))


DOCUMENT = Path(__file__).parents[2] / "docs" / "schedules.md"


def test_the_document_can_be_typed(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Its commands and its Python, in a folder where the study is."""
    climb(tmp_path / "runs", "digits").run(hd.Inline(), live="off")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w*)\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    lines = [line.partition("#")[0].split() for line in blocks[0][1].splitlines()]
    assert [call(*line[1:]).exit_code for line in lines] == [0, 0, 0]
    assert "def lr_scheduler" not in Path("schedule.py").read_text()  # it has no hparam `lr`
    (python,) = (text for language, text in blocks if language == "python")
    exec(python, {})
    assert "rate: " in capsys.readouterr().out
    assert json.loads(Path("smooth.json").read_text())[-1]["stop"] == 50
