"""The table of commands, and what becomes of errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import heredity as hd
from cli.climbing import Call
from heredity.cli import reading

READING = ("ls", "status", "best", "trials", "logs", "schedule", "export")
STEERING = ("pause", "resume", "stop", "inject", "pin", "unpin", "bounds")
FILES = ("init", "check", "schema")


def test_the_version(call: Call) -> None:
    assert call("--version").stdout.strip() == hd.__version__


def test_help_names_every_command(call: Call) -> None:
    shown = call("--help").stdout
    for command in ("demo", "run", *READING, *STEERING, *FILES, "serve", "worker", "gc", "rm"):
        assert f"\n  {command} " in shown


def test_what_nobody_foresaw_keeps_its_traceback(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(storage: str) -> list[str]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(reading, "names", broken)
    assert isinstance(call("ls", "--storage", tmp_path).exception, ZeroDivisionError)


def test_the_console_script_ends_with_the_errors_exit_code(tmp_path: Path) -> None:
    code = f"import sys; sys.argv = ['heredity', 'ls', '--storage', {str(tmp_path)!r}]\n"
    code += "from heredity.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("run", "run [OPTIONS] FILE"),
        ("status", "status [OPTIONS] [STUDY]"),
        ("logs", "logs [OPTIONS] [STUDY] TRIAL"),
        ("inject", "inject [OPTIONS] STUDY NAME=VALUE…"),
        ("bounds", "bounds [OPTIONS] STUDY HPARAM LOW HIGH"),
        ("ls", "ls [OPTIONS]"),
    ],
)
def test_usage_is_what_may_be_typed(command: str, usage: str, call: Call) -> None:
    assert call(command, "--help").stdout.splitlines()[0] == f"Usage: root {usage}"


def test_what_a_command_does_is_told_to_the_end(call: Call) -> None:
    assert "..." not in call("--help").stdout.replace("[ARGS]...", "")


def test_the_package_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "heredity", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == hd.__version__
