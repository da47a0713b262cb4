"""Odd paths are possible, and odd enough."""

from pathlib import Path

from heredity.testing.paths import weird_folder


def test_files_live_there(tmp_path: Path) -> None:
    folder = weird_folder(tmp_path)
    (folder / "file").write_text("text")
    assert (folder / "file").read_text() == "text"


def test_the_name_holds_what_breaks_programs(tmp_path: Path) -> None:
    name = weird_folder(tmp_path).name
    assert all(sign in name for sign in " '\"\n\t\\%{}$*?[]#;")
    assert not name.isascii()
