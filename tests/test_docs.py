"""What the documents say is so: the Python of the README runs, every docstring example holds."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import heredity

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def modules() -> list[str]:
    """Every module of the package, those that need an extra too: the tests install all of them."""
    found = pkgutil.walk_packages(heredity.__path__, "heredity.")
    return ["heredity", *sorted(module.name for module in found if "__main__" not in module.name)]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize(("block", "hparam"), [(0, "batch_size"), (3, "b1")], ids=["torch", "jax"])
def test_the_readmes_models_train(block: int, hparam: str, tmp_path: Path) -> None:
    """The thirty lines, as a newcomer saves and runs them."""
    script = tmp_path / "digits.py"
    script.write_text(BLOCKS[block])
    run = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    accuracy = float(run.stdout.split()[0])
    assert accuracy > 0.85
    assert hparam in run.stdout


def test_the_readmes_function_trains(tmp_path: Path) -> None:
    """The sketch of a function, with the four functions that it leaves to the reader."""
    (tmp_path / "sketch.py").write_text(
        f"""
import json
import heredity as hd

def load(folder): return json.loads((folder / "x.json").read_text())
def build(seed): return 5.0
def update(state, lr): return state - lr * 2 * state
def save(state, folder): (folder / "x.json").write_text(json.dumps(state))
def evaluate(state): return state**2

{BLOCKS[1]}

study = hd.Study(train, hd.Space(lr=hd.LogUniform(1e-4, 0.3)), objective=hd.minimize("loss"),
                 population=4, interval=5, budget=hd.Steps(20), name="sketch")
if __name__ == "__main__":
    print(study.run(hd.Inline(), live="off").best.score)
"""
    )
    run = subprocess.run(
        [sys.executable, "sketch.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 25


def test_the_readmes_program_is_run(tmp_path: Path) -> None:
    """With a program that takes those flags, saves there, and prints that line."""
    (tmp_path / "train.py").write_text(
        """
import argparse, pathlib
flags = argparse.ArgumentParser()
for name in ("--lr", "--epochs", "--out", "--resume"):
    flags.add_argument(name)
given = flags.parse_args()
epoch, x = map(float, pathlib.Path(given.resume).read_text().split()) if given.resume else (0, 5.0)
for _ in range(int(given.epochs) - int(epoch)):
    x -= min(float(given.lr), 0.1) * 2 * x
pathlib.Path(given.out, "last.pt").write_text(f"{given.epochs} {x}")
print(f"val accuracy {1 / (1 + x * x):.6f}")
"""
    )
    block = BLOCKS[2].replace('"python train', '"{python} train').replace("Steps(100)", "Steps(10)")
    (tmp_path / "study.py").write_text(block)
    run = subprocess.run(
        [sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    result = heredity.open("program", tmp_path / "runs")
    assert result.status == "ended"
    assert result.best.checkpoint.joinpath("last.pt").read_text().startswith("10 ")


def test_the_guides_code_runs(tmp_path: Path) -> None:
    """Its blocks, one after the other: later ones use what earlier ones made."""
    guide = (ROOT / "docs" / "guide.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    assert blocks
    (tmp_path / "guide.py").write_text("\n".join(blocks))
    run = subprocess.run(
        [sys.executable, "guide.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("(1, 16)\nSequential(")


def test_the_readme_has_all_its_blocks_tested() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.parametrize(
    "path", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(path: str) -> None:
    document = ROOT / path
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{path} links to {target}"


def test_every_example_has_its_test() -> None:
    """They are run whole by tests/examples; a new one must be too."""
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "examples").glob("test_*.py"))
    for example in (ROOT / "examples").glob("*.py"):
        assert example.name in tests
