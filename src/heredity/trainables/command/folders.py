"""The files of a checkpoint, given to a program and taken from it.

Programs resume from the folder they write to, point links at their newest file, and write where
they should only read. None of this may alter the parent, from which others inherit. This file knows
folders; it runs nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heredity.errors import TrainingError

MANIFEST = "manifest.json"
"""The checkpoint's own file, which is none of the program's."""

_CHUNK_BYTES = 1 << 30


def copy_files(source: Path, target: Path) -> None:
    """Copy what was saved in `source` into `target`; nothing done to the copy shows in `source`.

    Hard links would: a program that appends to a file, or writes into it, would alter both. Where
    the file system can (Btrfs, XFS), the copies share their blocks until one is written to.
    """
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, copy_function=_copy)
        elif entry.name != MANIFEST:
            _copy(entry, target / entry.name)


def _copy(source: str | Path, target: str | Path) -> None:
    with open(source, "rb") as there, open(target, "wb") as here:
        if not _copied_by_the_system(there.fileno(), here.fileno()):
            there.seek(0)
            here.truncate(0)
            shutil.copyfileobj(there, here)
    shutil.copystat(source, target)


def _copied_by_the_system(source: int, target: int) -> bool:
    """Whether the system could copy the file by itself, which it does with shared blocks."""
    if not hasattr(os, "copy_file_range"):
        return False
    size_bytes = os.fstat(source).st_size
    try:
        while os.lseek(target, 0, os.SEEK_CUR) < size_bytes:
            if not os.copy_file_range(source, target, _CHUNK_BYTES):
                return False
    except OSError:  # not on this file system
        return False
    return True


@contextmanager
def unaltered(folder: Path | None) -> Iterator[None]:
    """Raise `TrainingError` if a file in `folder` was changed meanwhile."""
    before = signatures(folder)
    yield
    if folder is not None and (after := signatures(folder)) != before:
        changed = sorted(name for name, _ in before.items() ^ after.items())
        raise TrainingError(
            f"the program changed {changed[0]!r} in the folder {{restore}}, from which others "
            "inherit too. If it resumes from the folder it writes to, set seed_save_folder=True "
            "and let it do so in {save}"
        )


def signatures(folder: Path | None) -> dict[str, tuple[int, int, int]]:
    """Size, time and identity of every file: what differs once it is written to."""
    found = {}
    for path in folder.rglob("*") if folder else ():
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder or path))] = (
                status.st_size,
                status.st_mtime_ns,
                status.st_ino,
            )
    return found


def _plain(path: Path) -> bool:
    return not path.is_symlink() and (path.is_file() or path.is_dir())


def _replaced(link: Path, inside: Path) -> bool:
    """Whether the link became a copy: not if it leads outside or nowhere, or to a folder that has
    more in it than plain files, such as this very link."""
    found = Path(os.path.realpath(link))
    if inside not in found.parents or not all(map(_plain, [found, *found.rglob("*")])):
        return False
    link.unlink()
    if found.is_dir():
        shutil.copytree(found, link, copy_function=_copy)
    else:
        _copy(found, link)
    return True


def tidy(save: Path, restore: Path | None) -> None:
    """Make what a program saved fit to be a checkpoint, which holds plain files only.

    Links that lead to files and folders in the folder become copies of these (`last.ckpt` is often
    one), and the parent's manifest goes if it was copied along.
    """
    links, inside = [path for path in sorted(save.rglob("*")) if path.is_symlink()], save.resolve()
    while left := [link for link in links if not _replaced(link, inside)]:
        if left == links:
            break
        links = left  # a folder can be copied once the links in it have been
    own = save / MANIFEST
    if restore is not None and own.is_file():
        with contextlib.suppress(OSError):
            if own.read_bytes() == (restore / MANIFEST).read_bytes():
                own.unlink()
