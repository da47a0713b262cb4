"""Checkpoints of a service whose folder a worker does not see: sent and fetched over HTTP.

Worker processes hold one of these in place of the folder. What was fetched last is kept, since the
members of a population begin from few checkpoints.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from heredity.checkpoints.base import Stored
from heredity.checkpoints.manifest import describe_files
from heredity.errors import CheckpointCorrupt
from heredity.evolution.trial import Checkpoint
from heredity.service.archive import pack, unpack
from heredity.service.client import PATIENCE_S, Client

KEPT = 3
"""Checkpoints that a worker process keeps of those it fetched."""


@dataclass(frozen=True)
class RemoteCheckpoints:
    """A CheckpointStore behind a service, for one study's worker processes.

    Deleting and listing are the service's own affair. `scratch` is a local folder, removed by
    whoever made it.
    """

    url: str
    study: str
    scratch: Path
    token: str | None = field(default=None, repr=False)
    patience_s: float = PATIENCE_S

    def save(self, trial: int, attempt: int, write: Callable[[Path], None]) -> Checkpoint:
        """Call `write` with an empty folder and send what it wrote."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch, prefix="saving-") as name:
            folder = Path(name)
            write(folder)
            digest = describe_files(folder).digest
            return self._client.save(self.study, f"{trial}-{attempt}", digest, lambda: pack(folder))

    @contextmanager
    def open(self, checkpoint: Checkpoint) -> Iterator[Path]:
        """A local folder with the checkpoint's files, verified against its manifest, to read."""
        place = self._fetched / checkpoint.digest
        if not place.exists():
            self._fetch(checkpoint, place)
        os.utime(place)
        yield place

    def delete(self, uris: Iterable[str]) -> None:
        """The service decides what goes."""

    def list(self) -> Iterable[Stored]:
        """Nothing is kept here."""
        return ()

    def free_bytes(self) -> int | None:
        """The service knows."""
        return None

    def _fetch(self, checkpoint: Checkpoint, place: Path) -> None:
        fresh = Path(tempfile.mkdtemp(dir=self._fetched, prefix="fetching-"))
        try:
            with self._client.load(self.study, checkpoint.uri) as chunks:
                unpack(chunks, fresh, _limit_bytes(checkpoint))
            if describe_files(fresh).digest != checkpoint.digest:
                raise CheckpointCorrupt(
                    f"the checkpoint {checkpoint.uri} that the service sent is not the one that "
                    f"was saved (SHA-256). The trial must be trained again"
                )
            self._make_room()
            fresh.rename(place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise

    def _make_room(self) -> None:
        there = sorted(self._fetched.iterdir(), key=lambda path: path.stat().st_mtime)
        kept = [path for path in there if not path.name.startswith("fetching-")]
        for path in kept[: max(0, len(kept) - KEPT + 1)]:
            shutil.rmtree(path, ignore_errors=True)

    @cached_property
    def _client(self) -> Client:
        return Client(self.url, self.token, patience_s=self.patience_s)

    @cached_property
    def _fetched(self) -> Path:
        """This process's own."""
        place = self.scratch / f"fetched-{os.getpid()}"
        place.mkdir(parents=True, exist_ok=True)
        return place


def _limit_bytes(checkpoint: Checkpoint) -> int:
    """What its files and as many headers can take at most: a manifest lists each in 100 bytes."""
    return 64 * checkpoint.size_bytes + (1 << 20)
