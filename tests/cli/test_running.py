"""`heredity run`: from a file on disk to a summary, an answer to Ctrl-C, or a clear message."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

import heredity as hd
from cli.climbing import Call, failed

SCRIPT = """
import os, signal
import heredity as hd

def climb(session):
    height = float((session.restore / "height").read_text()) if session.restore else 0.0
    height += (session.stop - session.start) * session.hparams["rate"]
    print("trial", session.trial, "stands at", height)
    if os.path.exists("interrupt") and session.trial == 3:
        os.remove("interrupt")
        os.kill(os.getpid(), signal.SIGINT)
    (session.save / "height").write_text(repr(height))
    session.report(step=session.stop, height=height)

study = hd.Study(
    climb, hd.Space(rate=hd.Uniform(0.1, 1.0)), objective=hd.maximize("height"),
    population=2, interval=10, budget=hd.Steps(40), name="climb", final_evaluations=0,
)
alias = study

if __name__ == "__main__":
    study.run()
"""

FORGETFUL = """
import heredity as hd

class Climb(hd.Trainable):
    def setup(self, hparams, seed):
        self.height = 0.0
    def configure(self, hparams):
        self.rate = hparams["rate"]
    def train(self, steps):
        self.height += steps * self.rate
    def evaluate(self):
        return self.height
    def save(self, directory):
        pass
    def load(self, directory):
        pass

study = hd.Study(
    Climb, hd.Space(rate=hd.Uniform(0.1, 1.0)), objective=hd.maximize("height"),
    population=2, interval=10, budget=hd.Steps(40), name="forgetful", storage=":memory:",
)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "my script.py"
    path.write_text(SCRIPT)
    return path


def test_run_trains_reports_and_says_what_next(script: Path, call: Call) -> None:
    ended = call("run", script.name, "--inline")
    assert ended.exit_code == 0, ended.output
    best = hd.open("climb").best
    assert f"best score    {best.score:.4g}" in ended.stdout
    assert str(best.checkpoint) in ended.stdout
    assert "30–40" in ended.stdout or "0–40" in ended.stdout
    assert "heredity best climb --copy" in ended.stdout


def test_workers_run_it_and_its_output_is_in_the_logs(script: Path, call: Call) -> None:
    ended = call("run", script, "--workers", 1)
    assert ended.exit_code == 0, ended.output
    assert call("logs", 0).stdout.startswith("trial 0 stands at")
    assert "stands at" not in ended.output


def test_an_interrupted_run_says_how_to_go_on(script: Path, call: Call) -> None:
    Path("interrupt").touch()
    stopped = call("run", script.name, "--inline")
    assert stopped.exit_code == 130
    assert "to go on: heredity run 'my script.py'" in stopped.stderr
    so_far = hd.open("climb").population.ended_count
    assert 0 < so_far < 8
    assert call("run", script.name, "--inline").exit_code == 0
    assert hd.open("climb").population.ended_count == 8


def test_a_name_chooses_the_study(script: Path, call: Call) -> None:
    script.write_text(
        SCRIPT + "other = hd.Study(climb, hd.Space(rate=hd.Constant(1.0)), "
        'objective=hd.maximize("height"), interval=10, budget=hd.Steps(10), '
        'population=2, name="flat", final_evaluations=0)\n'
    )
    several = failed(call("run", script, "--inline"), 2)
    assert ":study" in several
    assert ":other" in several
    assert call("run", f"{script}:other", "--inline").exit_code == 0
    assert hd.open("flat").status == "ended"
    assert "Did you mean `other`?" in failed(call("run", f"{script}:othr", "--inline"), 4)


def test_a_file_that_is_not_there_and_one_without_a_study(tmp_path: Path, call: Call) -> None:
    assert "no file" in failed(call("run", tmp_path / "nothing.py"), 4)
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    assert "defines no study" in failed(call("run", empty), 4)


def test_an_error_in_the_file_is_shown_where_it_is(tmp_path: Path, call: Call) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def helper():\n    return missing\nhelper()\n")
    message = failed(call("run", broken), 2)
    assert "NameError: name 'missing' is not defined" in message.splitlines()[0]
    assert f'File "{broken}", line 2, in helper' in message
    assert "importlib" not in message


def test_a_mistake_in_the_definition_names_the_line(tmp_path: Path, call: Call) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import heredity as hd\n\nspace = hd.Space(lr=hd.LogUniform(0, 1))\n")
    message = failed(call("run", wrong), 2)
    assert "above 0" in message
    assert "line 3" in message


def test_a_bug_in_the_training_shows_the_users_frames(script: Path, call: Call) -> None:
    script.write_text(SCRIPT.replace("    height +=", "    height += nonsense +"))
    ended = call("run", script, "--inline")
    assert ended.exit_code == 7
    assert "NameError: name 'nonsense' is not defined" in ended.stderr
    assert f'File "{script}"' in ended.stderr
    assert "heredity/executors" not in ended.stderr


def test_check_tries_the_training_and_leaves_nothing(script: Path, call: Call) -> None:
    ended = call("run", script, "--check")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.strip()
    assert not Path("runs").exists()


def test_check_fails_for_a_save_that_forgets(tmp_path: Path, call: Call) -> None:
    forgetful = tmp_path / "forgetful.py"
    forgetful.write_text(FORGETFUL)
    ended = call("run", forgetful, "--check")
    assert ended.exit_code == 1, ended.output
    assert "✗" in ended.stdout


def test_the_script_sees_its_own_arguments(tmp_path: Path, call: Call) -> None:
    script = tmp_path / "args.py"
    script.write_text(
        dedent("""
        import sys
        assert sys.argv == [__file__], sys.argv
        assert __name__ != "__main__"
    """)
    )
    assert "defines no study" in failed(call("run", script), 4)


def test_no_path_is_shown_that_is_gone_when_the_command_ends(tmp_path: Path, call: Call) -> None:
    script = tmp_path / "passing.py"
    script.write_text(SCRIPT.replace('name="climb"', 'name="climb", storage=":memory:"'))
    ended = call("run", script, "--inline")
    assert ended.exit_code == 0, ended.output
    assert "gone with this command" in ended.stdout
    assert "heredity-" not in ended.stdout, "no folder of the system's"
