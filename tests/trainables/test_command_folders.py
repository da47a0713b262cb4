"""What a program does to its copy never shows in the original."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heredity.errors import TrainingError
from heredity.testing.paths import weird_folder
from heredity.trainables.command import folders
from heredity.trainables.command.folders import copy_files, signatures, tidy, unaltered

PROGRAMS = {
    "truncates": "open(path, 'wb').close()",
    "appends": "open(path, 'ab').write(b'more')",
    "writes into": "f = open(path, 'r+b'); f.write(b'XX')",
    "maps": "import mmap; f = open(path, 'r+b'); mmap.mmap(f.fileno(), 0)[:2] = b'XX'",
    "removes": "import os; os.unlink(path)",
    "changes the mode of": "import os; os.chmod(path, 0o600)",
}
"""What programs do to the files they resume from."""


def saved(folder: Path) -> Path:
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("weights", "deep/er/weights", "manifest.json", "empty"):
        (folder / name).write_bytes(b"" if name == "empty" else name.encode() * 1000)
    return folder


def do(act: str, path: Path) -> None:
    program = f"import sys; path = sys.argv[1]; {PROGRAMS[act]}"
    subprocess.run([sys.executable, "-c", program, path], check=True)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["by the system", "by hand"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by hand":
        monkeypatch.delattr(os, "copy_file_range", raising=False)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("act", PROGRAMS)
@pytest.mark.parametrize("name", ["weights", "deep/er/weights"])
def test_a_program_cannot_alter_the_original(tmp_path: Path, act: str, name: str) -> None:
    parent = saved(weird_folder(tmp_path))
    before, copy = contents(parent), tmp_path / "copy"
    copy.mkdir()
    copy_files(parent, copy)
    assert contents(copy) == {k: v for k, v in before.items() if k != "manifest.json"}
    do(act, copy / name)
    assert contents(copy) != {k: v for k, v in before.items() if k != "manifest.json"}
    assert contents(parent) == before


def test_files_larger_than_one_go_are_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_CHUNK_BYTES", 100)
    parent, copy = saved(tmp_path / "parent"), tmp_path / "copy"
    copy.mkdir()
    copy_files(parent, copy)
    assert (copy / "weights").read_bytes() == b"weights" * 1000


@pytest.mark.parametrize("act", [act for act in PROGRAMS if "mode" not in act])
def test_whoever_writes_where_it_should_read_is_told(tmp_path: Path, act: str) -> None:
    path = saved(tmp_path) / "weights"
    with (
        pytest.raises(TrainingError, match=r"changed 'weights' in the folder {restore}, .*seed_"),
        unaltered(tmp_path),
    ):
        do(act, path)


def test_whoever_adds_where_it_should_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="changed 'new'"), unaltered(tmp_path):
        (tmp_path / "new").touch()


def test_reading_is_no_change(tmp_path: Path) -> None:
    with unaltered(saved(tmp_path)), unaltered(None):
        contents(tmp_path)


def test_a_file_that_is_written_again_differs(tmp_path: Path) -> None:
    before = signatures(saved(tmp_path))
    (tmp_path / "weights").write_bytes((tmp_path / "weights").read_bytes())
    assert signatures(tmp_path) != before


# Fit to be a checkpoint ----------------------------------------------------------------


def test_links_to_files_inside_become_files(tmp_path: Path) -> None:
    save = weird_folder(tmp_path)
    (save / "deep").mkdir()
    (save / "deep" / "epoch3").write_text("weights")
    (save / "last").symlink_to("deep/epoch3")
    (save / "deep" / "absolute").symlink_to(save / "last")
    tidy(save, None)
    for name in ("last", "deep/absolute"):
        assert not (save / name).is_symlink()
        assert (save / name).read_text() == "weights"


def test_links_to_folders_inside_become_folders(tmp_path: Path) -> None:
    """Also those that lead to others, and to folders with links in them."""
    save = weird_folder(tmp_path)
    for name in ("ck3", "deep"):
        (save / name).mkdir()
        (save / name / "weights").write_text(name)
    (save / "best").symlink_to("latest")
    (save / "deep" / "of").symlink_to(save / "ck3")
    (save / "latest").symlink_to("deep")
    (save / "ck3" / "last").symlink_to("weights")
    tidy(save, None)
    assert not [path for path in save.rglob("*") if path.is_symlink()]
    assert contents(save / "latest") == contents(save / "best") == contents(save / "deep")
    assert (save / "latest" / "of" / "last").read_text() == "ck3"
    (save / "latest" / "weights").write_text("other")
    assert (save / "deep" / "weights").read_text() == "deep"


def test_links_around_in_a_circle_stay(tmp_path: Path) -> None:
    links = {"self": ".", "a/b": "../b", "b/a": "../a", "a/up": "..", "round": "round"}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    tidy(tmp_path, None)
    assert {name: os.readlink(tmp_path / name) for name in links} == links


def test_links_to_what_is_no_plain_file_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "fifo")
    for name, target in {"a": "folder", "b": "folder/fifo"}.items():
        (tmp_path / name).symlink_to(target)
    tidy(tmp_path, None)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").is_symlink()


def test_links_that_lead_outside_or_nowhere_stay(tmp_path: Path) -> None:
    save = tmp_path / "save"
    save.mkdir()
    (tmp_path / "outside").touch()
    (save / "outside").symlink_to(tmp_path / "outside")
    (save / "nowhere").symlink_to("nothing")
    tidy(save, None)
    assert (save / "outside").is_symlink()
    assert (save / "nowhere").is_symlink()


def test_the_parents_manifest_goes_and_no_other(tmp_path: Path) -> None:
    parent, save = saved(tmp_path / "parent"), saved(tmp_path / "save")
    tidy(save, parent)
    assert not (save / "manifest.json").exists()
    (save / "manifest.json").write_text("the program's own")
    tidy(save, parent)
    assert (save / "manifest.json").exists()
