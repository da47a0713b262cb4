"""The CheckpointStore protocol: where trials' saved states live.

A checkpoint is a folder of files that exists whole or not at all, never changes and is never copied
to be inherited. A store neither knows why a checkpoint is kept nor decides that one may go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heredity.evolution.trial import Checkpoint


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds: a whole checkpoint of (trial, attempt), or a `partial` one of a crash."""

    trial: int
    attempt: int
    uri: str
    size_bytes: int
    partial: bool = False


class CheckpointStore(Protocol):
    """Folders of files by (trial, attempt). Picklable, so that workers can hold it.

    Raises `CheckpointError` when the medium fails (full, read-only) and `CheckpointCorrupt` when
    what is read is not what was saved, both naming the path.
    """

    def save(self, trial: int, attempt: int, write: Callable[[Path], None]) -> Checkpoint:
        """Call `write` with an empty folder and publish what it wrote, atomically.

        An exception of `write` passes through, unless it says that the medium failed, and leaves
        nothing behind.
        """

    def open(self, checkpoint: Checkpoint) -> AbstractContextManager[Path]:
        """A local folder with the checkpoint's files, verified against its manifest, to read."""

    def delete(self, uris: Iterable[str]) -> None:
        """Remove checkpoints, whole or partial. One that is already gone is no error."""

    def list(self) -> Iterable[Stored]:
        """Everything there is, partial ones too."""

    def free_bytes(self) -> int | None:
        """Space left on the medium, or None where that has no meaning."""
