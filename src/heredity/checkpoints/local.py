"""Checkpoints as folders on a local or shared disk.

    <root>/<trial>/<attempt>/            whole: what the trial saved, and manifest.json
    <root>/.partial-<trial>-<attempt>-…  being written, being removed, or left by a crash

A folder is written beside its place and renamed into it, and renamed away before it is removed, so
what stands in place is whole. That holds through the death of any process. Nothing is flushed to
the disk for its own sake: after a loss of power a checkpoint may be short of bytes, which `open`
finds and reports. This file knows nothing of events, and not why a checkpoint is kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heredity.checkpoints.base import Stored
from heredity.checkpoints.manifest import MANIFEST, describe_files, folder_bytes, verify
from heredity.crash import crash_point
from heredity.errors import CheckpointCorrupt, CheckpointError
from heredity.evolution.trial import Checkpoint

_WHOLE = re.compile(r"([0-9]+)/([0-9]+)")
_PARTIAL = re.compile(r"\.partial-([0-9]+)-([0-9]+)-[0-9a-z-]+")

_DISK_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@dataclass(frozen=True)
class LocalCheckpoints:
    """A CheckpointStore in the folder `root`, made when something is first saved.

    A checkpoint's uri is its place below `root`, such as "12/0", so the folder may be moved whole.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).absolute())

    def save(self, trial: int, attempt: int, write: Callable[[Path], None]) -> Checkpoint:
        """Call `write` with an empty folder and publish what it wrote, atomically.

        An exception of `write` passes through and leaves nothing behind; one by which the system
        says that the disk is full, read-only or failing becomes a `CheckpointError`. Only plain
        files and folders may be written: a link could point at what changes or goes away. A second
        save of the same attempt replaces the first, which no event can have named.
        """
        partial = self._partial(trial, attempt)
        with self._naming_the_remedy():
            partial.mkdir(parents=True)
        try:
            with self._naming_the_remedy(_DISK_FAILED):
                write(partial)
            with self._naming_the_remedy():
                manifest = describe_files(partial)
                (partial / MANIFEST).write_bytes(manifest.text)
                self._publish(partial, trial, attempt)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return Checkpoint(f"{trial}/{attempt}", manifest.size_bytes, manifest.digest)

    @contextmanager
    def open(self, checkpoint: Checkpoint) -> Iterator[Path]:
        """The checkpoint's folder, once every file has the size and hash that it was saved with.

        The folder is the one in the store: read from it and leave it as it is.
        """
        if not _WHOLE.fullmatch(checkpoint.uri):
            raise CheckpointError(
                f"{checkpoint.uri!r} is not the uri of a checkpoint in {self.root}"
            )
        folder = self.root / checkpoint.uri
        try:
            verify(folder, checkpoint.digest)
        except OSError as error:
            raise CheckpointCorrupt(
                f"the checkpoint {folder} cannot be read: {error.strerror} ({error.filename}). "
                f"If its folder was moved, move it back; else the trial must be trained again"
            ) from error
        yield folder

    def delete(self, uris: Iterable[str]) -> None:
        """Remove checkpoints, whole or partial. One that is already gone is no error."""
        for uri in uris:
            whole, partial = _WHOLE.fullmatch(uri), _PARTIAL.fullmatch(uri)
            if not (whole or partial):
                raise CheckpointError(f"{uri!r} is no uri of a checkpoint in {self.root}")
            with self._naming_the_remedy():
                crash_point("unlink.before")
                if whole:
                    self._retire(self.root / uri, self._partial(int(whole[1]), int(whole[2])))
                else:
                    _remove(self.root / uri)
                crash_point("unlink.after")

    def list(self) -> Iterable[Stored]:
        """Everything there is, partial ones too; the sizes are those on the disk now."""
        for entry in _entries(self.root):
            if found := _PARTIAL.fullmatch(entry.name):
                yield self._stored(found, partial=True)
            else:
                for attempt in _entries(Path(entry.path)):
                    if found := _WHOLE.fullmatch(f"{entry.name}/{attempt.name}"):
                        partial = not os.path.exists(os.path.join(attempt.path, MANIFEST))
                        yield self._stored(found, partial=partial)

    def free_bytes(self) -> int | None:
        """Space left on the disk, for this user."""
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def _partial(self, trial: int, attempt: int) -> Path:
        return self.root / f".partial-{trial}-{attempt}-{os.getpid()}-{secrets.token_hex(4)}"

    def _stored(self, found: re.Match[str], *, partial: bool) -> Stored:
        size = folder_bytes(self.root / found[0])
        return Stored(int(found[1]), int(found[2]), found[0], size, partial)

    def _publish(self, partial: Path, trial: int, attempt: int) -> None:
        place = self.root / str(trial) / str(attempt)
        if place.exists():
            self._retire(place, self._partial(trial, attempt))
        crash_point("rename.before")
        while True:
            place.parent.mkdir(exist_ok=True)
            try:
                partial.rename(place)
                break
            except FileNotFoundError:  # the removal of another attempt took the empty folder along
                if not partial.exists():
                    raise
        crash_point("rename.after")

    def _retire(self, place: Path, partial: Path) -> None:
        """Move `place` out of sight in one step, then remove it at leisure."""
        with contextlib.suppress(FileNotFoundError):
            place.rename(partial)
            _remove(partial)
        with contextlib.suppress(OSError):  # another attempt is there, or the folder is gone
            place.parent.rmdir()

    @contextmanager
    def _naming_the_remedy(self, only: Set[int] | None = None) -> Iterator[None]:
        """Explain the system's errors: all of them, or those with the numbers in `only`."""
        try:
            yield
        except OSError as error:
            if only is not None and error.errno not in only:
                raise
            raise CheckpointError(
                f"checkpoints cannot be kept in {self.root}: {error.strerror} "
                f"({error.filename or 'while saving'}). Make it a writable folder with space left, "
                f"then run the same command again"
            ) from error


def point_best(link: Path, target: Path) -> None:
    """Make the symbolic link `link` point at `target`, in one step for whoever reads it.

    The link is relative, so it holds when the folder above both is moved.
    """
    fresh = link.with_name(f".{link.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(target.absolute(), link.absolute().parent))
        fresh.replace(link)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise CheckpointError(
            f"the link {link} to the best checkpoint cannot be made: {error.strerror}. Remove what "
            f"stands there if it is not a link, and make its folder writable"
        ) from error


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():  # another process removes it at the same time
            shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
