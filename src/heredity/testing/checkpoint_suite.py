"""What every CheckpointStore must do. Subclass `CheckpointSuite` and give it a fixture
`checkpoints`, empty and yours.

    class TestMyCheckpoints(CheckpointSuite):
        @pytest.fixture
        def checkpoints(self, tmp_path):
            return MyCheckpoints(tmp_path)

This file knows the protocol and no store.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from heredity.checkpoints.base import CheckpointStore
from heredity.errors import CheckpointCorrupt, CheckpointError
from heredity.evolution.trial import Checkpoint

FILES: dict[str, bytes] = {
    "model.bin": bytes(range(256)) * 100,
    "empty": b"",
    "optimizer/state 1/ünï 'x'\n.bin": b"nested",
    "optimizer/manifest.json": b"{}",
    ".hidden": b"also kept",
}


class UserError(Exception):
    """What the user's code raises."""


def writing(files: Mapping[str, bytes]) -> Callable[[Path], None]:
    """A `write` that leaves these files, by path below the folder."""

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    return write


def files_in(folder: Path) -> dict[str, bytes]:
    """What stands below the folder, apart from the store's own file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {name: content for name, content in found.items() if name != "manifest.json"}


def opened(checkpoints: CheckpointStore, checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files that opening the checkpoint gives."""
    with checkpoints.open(checkpoint) as folder:
        return files_in(folder)


class CheckpointSuite:
    """Tests of a CheckpointStore: whole or not at all, verified, listed, removed."""

    # Saved and opened -----------------------------------------------------------------------------

    def test_what_was_saved_is_opened(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(3, 0, writing(FILES))
        assert opened(checkpoints, checkpoint) == FILES

    def test_write_is_given_an_empty_folder(self, checkpoints: CheckpointStore) -> None:
        seen: list[tuple[bool, list[Path]]] = []
        checkpoints.save(
            0, 0, lambda folder: seen.append((folder.is_dir(), list(folder.iterdir())))
        )
        assert seen == [(True, [])]

    def test_nothing_written_is_a_checkpoint_too(self, checkpoints: CheckpointStore) -> None:
        assert opened(checkpoints, checkpoints.save(0, 0, lambda folder: None)) == {}

    def test_the_record_says_what_the_store_holds(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(3, 1, writing(FILES))
        (stored,) = checkpoints.list()
        assert (stored.trial, stored.attempt, stored.partial) == (3, 1, False)
        assert (stored.uri, stored.size_bytes) == (checkpoint.uri, checkpoint.size_bytes)
        assert checkpoint.size_bytes >= sum(map(len, FILES.values()))
        assert len(checkpoint.digest) == 64

    def test_the_digest_stands_for_the_content(self, checkpoints: CheckpointStore) -> None:
        first = checkpoints.save(0, 0, writing(FILES))
        same = checkpoints.save(1, 0, writing(dict(reversed(FILES.items()))))
        other = checkpoints.save(2, 0, writing(FILES | {"empty": b"\0"}))
        renamed = checkpoints.save(3, 0, writing({"model2.bin": FILES["model.bin"]}))
        assert first.digest == same.digest
        assert len({first.digest, other.digest, renamed.digest}) == 3

    def test_another_process_may_hold_the_store(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(3, 0, writing(FILES))
        copy = pickle.loads(pickle.dumps(checkpoints))
        assert opened(copy, checkpoint) == FILES

    def test_attempts_are_apart(self, checkpoints: CheckpointStore) -> None:
        first = checkpoints.save(3, 0, writing({"a": b"first"}))
        second = checkpoints.save(3, 1, writing({"a": b"second"}))
        assert opened(checkpoints, first) == {"a": b"first"}
        assert opened(checkpoints, second) == {"a": b"second"}

    def test_many_may_save_at_once(self, checkpoints: CheckpointStore) -> None:
        def save(trial: int) -> Checkpoint:
            if trial % 3 == 0:  # removes a neighbour's folder at the same time
                checkpoints.delete([checkpoints.save(trial // 30, 99 + trial, writing({})).uri])
            return checkpoints.save(trial // 30, trial, writing({"a": str(trial).encode()}))

        with ThreadPoolExecutor(8) as pool:
            saved = list(pool.map(save, range(90)))
        contents = [opened(checkpoints, checkpoint) for checkpoint in saved]
        assert contents == [{"a": str(trial).encode()} for trial in range(90)]
        assert len(list(checkpoints.list())) == 90

    # Whole or not at all --------------------------------------------------------------------------

    def test_an_error_of_write_passes_and_leaves_nothing(
        self, checkpoints: CheckpointStore
    ) -> None:
        def write(folder: Path) -> None:
            writing(FILES)(folder)
            raise UserError("in save")

        with pytest.raises(UserError, match="in save"):
            checkpoints.save(0, 0, write)
        assert list(checkpoints.list()) == []

    def test_an_error_of_write_leaves_the_others(self, checkpoints: CheckpointStore) -> None:
        first = checkpoints.save(0, 0, writing(FILES))

        def write(folder: Path) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(0, 1, write)
        assert [stored.uri for stored in checkpoints.list()] == [first.uri]
        assert opened(checkpoints, first) == FILES

    def test_a_link_is_refused(self, checkpoints: CheckpointStore, tmp_path: Path) -> None:
        """It could point at what changes or goes away, and then the checkpoint would too."""
        outside = tmp_path / "outside"
        outside.write_bytes(b"not mine")
        with pytest.raises(CheckpointError, match=r"latest.*symbolic link"):
            checkpoints.save(0, 0, lambda folder: (folder / "latest").symlink_to(outside))
        assert list(checkpoints.list()) == []
        assert outside.read_bytes() == b"not mine"

    # Verified -------------------------------------------------------------------------------------

    def test_another_digest_is_corrupt(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(0, 0, writing(FILES))
        with pytest.raises(CheckpointCorrupt):
            opened(checkpoints, replace(checkpoint, digest="0" * 64))

    def test_what_is_gone_is_corrupt(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(0, 0, writing(FILES))
        checkpoints.delete([checkpoint.uri])
        with pytest.raises(CheckpointCorrupt):
            opened(checkpoints, checkpoint)

    # Listed and removed ---------------------------------------------------------------------------

    def test_an_empty_store_lists_nothing(self, checkpoints: CheckpointStore) -> None:
        assert list(checkpoints.list()) == []

    def test_only_what_is_named_goes(self, checkpoints: CheckpointStore) -> None:
        saved = [checkpoints.save(trial, 0, writing(FILES)) for trial in range(5)]
        checkpoints.delete([saved[1].uri, saved[3].uri])
        assert {stored.trial for stored in checkpoints.list()} == {0, 2, 4}
        assert opened(checkpoints, saved[2]) == FILES

    def test_removing_again_is_no_error(self, checkpoints: CheckpointStore) -> None:
        checkpoint = checkpoints.save(0, 0, writing(FILES))
        checkpoints.delete([checkpoint.uri, checkpoint.uri])
        checkpoints.delete([checkpoint.uri])
        checkpoints.delete([])
        assert list(checkpoints.list()) == []

    def test_what_was_removed_may_be_saved_again(self, checkpoints: CheckpointStore) -> None:
        checkpoints.delete([checkpoints.save(0, 0, writing(FILES)).uri])
        assert opened(checkpoints, checkpoints.save(0, 0, writing({"a": b"new"}))) == {"a": b"new"}

    def test_the_last_save_of_an_attempt_holds(self, checkpoints: CheckpointStore) -> None:
        checkpoints.save(0, 0, writing(FILES))
        again = checkpoints.save(0, 0, writing({"a": b"again"}))
        assert opened(checkpoints, again) == {"a": b"again"}
        assert len(list(checkpoints.list())) == 1

    @pytest.mark.parametrize(
        "uri",
        ["", ".", "..", "../x", "/etc", "0", "0/../1", "0-0/model.bin", "0-0/../1-0", ".spare"],
    )
    def test_a_uri_of_something_else_is_refused(
        self, checkpoints: CheckpointStore, uri: str
    ) -> None:
        checkpoint = checkpoints.save(0, 0, writing(FILES))
        with pytest.raises(CheckpointError):
            checkpoints.delete([uri])
        with pytest.raises(CheckpointError):
            opened(checkpoints, replace(checkpoint, uri=uri))
        assert opened(checkpoints, checkpoint) == FILES

    def test_free_space_is_positive_where_it_is_known(self, checkpoints: CheckpointStore) -> None:
        free_bytes = checkpoints.free_bytes()
        assert free_bytes is None or free_bytes > 0
