"""The examples of commands: a script that knows nothing of heredity, and trials in the shell."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import heredity as hd
from heredity.testing.paths import weird_folder

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: Path, folder: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_script_is_trained_by_its_flags_and_what_it_prints(tmp_path: Path) -> None:
    printed = run(EXAMPLES / "command_digits" / "study.py", tmp_path)
    found = re.search(r"validation accuracy ([\d.]+), held-out ([\d.]+)", printed)
    assert found, printed
    assert min(map(float, found.groups())) > 0.9
    best = hd.open("command-digits", storage=tmp_path / "runs").best
    log = (tmp_path / "runs" / "command-digits" / "logs" / f"{best.trial.id}.log").read_text()
    assert f"epoch {best.trial.stop} val accuracy {best.score:.4f}" in log
    assert f"--lr {best.hparams['lr']}" in log


def test_the_best_of_it_can_be_gone_on_with_by_hand(tmp_path: Path) -> None:
    script = EXAMPLES / "command_digits" / "train.py"
    run(script, tmp_path, "--epochs", "1")
    assert "epoch 2" in run(script, tmp_path, "--epochs", "2", "--resume", "last.npz")


def test_the_script_knows_nothing_of_heredity() -> None:
    tree = ast.parse((EXAMPLES / "command_digits" / "train.py").read_text())
    names = [node.name for n in ast.walk(tree) if isinstance(n, ast.Import) for node in n.names]
    names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert sorted(names) == ["argparse", "importlib.util", "numpy", "pathlib"]


def test_trials_in_the_shell_come_where_the_figure_does(tmp_path: Path) -> None:
    folder = weird_folder(tmp_path)
    shutil.copytree(EXAMPLES / "command_shell", folder / "example")
    printed = run(folder / "example" / "study.py", folder)
    scores = dict(re.findall(r"(shell-\w+): best q = ([\d.]+)", printed))
    assert float(scores["shell-alone"]) == pytest.approx(0.39, abs=0.001)
    assert float(scores["shell-pbt"]) > 1.15
    best = hd.open("shell-pbt", storage=folder / "runs").best
    theta = [float(word) for word in (best.checkpoint / "theta").read_text().split()]
    assert 1.2 - sum(t * t for t in theta) == pytest.approx(best.score, abs=1e-12)


def test_the_code_of_the_document_runs(tmp_path: Path) -> None:
    """Its blocks, one after the other: later ones use what earlier ones made."""
    document = (EXAMPLES.parent / "docs" / "any-program.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL)
    (tmp_path / "document.py").write_text(
        "\n".join(blocks) + "\nfor command in (words, shell, reads, in_place, measured):"
        "\n    command.check(['lr'])\n"
    )
    printed = run(tmp_path / "document.py", tmp_path)
    assert printed == "awk -v lr=0.1 -v 'out=<save>/x' '{ print $1 * (1 - lr) > out }' first.txt\n"
