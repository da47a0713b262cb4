"""A worker's own files: nobody else's, and gone with it, also when it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from heredity.errors import UsageError
from heredity.service.names import own_name
from heredity.service.private import private_folder, scratch

URL = "http://127.0.0.1:8765"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What everybody may write to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_that_is_made_is_ours_alone(temporary: Path) -> None:
    folder = private_folder("some")
    assert folder == private_folder("some") == temporary / f"some-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700


def there(folder: Path, kind: str) -> None:
    """Something of this name that another user may have put there."""
    other = folder.parent / "another's"
    other.mkdir(mode=0o700)
    if kind == "a link":
        folder.symlink_to(other)
    elif kind == "a file":
        folder.touch(mode=0o600)
    elif kind == "nowhere":
        folder.symlink_to(folder.parent / "not there")
    else:
        folder.mkdir()
        folder.chmod(0o777 if kind == "open to all" else 0o710)


@pytest.mark.parametrize("kind", ["a link", "a file", "nowhere", "open to all", "open to a group"])
def test_what_another_may_have_put_there_is_refused(temporary: Path, kind: str) -> None:
    there(temporary / f"heredity-workers-{os.geteuid()}", kind)
    with pytest.raises(UsageError, match="TMPDIR"), own_name(URL):
        pass
    assert not list((temporary / "another's").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_another_users_folder_is_refused(temporary: Path) -> None:
    folder = temporary / "heredity-workers-0"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(UsageError, match="owner 12345"), own_name(URL):
        pass


KILLED = """
import sys
from pathlib import Path
from heredity.service.private import scratch
with scratch(Path(sys.argv[1])) as place:
    (place / "large").write_bytes(bytes(1000))
    print("there", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_goes_and_what_runs_stays(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    command = [sys.executable, "-c", KILLED, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process, scratch(folder) as mine:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        with scratch(folder):
            assert len([path for path in folder.iterdir() if path.is_dir()]) == 3
        process.kill()
        process.wait()
        (folder / "anothers").mkdir()
        with scratch(folder) as second:
            left = {path for path in folder.iterdir() if path.is_dir()}
            assert left == {mine, second, folder / "anothers"}
    assert os.listdir(folder) == ["anothers"]
