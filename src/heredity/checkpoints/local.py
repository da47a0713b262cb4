"""Checkpoints as folders on a local or shared disk.

    <root>/<trial>-<attempt>/            whole: what the trial saved, and manifest.json
    <root>/.partial-<trial>-<attempt>-…  being written, being removed, or left by a crash
    <root>/.spare/…                      empty folders for further checkpoints, while a study runs

A folder is written beside its place and renamed into it, and renamed away before it is removed, so
what stands in place is whole. That holds through the death of any process. The folder itself is
used again, the name it is filled or emptied under never is, and nothing is held by a descriptor: so
whoever renames a folder owns it, and for all others it is gone.

Nothing is flushed to the disk for its own sake: after a loss of power a checkpoint may be short of
bytes, which `open` finds and reports. This file knows nothing of events, and not why a checkpoint
is kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heredity.checkpoints.base import Stored
from heredity.checkpoints.manifest import MANIFEST, describe_files, folder_bytes, verify
from heredity.checkpoints.spares import Spares
from heredity.crash import crash_point
from heredity.errors import CheckpointCorrupt, CheckpointError
from heredity.evolution.trial import Checkpoint

_WHOLE = re.compile(r"([0-9]+)-([0-9]+)")
_PARTIAL = re.compile(r"\.partial-([0-9]+)-([0-9]+)-[0-9a-z-]+")

_DISK_FAILED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_OCCUPIED = frozenset({errno.ENOTEMPTY, errno.EEXIST})


@dataclass(frozen=True)
class LocalCheckpoints:
    """A CheckpointStore in the folder `root`, made when something is first saved.

    A checkpoint's uri is its place below `root`, such as "12-0", so the folder may be moved whole.
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
            self._make(partial)
        try:
            with self._naming_the_remedy(_DISK_FAILED):
                write(Path(partial))
            with self._naming_the_remedy():
                manifest = describe_files(partial)
                Path(partial, MANIFEST).write_bytes(manifest.text)
                self._publish(partial, trial, attempt)
        except BaseException:
            with contextlib.suppress(OSError):
                self._remove(partial)
            raise
        return Checkpoint(f"{trial}-{attempt}", manifest.size_bytes, manifest.digest)

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
            found = _WHOLE.fullmatch(uri) or _PARTIAL.fullmatch(uri)
            if not found:
                raise CheckpointError(f"{uri!r} is no uri of a checkpoint in {self.root}")
            with self._naming_the_remedy():
                crash_point("unlink.before")
                self._retire(self._place(uri), int(found[1]), int(found[2]))
                crash_point("unlink.after")

    def list(self) -> Iterable[Stored]:
        """Everything there is, partial ones too; the sizes are those on the disk now."""
        for entry in _entries(self.root):
            if not entry.is_dir(follow_symlinks=False):
                continue
            if found := _PARTIAL.fullmatch(entry.name):
                yield self._stored(found, partial=True)
            elif found := _WHOLE.fullmatch(entry.name):
                partial = not os.path.exists(os.path.join(entry.path, MANIFEST))
                yield self._stored(found, partial=partial)

    def free_bytes(self) -> int | None:
        """Space left on the disk, for this user."""
        place = self.root
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def remove_spares(self) -> None:
        """Remove the empty folders that are kept for further checkpoints; at the end of a run."""
        self._spares.remove()

    @property
    def _spares(self) -> Spares:
        return Spares(self._place(".spare"))

    def _place(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _partial(self, trial: int, attempt: int) -> str:
        """A place where nothing ever was."""
        return self._place(f".partial-{trial}-{attempt}-{os.getpid()}-{secrets.token_hex(4)}")

    def _stored(self, found: re.Match[str], *, partial: bool) -> Stored:
        size = folder_bytes(self._place(found[0]))
        return Stored(int(found[1]), int(found[2]), found[0], size, partial)

    def _make(self, partial: str) -> None:
        if not self._spares.take(partial):
            Path(partial).mkdir(parents=True)

    def _publish(self, partial: str, trial: int, attempt: int) -> None:
        place = self._place(f"{trial}-{attempt}")
        crash_point("rename.before")
        try:
            os.rename(partial, place)
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
            self._retire(place, trial, attempt)
            os.rename(partial, place)
        crash_point("rename.after")

    def _retire(self, place: str, trial: int, attempt: int) -> None:
        """Move what is at `place` out of sight in one step, then remove it at leisure."""
        partial = self._partial(trial, attempt)
        with contextlib.suppress(FileNotFoundError):  # gone, or another process removes it
            os.rename(place, partial)
            self._remove(partial)

    def _remove(self, folder: str) -> None:
        """Remove what is in `folder`, and the folder too unless it is kept as a spare."""
        if not stat.S_ISDIR(os.lstat(folder).st_mode):  # put there by a person: a link, maybe
            os.unlink(folder)
            return
        _empty(folder)
        if not self._spares.give(folder):
            os.rmdir(folder)

    @contextmanager
    def _naming_the_remedy(self, only: Set[int] | None = None) -> Iterator[None]:
        """Explain the system's errors: all of them, or those with the numbers in `only`."""
        try:
            yield
        except OSError as error:
            if only is not None and error.errno not in only:
                raise
            where = error.filename2 or error.filename or "while saving"
            raise CheckpointError(
                f"checkpoints cannot be kept in {self.root}: {error.strerror} ({where}). Make it "
                f"a writable folder with space left, then run the same command again"
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


def _empty(folder: str) -> None:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            _empty(entry.path)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
