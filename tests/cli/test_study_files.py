"""From `heredity init` to a study that ran: the commands about study files, for real."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

import heredity as hd
from cli.climbing import Call, failed, parsed
from heredity.study_files.shape import schema

CLIMB = """
name = "climb"
objective = "maximize height"
population = 2
interval = 10
trainable = "climb_beside:climb"
[space]
rate = { type = "Uniform", low = 0.1, high = 1.0 }
[budget]
steps = 40
[executor]
type = "Inline"
"""

CLIMB_PY = """
import os
def climb(session):
    height = float((session.restore / "height").read_text()) if session.restore else 0.0
    height += (session.stop - session.start) * session.hparams["rate"]
    (session.save / "height").write_text(repr(height))
    (session.save / "process").write_text(str(os.getpid()))
    session.report(step=session.stop, height=height)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "climb_beside", raising=False)
    return tmp_path


@pytest.fixture
def climb(folder: Path) -> Path:
    """A study file with a Python trainable, in a folder of its own."""
    home = folder / "my study"
    home.mkdir()
    (home / "climb_beside.py").write_text(CLIMB_PY)
    (home / "climb.toml").write_text(CLIMB)
    return home / "climb.toml"


def test_what_init_writes_runs_as_it_is(folder: Path, call: Call) -> None:
    written = call("init")
    assert written.exit_code == 0, written.output
    assert "heredity run study.toml" in written.stderr
    ended = call("run", "study.toml")
    assert ended.exit_code == 0, ended.output
    assert "heredity best example --copy" in ended.stdout
    result = hd.open("example")
    assert result.status == "ended"
    assert result.population.ended_count == 80
    assert result.best.score < 1.0
    assert call("run", "study.toml").exit_code == 0
    assert hd.open("example").population.ended_count == 80


def test_init_overwrites_nothing(folder: Path, call: Call) -> None:
    Path("mine.toml").write_text("mine")
    assert "is there already" in failed(call("init", "mine.toml"), 2)
    assert Path("mine.toml").read_text() == "mine"
    assert "cannot be written" in failed(call("init", "no/such/folder.toml"), 2)


def test_the_schema_is_that_of_what_init_writes(folder: Path, call: Call) -> None:
    """Also of what it holds commented out, save for the other command."""
    printed = parsed(call("schema"))
    assert printed == json.loads(json.dumps(schema()))
    assert call("init").exit_code == 0
    text = Path("study.toml").read_text()
    jsonschema_rs.validate(printed, tomllib.loads(text))
    option = r"^# (?!command|metrics)(?=\[|\w+ += )"
    assert len(re.findall(option, text, re.MULTILINE)) >= 12
    jsonschema_rs.validate(printed, tomllib.loads(re.sub(option, "", text, flags=re.MULTILINE)))
    assert re.search(r"^#:schema study\.schema\.json$", text, re.MULTILINE)


def test_run_follows_the_file_unless_told_otherwise(climb: Path, call: Call) -> None:
    """Relative to the file are its storage and its module; the trials ran in this process."""
    ended = call("run", climb)
    assert ended.exit_code == 0, ended.output
    result = hd.open("climb", climb.parent / "runs")
    assert (result.best.checkpoint / "process").read_text() == str(os.getpid())
    assert "--storage" in ended.stdout
    climb.write_text(CLIMB.replace('"climb"', '"again"'))
    assert call("run", climb, "--workers", 1).exit_code == 0
    result = hd.open("again", climb.parent / "runs")
    assert (result.best.checkpoint / "process").read_text() != str(os.getpid())


def test_the_same_file_goes_on_with_a_larger_budget(climb: Path, call: Call) -> None:
    assert call("run", climb).exit_code == 0
    climb.write_text(CLIMB.replace("steps = 40", "steps = 60"))
    assert call("run", climb).exit_code == 0
    assert hd.open("climb", climb.parent / "runs").population.spent.tolist() == [60, 60]


def test_check_says_what_a_study_would_do_and_leaves_nothing(folder: Path, call: Call) -> None:
    assert call("init").exit_code == 0
    ended = call("check", "study.toml", "--workers", 3)
    assert ended.exit_code == 0, ended.output
    told = dict(re.findall(r"^(\w+(?: \w+)?)  +(.*)$", ended.stdout, re.MULTILINE))
    assert ended.stdout.startswith("study example: minimize loss\n")
    assert told["members"] == "8, in trials of 10 steps, 3 at once"
    assert told["trials"] == "80"
    assert re.fullmatch(r"about \d+, .*", told["exploits"])
    assert str(folder / "runs" / "example") in told["checkpoints"]
    assert re.fullmatch(r"lr=[\d.e-]+", told["first trial"])
    assert "'<save>'" in ended.stdout
    assert [path.name for path in folder.iterdir()] == ["study.toml"]


def test_check_reads_python_files_too(folder: Path, call: Call) -> None:
    Path("study.py").write_text(
        "import heredity as hd\n"
        "study = hd.Study(lambda session: None, hd.Space(lr=hd.Uniform(0, 1)), name='x',\n"
        "                 objective=hd.minimize('loss'), interval=1, budget=hd.Target(0.5))\n"
    )
    ended = call("check", "study.py")
    assert ended.exit_code == 0, ended.output
    assert "until the budget is used" in ended.stdout
    assert re.search(r"exploits +in about \d+% of trials", ended.stdout)


def test_check_can_try_the_training(climb: Path, call: Call) -> None:
    ended = call("check", climb, "--try")
    assert ended.exit_code == 0, ended.output
    assert "trials" in ended.stdout
    assert "checkpoint" in ended.stdout
    climb.with_name("climb_beside.py").write_text("def climb(session): raise ValueError('a bug')\n")
    code = "import sys; sys.argv[1:] = ['check', 'climb.toml', '--try']\n"
    code += "from heredity.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=climb.parent
    )
    assert done.returncode == 7
    assert "ValueError: a bug" in done.stderr
    assert not (climb.parent / "runs").exists()


@pytest.mark.parametrize("command", ["run", "check"])
def test_mistakes_are_told_with_their_lines(command: str, climb: Path, call: Call) -> None:
    climb.write_text(CLIMB.replace('"Uniform"', '"Unifrom"').replace("interval", "intervall"))
    lines = failed(call(command, climb), 2).splitlines()
    assert f"{climb}, line 5: a study file takes no `intervall`. Did you mean `interval`?" in lines
    assert f'{climb}, line 8: unknown hparam type "Unifrom". Did you mean `Uniform`?' in lines
    assert "there is no file" in failed(call(command, climb.with_name("no.toml")), 4)
    assert not (climb.parent / "runs").exists()


def test_a_vector_trainable_runs_as_one_program(folder: Path, call: Call) -> None:
    """Where neither the options nor the file say otherwise, each kind runs as it runs best."""
    Path("descent_beside.py").write_text(
        "import jax.numpy as jnp\n"
        "from heredity.jax import VectorTrainable\n"
        "descent = VectorTrainable(\n"
        "    init=lambda key, hparams: jnp.zeros(()),\n"
        "    step=lambda state, hparams, batch, key: (state + hparams['rate'], {}),\n"
        "    evaluate=lambda state, hparams, key: state,\n"
        ")\n"
    )
    text = CLIMB.replace("climb_beside:climb", "descent_beside:descent")
    Path("study.toml").write_text(text[: text.index("[executor]")])
    assert "all members in one file" in call("check", "study.toml").stdout
    ended = call("run", "study.toml")
    assert ended.exit_code == 0, ended.output
    trial = hd.open("climb").best.trial
    assert trial.checkpoint is not None
    assert trial.checkpoint.row is not None  # a row of a block: all members in one program
