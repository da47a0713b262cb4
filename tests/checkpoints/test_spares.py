"""Spare folders: given and taken by a rename, few, empty, and never needed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heredity.checkpoints.spares import MOST, Spares


@pytest.fixture
def spares(tmp_path: Path) -> Spares:
    return Spares(str(tmp_path / "spare 'x'"))


def made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def test_what_is_given_is_taken_once(spares: Spares, tmp_path: Path) -> None:
    given = made(tmp_path / "given")
    inode = os.stat(given).st_ino
    assert spares.give(given)
    assert not os.path.exists(given)
    assert spares.take(str(tmp_path / "taken"))
    assert os.stat(tmp_path / "taken").st_ino == inode
    assert not spares.take(str(tmp_path / "again"))


def test_where_there_is_none_nothing_is_made(spares: Spares, tmp_path: Path) -> None:
    assert not spares.take(str(tmp_path / "taken"))
    spares.remove()
    assert os.listdir(tmp_path) == []


def test_each_is_taken_by_one(spares: Spares, tmp_path: Path) -> None:
    for number in range(20):
        assert spares.give(made(tmp_path / f"given {number}"))
    with ThreadPoolExecutor(8) as pool:
        places = [str(tmp_path / f"taken {number}") for number in range(40)]
        taken = list(pool.map(spares.take, places))
    assert sum(taken) == 20
    assert [os.path.isdir(place) for place in places] == taken


def test_no_more_are_kept_than_are_of_use(spares: Spares, tmp_path: Path) -> None:
    kept = [spares.give(made(tmp_path / f"{number}")) for number in range(MOST + 3)]
    assert kept == [True] * MOST + [False] * 3
    assert os.path.isdir(tmp_path / f"{MOST}")


def test_one_that_is_not_empty_is_not_kept(spares: Spares, tmp_path: Path) -> None:
    (Path(made(tmp_path / "given")) / ".nfs0123").touch()
    assert not spares.give(str(tmp_path / "given"))
    assert os.listdir(tmp_path / "given") == [".nfs0123"]


def test_one_that_is_gone_is_not_kept(spares: Spares, tmp_path: Path) -> None:
    assert not spares.give(str(tmp_path / "gone"))


def test_removing_leaves_nothing_and_giving_goes_on(spares: Spares, tmp_path: Path) -> None:
    for _ in range(2):
        for name in ("a", "b"):
            assert spares.give(made(tmp_path / name))
        spares.remove()
        assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_is_no_error(spares: Spares, tmp_path: Path) -> None:
    Path(spares.folder).write_text("mine")
    assert not spares.take(str(tmp_path / "taken"))
    assert not spares.give(made(tmp_path / "given"))
    spares.remove()
    assert Path(spares.folder).read_text() == "mine"
