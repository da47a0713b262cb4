"""Checkpoints of a service whose folder is not seen: whole, kept for a while, and never trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served

from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import CheckpointCorrupt
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed
from heredity.service.client import Client
from heredity.service.transfer import KEPT, RemoteCheckpoints


@pytest.fixture
def remote(service: Served, tmp_path: Path) -> Iterator[RemoteCheckpoints]:
    remote = RemoteCheckpoints(service.url, "toy", tmp_path / "scratch")
    yield remote
    remote._client.close()


@pytest.fixture
def local(service: Served) -> LocalCheckpoints:
    return LocalCheckpoints(service.storage / "toy" / "checkpoints")


def saved(client: Client, remote: RemoteCheckpoints, worker: str) -> Checkpoint:
    """What the next trial of this worker saved; the trial has ended."""
    [task] = client.suggest("toy", worker).tasks
    trial = task.trial

    def write(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "x.json").write_text(str(trial.id))

    checkpoint = remote.save(trial.id, trial.attempt, write)
    report = Completed(trial.id, trial.attempt, 5, {"loss": 0.5}, checkpoint, 1.0)
    assert client.complete("toy", worker, report) == "recorded"
    return checkpoint


def test_it_is_the_very_checkpoint_that_a_shared_folder_would_hold(
    client: Client, remote: RemoteCheckpoints, local: LocalCheckpoints
) -> None:
    checkpoint = saved(client, remote, "a")
    with local.open(checkpoint) as there, remote.open(checkpoint) as here:
        assert (there / "sub" / "x.json").read_text() == "0"
        assert (here / "sub" / "x.json").read_text() == "0"
        assert there != here
    assert not list(remote.scratch.glob("saving-*"))


def test_what_was_fetched_is_kept_for_a_while(
    client: Client, remote: RemoteCheckpoints, local: LocalCheckpoints
) -> None:
    first, *others = [saved(client, remote, worker) for worker in "abcd"]
    with remote.open(first):
        local.delete([first.uri])
    with remote.open(first) as again:
        assert (again / "sub" / "x.json").is_file()
    for other in others:
        with remote.open(other):
            pass
    assert len(list(remote._fetched.iterdir())) == KEPT == len(others)
    with pytest.raises(Exception, match="0-0"), remote.open(first):
        pass


def test_what_is_damaged_at_the_service_is_not_used(
    client: Client, remote: RemoteCheckpoints, local: LocalCheckpoints
) -> None:
    checkpoint = saved(client, remote, "a")
    (local.root / checkpoint.uri / "sub" / "x.json").write_text("7")
    with pytest.raises(CheckpointCorrupt, match="SHA-256"), remote.open(checkpoint):
        pass
    assert not list(remote._fetched.iterdir())


def test_a_save_that_fails_sends_nothing(
    client: Client, remote: RemoteCheckpoints, local: LocalCheckpoints
) -> None:
    def write(folder: Path) -> None:
        (folder / "x").write_text("half")
        raise KeyError("out of luck")

    client.suggest("toy", "a")
    with pytest.raises(KeyError):
        remote.save(0, 0, write)
    assert not local.root.exists() or not list(local.list())
    assert not list(remote.scratch.iterdir())
