"""The commands that delete: what no trial owns, or everything, and never what runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import heredity as hd
from cli.climbing import Call, failed, parsed
from heredity.errors import NotFound
from heredity.stores import open_store


def test_gc_frees_what_no_event_names_and_nothing_else(storage: Path, call: Call) -> None:
    checkpoints = storage / "climb" / "checkpoints"
    before = sorted(path.relative_to(checkpoints) for path in checkpoints.rglob("*"))
    orphan = checkpoints / "999-0"
    orphan.mkdir(parents=True)
    (orphan / "weights").write_bytes(b"x" * 1000)
    assert parsed(call("gc", "--storage", storage, "--json"))["freed_bytes"] == 1000
    assert sorted(path.relative_to(checkpoints) for path in checkpoints.rglob("*")) == before
    assert call("gc", "climb", "--storage", storage).stdout == "climb: freed 0 B\n"
    assert hd.open("climb", storage).best.checkpoint.is_dir()


def test_rm_asks_first(storage: Path, call: Call) -> None:
    asked = call("rm", "climb", "--storage", storage, input="n\n")
    assert asked.exit_code == 1
    assert "20 trials" in asked.output
    assert hd.open("climb", storage).best.checkpoint.is_dir()
    assert call("rm", "climb", "--storage", storage, input="y\n").exit_code == 0
    assert not (storage / "climb").exists()
    with pytest.raises(NotFound):
        hd.open("climb", storage)


def test_rm_of_what_is_not_there(storage: Path, call: Call) -> None:
    assert "Did you mean `climb`?" in failed(call("rm", "clim", "--yes", "--storage", storage), 4)
    assert (storage / "climb").exists()


@pytest.mark.parametrize("command", [["rm", "climb", "--yes"], ["gc", "climb"]])
def test_what_runs_is_left_alone(command: list[str], storage: Path, call: Call) -> None:
    store = open_store(storage)
    with store.lock("climb"):
        assert "is being run by" in failed(call(*command, "--storage", storage), 2)
    store.close()
    assert hd.open("climb", storage).best.checkpoint.is_dir()
