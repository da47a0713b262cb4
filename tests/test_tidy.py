"""Tidying up removes what it says and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import heredity as hd
from heredity.tidy import collect, remove


def study(storage: Path, name: str) -> hd.Study:
    """A study of two members that save one small file."""

    def train(session: hd.Session) -> None:
        if session.restore is not None:
            assert (session.restore / "state").exists()
        (session.save / "state").touch()
        session.report(step=session.stop, loss=session.hparams["lr"])

    return hd.Study(
        train,
        hd.Space(lr=hd.LogUniform(0.01, 1.0)),
        objective=hd.minimize("loss"),
        population=2,
        interval=10,
        budget=hd.Steps(20),
        name=name,
        storage=storage,
        final_evaluations=0,
    )


def test_a_removed_study_can_be_run_anew_and_others_stay(tmp_path: Path) -> None:
    for name in ("one", "two"):
        study(tmp_path, name).run(hd.Inline(), live="off")
    remove("one", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["two"]
    assert hd.open("two", tmp_path).best.checkpoint.is_dir()
    again = study(tmp_path, "one").run(hd.Inline(), live="off")
    assert again.population.ended_count == 4


def test_what_is_not_there_is_neither_removed_nor_made(tmp_path: Path) -> None:
    for tidy in (remove, collect):
        with pytest.raises(hd.NotFound):
            tidy("one", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_partial_checkpoints_of_a_crash_are_collected(tmp_path: Path) -> None:
    study(tmp_path, "one").run(hd.Inline(), live="off")
    partial = tmp_path / "one" / "checkpoints" / ".partial-7-0-1234-abcd"
    partial.mkdir()
    (partial / "weights").write_bytes(b"x" * 100)
    (partial.parent / ".spare" / "used").mkdir(parents=True)
    assert collect("one", tmp_path) == 100
    assert not list(partial.parent.glob(".*"))
    assert hd.open("one", tmp_path).best.checkpoint.is_dir()
