"""Folders for a worker's own files: one that nobody else may write to, and in it, or where a person
said, one for each run, which is removed also after a run that was killed. It knows no service."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heredity.errors import UsageError
from heredity.stores.database import Held
from heredity.stores.lockfile import hold

PREFIX = "scratch-"


def private_folder(name: str) -> Path:
    """The folder `<name>-<user>` among the temporary files, made if need be.

    `UsageError` if it is not this user's alone: anybody may make a folder of any name there, and
    what is written to it would go wherever its owner likes.
    """
    folder = Path(tempfile.gettempdir()) / f"{name}-{os.geteuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UsageError(
            f"{folder} is not a folder of yours alone (mode {stat.filemode(found.st_mode)}, owner "
            f"{found.st_uid}), and files there could be led astray: remove it, or set TMPDIR to a "
            f"folder of your own"
        )
    return folder


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, which is made if need be; removed at the end of the block.

    Those of blocks whose process was killed are removed first: a lock tells, which ends with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    place = folder / f"{PREFIX}{secrets.token_hex(8)}"
    with hold(_lock_of(place)):
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what this user's runs left: a folder, its lock, or both."""
    for place in {path.with_suffix("") for path in folder.glob(f"{PREFIX}*") if _is_mine(path)}:
        with suppress(Held), hold(_lock_of(place)):
            shutil.rmtree(place, ignore_errors=True)


def _is_mine(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:  # its run has just ended
        return False


def _lock_of(place: Path) -> Path:
    return place.with_suffix(".lock")
