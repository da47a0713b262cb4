"""The manifest of a folder: the size and SHA-256 of every file in it, as JSON.

A manifest's own SHA-256 stands for the whole folder: it is the digest that the log keeps. This file
knows folders and nothing of trials.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heredity.errors import CheckpointCorrupt, CheckpointError

MANIFEST = "manifest.json"
FORMAT = 1
"""Written in every manifest. A reader opens every format up to its own."""

_CHUNK_BYTES = 1 << 18

_REMEDY = "The trial must be trained again, or the folder restored from a copy"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it will be written, the size of the folder with it, and its digest."""

    text: bytes
    size_bytes: int
    digest: str


def describe_files(folder: Path | str) -> Manifest:
    """The manifest of the files below `folder`; `CheckpointError` for what is not a plain file."""
    files = {}
    total_bytes = 0
    for name, entry in sorted(_walk(folder)):
        if name == MANIFEST:
            raise CheckpointError(
                f"save() wrote a file {MANIFEST!r}, the name of the checkpoint's own; rename yours"
            )
        if not entry.is_file(follow_symlinks=False):
            kind = "a symbolic link" if entry.is_symlink() else "not a plain file"
            raise CheckpointError(
                f"save() wrote {name!r}, which is {kind}: a checkpoint holds plain files and "
                f"folders only. Copy the content instead"
            )
        size_bytes, sha256 = _measure(entry.path)
        files[name] = {"size_bytes": size_bytes, "sha256": sha256}
        total_bytes += size_bytes
    text = json.dumps({"format": FORMAT, "files": files}).encode()
    return Manifest(text, total_bytes + len(text), hashlib.sha256(text).hexdigest())


def verify(folder: Path, digest: str) -> None:
    """`CheckpointCorrupt` unless `folder` holds the files of the manifest with this digest.

    `OSError` where a file is not there or cannot be read.
    """
    text = (folder / MANIFEST).read_bytes()
    if hashlib.sha256(text).hexdigest() != digest:
        raise CheckpointCorrupt(f"{folder / MANIFEST} is not the one that was saved. {_REMEDY}")
    manifest = json.loads(text)
    if manifest["format"] > FORMAT:
        raise CheckpointError(
            f"{folder} was written by a newer heredity, in format {manifest['format']}; this one "
            f"reads formats up to {FORMAT}. Upgrade it: pip install --upgrade heredity"
        )
    for name, saved in manifest["files"].items():
        _verify_file(os.path.join(folder, name), saved["size_bytes"], saved["sha256"])


def folder_bytes(folder: Path | str) -> int:
    """The size of the files below `folder`, of those that do not vanish meanwhile."""
    total = 0
    for _, entry in _walk(folder, vanishing=True):
        try:
            total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def _verify_file(path: str, size_bytes: int, sha256: str) -> None:
    seen, digest = _measure(path)
    if seen != size_bytes:
        raise CheckpointCorrupt(f"{path} has {seen} bytes; {size_bytes} were saved. {_REMEDY}")
    if digest != sha256:
        raise CheckpointCorrupt(
            f"{path} has the right size but not the bytes that were saved (SHA-256). {_REMEDY}"
        )


def _measure(path: str) -> tuple[int, str]:
    """The file's size in bytes and its SHA-256, in one pass over what it holds."""
    size_bytes, digest = 0, hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            digest.update(chunk)
    return size_bytes, digest.hexdigest()


def _walk(
    folder: Path | str, prefix: str = "", *, vanishing: bool = False
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below `folder` that is not a folder, with its path relative to it."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        if vanishing:
            return
        raise
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/", vanishing=vanishing)
            else:
                yield f"{prefix}{entry.name}", entry
