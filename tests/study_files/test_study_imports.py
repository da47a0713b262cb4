"""`module:Class` names what a person means by it, or is refused in their words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import heredity as hd
from heredity.study_files.imports import imported


@pytest.fixture(autouse=True)
def search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put on the search path comes off it."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def module(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(dedent(text))
    return name


def refusal(reference: str, folder: Path) -> pytest.ExceptionInfo[hd.UsageError]:
    with pytest.raises(hd.UsageError) as caught:
        imported(reference, folder)
    return caught


def test_from_beside_the_file(tmp_path: Path) -> None:
    module(tmp_path, "mine_beside", "class A:\n    class B: ...\n")
    assert imported("mine_beside:A", tmp_path).__name__ == "A"
    assert imported("mine_beside:A.B", tmp_path).__name__ == "B"


def test_from_a_package_beside_the_file_and_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "pack_beside").mkdir()
    module(tmp_path / "pack_beside", "inner", "def train(session): ...")
    assert imported("pack_beside.inner:train", tmp_path).__name__ == "train"
    assert imported("heredity.study:Study", tmp_path) is hd.Study


def test_a_typo_in_the_name(tmp_path: Path) -> None:
    module(tmp_path, "mine_typo", "class Digits: ...")
    assert "mine_typo has no 'Digit'. Did you mean `Digits`?" in str(
        refusal("mine_typo:Digit", tmp_path).value
    )


def test_no_such_module(tmp_path: Path) -> None:
    (tmp_path / "pack_empty").mkdir()
    for name in ("mine_missing", "mine_missing.inner", "pack_empty.inner"):
        said = str(refusal(f"{name}:A", tmp_path).value)
        assert said.startswith("there is no module")
        assert str(tmp_path) in said


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("def f():\n    return missing\nf()\n", "NameError: name 'missing' is not defined"),
        ("import not_installed_at_all\n", "No module named 'not_installed_at_all'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("def f(:\n", "SyntaxError"),
    ],
)
def test_a_module_that_fails_shows_the_users_frames(text: str, raised: str, tmp_path: Path) -> None:
    name = module(tmp_path, f"mine_fails_{len(text)}", text)
    error = refusal(f"{name}:A", tmp_path).value
    assert f"the module {name!r} cannot be imported" in str(error)
    assert raised in str(error)
    (note,) = error.__notes__
    assert f'File "{tmp_path / name}.py"' in note
    assert "importlib" not in note


def test_another_studys_module_of_the_same_name_is_not_taken_for_it(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        module(tmp_path / folder, "mine_twice", f"name = {folder!r}")
    assert imported("mine_twice:name", tmp_path / "one") == "one"
    assert "give one of them another name" in str(
        refusal("mine_twice:name", tmp_path / "two").value
    )
    module(tmp_path, "json", "dumps = None")
    assert "json/__init__.py, not" in str(refusal("json:dumps", tmp_path).value)


def test_a_worker_imports_it_by_its_name(tmp_path: Path) -> None:
    """So a study of a file runs in worker processes, with its module beside the file."""
    module(
        tmp_path,
        "mine_worked",
        """
        def train(session):
            (session.save / "x").write_text("x")
            assert session.restore is None or (session.restore / "x").exists()
            session.report(step=session.stop, loss=session.hparams["lr"])
        """,
    )
    (tmp_path / "study.toml").write_text(
        dedent("""
        name = "worked"
        trainable = "mine_worked:train"
        objective = "minimize loss"
        population = 2
        interval = 1
        budget = { steps = 2 }
        space = { lr = { type = "Uniform", low = 0.0, high = 1.0 } }
        executor = { type = "Processes", workers = 1 }
        """)
    )
    code = (
        "from heredity import study_files\n"
        f"file = study_files.read({str(tmp_path / 'study.toml')!r})\n"
        "print(file.study.run(file.executor, live='off').population.ended_count)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["4"]
