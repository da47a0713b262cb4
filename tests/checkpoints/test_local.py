"""Folders on a disk are a CheckpointStore, for all that happens to disks and processes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heredity.checkpoints.local import LocalCheckpoints, point_best
from heredity.errors import CheckpointCorrupt, CheckpointError
from heredity.testing.checkpoint_suite import FILES, CheckpointSuite, files_in, opened, writing

WEIRD = "runs 'a' \"b\"\n ünï %20 #1 {x}"


class TestLocalCheckpoints(CheckpointSuite):
    @pytest.fixture
    def checkpoints(self, tmp_path: Path) -> LocalCheckpoints:
        return LocalCheckpoints(tmp_path / WEIRD / "checkpoints")


@pytest.fixture
def store(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "checkpoints")


def assert_empty(store: LocalCheckpoints) -> None:
    """Nothing is listed, and nothing is left once the spare folders are removed."""
    assert list(store.list()) == []
    store.remove_spares()
    assert os.listdir(store.root) == []


# Layout -----------------------------------------------------------------------------------------


def test_a_checkpoint_stands_at_trial_and_attempt(store: LocalCheckpoints) -> None:
    checkpoint = store.save(12, 3, writing(FILES))
    assert checkpoint.uri == "12-3"
    assert (store.root / "12-3" / "model.bin").read_bytes() == FILES["model.bin"]
    assert os.listdir(store.root) == ["12-3"]


def test_a_moved_folder_still_opens(store: LocalCheckpoints, tmp_path: Path) -> None:
    checkpoint = store.save(12, 3, writing(FILES))
    moved = store.root.rename(tmp_path / "elsewhere")
    assert opened(LocalCheckpoints(moved), checkpoint) == FILES


def test_a_relative_root_holds_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalCheckpoints(Path("checkpoints"))
    monkeypatch.chdir("/")
    store.save(0, 0, writing(FILES))
    assert (tmp_path / "checkpoints" / "0-0").is_dir()


def test_what_others_put_there_is_neither_listed_nor_touched(store: LocalCheckpoints) -> None:
    checkpoint = store.save(1, 0, writing(FILES))
    for name in ("notes.txt", "2-0"):
        (store.root / name).write_text("mine")
    (store.root / "x").mkdir()
    assert [stored.uri for stored in store.list()] == ["1-0"]
    store.delete([checkpoint.uri])
    store.remove_spares()
    assert sorted(os.listdir(store.root)) == ["2-0", "notes.txt", "x"]


def test_the_name_of_the_manifest_is_taken(store: LocalCheckpoints) -> None:
    with pytest.raises(CheckpointError, match=r"manifest\.json.*rename yours"):
        store.save(0, 0, writing({"manifest.json": b"{}"}))


def test_only_plain_files_are_kept(store: LocalCheckpoints) -> None:
    with pytest.raises(CheckpointError, match=r"'pipe'.*not a plain file"):
        store.save(0, 0, lambda folder: os.mkfifo(folder / "pipe"))
    assert_empty(store)


def test_the_manifest_lists_files_by_name_so_that_equal_content_has_one_digest(
    store: LocalCheckpoints,
) -> None:
    names = [f"{number * 7919 % 101}" for number in range(100)]
    store.save(0, 0, writing(dict.fromkeys(names, b"")))
    manifest = json.loads((store.root / "0-0" / "manifest.json").read_text())
    assert list(manifest["files"]) == sorted(names)


# Damage -----------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda folder: flip(folder / "model.bin"), r"model\.bin.*SHA-256"),
    "a short file": (
        lambda folder: os.truncate(folder / "model.bin", 7),
        r"model\.bin has 7 bytes",
    ),
    "a long file": (lambda folder: (folder / "empty").write_bytes(b"x"), r"empty has 1 bytes"),
    "a missing file": (lambda folder: (folder / ".hidden").unlink(), r"\.hidden"),
    "an edited manifest": (lambda folder: flip(folder / "manifest.json"), r"manifest\.json"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json"),
    "a file for the folder": (
        lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")),
        "cannot be read",
    ),
    "nothing": (shutil.rmtree, "cannot be read"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_found_and_named(store: LocalCheckpoints, case: str) -> None:
    damage, named = DAMAGES[case]
    checkpoint = store.save(4, 0, writing(FILES))
    damage(store.root / "4-0")
    with pytest.raises(CheckpointCorrupt, match=rf"(?s)4-0.*{named}.*train|{named}.*train"):
        opened(store, checkpoint)
    store.delete([checkpoint.uri])
    assert_empty(store)


def test_a_checkpoint_that_was_moved_and_linked_opens_and_is_left_where_it_is(
    store: LocalCheckpoints, tmp_path: Path
) -> None:
    checkpoint = store.save(4, 0, writing(FILES))
    moved = (store.root / "4-0").rename(tmp_path / "moved")
    (store.root / "4-0").symlink_to(moved)
    assert opened(store, checkpoint) == FILES
    store.delete([checkpoint.uri])
    assert files_in(moved) == FILES
    assert_empty(store)


def test_a_folder_without_manifest_is_partial(store: LocalCheckpoints) -> None:
    checkpoint = store.save(4, 0, writing(FILES))
    (store.root / "4-0" / "manifest.json").unlink()
    (stored,) = store.list()
    assert stored.partial
    store.delete([checkpoint.uri])
    assert_empty(store)


# Folders used again -----------------------------------------------------------------------------


def test_a_folder_is_used_again_and_empty(store: LocalCheckpoints) -> None:
    first = store.save(0, 0, writing(FILES))
    folder = (store.root / "0-0").stat().st_ino
    store.delete([first.uri])
    second = store.save(1, 0, writing({"a": b"second"}))
    assert (store.root / "1-0").stat().st_ino == folder
    assert opened(store, second) == {"a": b"second"}
    assert sorted(os.listdir(store.root / "1-0")) == ["a", "manifest.json"]


def test_an_idle_store_holds_its_checkpoints_and_nothing_else(store: LocalCheckpoints) -> None:
    saved = [store.save(trial, 0, writing(FILES)) for trial in range(5)]
    store.delete([checkpoint.uri for checkpoint in saved[1:]])
    assert [stored.uri for stored in store.list()] == ["0-0"]
    store.remove_spares()
    assert os.listdir(store.root) == ["0-0"]
    store.remove_spares()
    assert opened(store, store.save(6, 0, writing(FILES))) == FILES


SHARING = """
import sys
from pathlib import Path
from heredity.checkpoints.local import LocalCheckpoints
from heredity.testing.checkpoint_suite import opened, writing
store, me, rounds = LocalCheckpoints(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
mine = {}
for turn in range(rounds):
    files = {f"{me}": b"%d" % turn, f"deep/{turn % 3}": b"x"}
    mine[store.save(me, turn, writing(files))] = files
    if turn % 7 == 6:
        store.remove_spares()
    if turn % 5 == 4:  # what everybody saved so far, except for the last of each
        newest = {}
        for stored in list(store.list()):
            if not stored.partial:
                newest[stored.trial] = max(newest.get(stored.trial, 0), stored.attempt)
        store.delete(f"{t}-{a}" for t, last in newest.items() for a in range(last))
assert opened(store, list(mine)[-1]) == list(mine.values())[-1]
"""


def test_processes_share_the_folders(store: LocalCheckpoints) -> None:
    """All save while all delete what others saved: nobody finds another's files in its own."""
    processes, rounds = 4, 60
    command = [sys.executable, "-c", SHARING, str(store.root)]
    running = [
        subprocess.Popen([*command, str(me), str(rounds)], stderr=subprocess.PIPE, text=True)
        for me in range(processes)
    ]
    assert [process.communicate()[1] for process in running] == [""] * processes
    left = {(stored.trial, stored.attempt): stored for stored in store.list()}
    assert not any(stored.partial for stored in left.values())
    assert {(me, rounds - 1) for me in range(processes)} <= left.keys()
    for (trial, attempt), stored in left.items():
        folder = store.root / stored.uri
        assert files_in(folder) == {f"{trial}": b"%d" % attempt, f"deep/{attempt % 3}": b"x"}
    store.delete([stored.uri for stored in left.values()])
    assert_empty(store)


# Kills ------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from heredity.checkpoints.local import LocalCheckpoints
from heredity.testing.checkpoint_suite import FILES, writing
store = LocalCheckpoints(Path(sys.argv[1]))
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
match sys.argv[2]:
    case "save":
        store.save(4, 0, writing(FILES))
    case "die while writing":
        store.save(4, 0, lambda folder: (writing(FILES)(folder), die()))
    case "delete":
        store.delete(["4-0"])
    case "die while removing":
        sys.addaudithook(lambda event, args: event == "os.remove" and die())
        store.delete(["4-0"])
"""


def killed(store: LocalCheckpoints, action: str, point: str = "") -> None:
    """Do `action` in a process that is killed, at the crash point `point` if given."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store.root), action],
        env=os.environ | ({"HEREDITY_CRASH_AT": f"{point}:1"} if point else {}),
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("action", "point"), [("save", "rename.before"), ("die while writing", "")]
)
def test_a_kill_before_the_rename_leaves_a_partial_one(
    store: LocalCheckpoints, action: str, point: str
) -> None:
    killed(store, action, point)
    (stored,) = store.list()
    assert (stored.trial, stored.attempt, stored.partial) == (4, 0, True)
    assert stored.size_bytes >= sum(map(len, FILES.values()))
    checkpoint = store.save(4, 0, writing(FILES))
    store.delete([stored.uri])
    assert [stored.uri for stored in store.list()] == ["4-0"]
    assert opened(store, checkpoint) == FILES


def test_a_kill_after_the_rename_leaves_a_whole_one(store: LocalCheckpoints) -> None:
    killed(store, "save", "rename.after")
    (stored,) = store.list()
    assert (stored.uri, stored.partial) == ("4-0", False)
    again = store.save(5, 0, writing(FILES))
    assert opened(store, again) == FILES


def test_a_kill_before_the_removal_leaves_all(store: LocalCheckpoints) -> None:
    checkpoint = store.save(4, 0, writing(FILES))
    killed(store, "delete", "unlink.before")
    assert opened(store, checkpoint) == FILES


def test_a_kill_after_the_removal_leaves_nothing(store: LocalCheckpoints) -> None:
    store.save(4, 0, writing(FILES))
    killed(store, "delete", "unlink.after")
    assert_empty(store)


def test_what_is_half_removed_is_never_whole(store: LocalCheckpoints) -> None:
    store.save(4, 0, writing(FILES))
    killed(store, "die while removing")
    (stored,) = store.list()
    assert stored.partial
    assert not (store.root / "4-0").exists()
    store.delete([stored.uri, "4-0"])
    assert_empty(store)


# A failing medium -------------------------------------------------------------------------------


def test_a_disk_that_fills_while_the_user_saves_is_named(store: LocalCheckpoints) -> None:
    def write(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CheckpointError, match=r"checkpoints: No space left.*with space left"):
        store.save(0, 0, write)
    assert_empty(store)


def test_other_errors_of_the_system_are_the_users(store: LocalCheckpoints) -> None:
    with pytest.raises(FileNotFoundError):
        store.save(0, 0, lambda folder: os.stat(folder / "missing"))
    with pytest.raises(FileExistsError):
        store.save(0, 0, lambda folder: folder.mkdir())


def test_a_write_that_the_system_refuses_leaves_nothing(store: LocalCheckpoints) -> None:
    """A limit on the size of files, reached by the manifest: our own write, without being root."""
    code = """
import resource, sys
from pathlib import Path
from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import CheckpointError
from heredity.testing.checkpoint_suite import writing
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    LocalCheckpoints(Path(sys.argv[1])).save(0, 0, writing({"a": b"", "b": b""}))
except CheckpointError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{store.root}: File too large" in done.stdout
    assert_empty(store)


def test_a_file_in_the_way_is_named(store: LocalCheckpoints) -> None:
    store.root.write_text("mine")
    with pytest.raises(CheckpointError, match=r"checkpoints: Not a directory"):
        store.save(0, 0, writing(FILES))
    assert store.root.read_text() == "mine"


def test_a_file_in_the_place_of_a_checkpoint_is_named(store: LocalCheckpoints) -> None:
    store.root.mkdir()
    (store.root / "0-0").write_text("mine")
    with pytest.raises(CheckpointError, match=r"checkpoints: Not a directory \(.*/0-0\)"):
        store.save(0, 0, writing(FILES))
    store.remove_spares()
    assert os.listdir(store.root) == ["0-0"]
    assert (store.root / "0-0").read_text() == "mine"


# The best ---------------------------------------------------------------------------------------


def test_the_link_follows_the_best(store: LocalCheckpoints, tmp_path: Path) -> None:
    for trial in (0, 1):
        store.save(trial, 0, writing({"a": b"%d" % trial}))
        point_best(tmp_path / "best", store.root / f"{trial}-0")
        assert (tmp_path / "best" / "a").read_bytes() == b"%d" % trial
    assert sorted(os.listdir(tmp_path)) == ["best", "checkpoints"]


def test_the_link_holds_when_the_folder_is_moved(tmp_path: Path) -> None:
    store = LocalCheckpoints(tmp_path / "runs" / "checkpoints")
    store.save(0, 0, writing({"a": b"0"}))
    point_best(tmp_path / "runs" / "best", store.root / "0-0")
    moved = (tmp_path / "runs").rename(tmp_path / "moved")
    assert (moved / "best" / "a").read_bytes() == b"0"


def test_a_leftover_of_a_crash_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".best.new").symlink_to("nowhere")
    point_best(tmp_path / "best", tmp_path)
    assert (tmp_path / "best").samefile(tmp_path)


def test_a_folder_in_the_place_of_the_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    with pytest.raises(CheckpointError, match=r"best.*Remove"):
        point_best(tmp_path / "best", tmp_path)
    assert os.listdir(tmp_path) == ["best"]
