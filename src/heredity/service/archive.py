"""Folders as tar streams and back, strictly: plain files with clean relative names, nothing else.

Written by hand rather than with `tarfile`, which follows links, makes devices and reads headers of
any size: here whatever is not a plain file is refused before anything of it is written, and a
stream takes no more memory than one chunk. Any tar reads what `pack` makes (POSIX.1-2001).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from heredity.errors import UsageError

BLOCK = 512
CHUNK_BYTES = 1 << 18

PAX_LIMIT_BYTES = 1 << 14
"""An extended header holds a name and a size."""

PATH_LIMIT_BYTES = 1000
"""The longest path of a file within a checkpoint: systems take 4,096 with the folders above it."""

_OCTAL_LIMIT = 8**11
_MAGIC = b"ustar\x0000"


# Packing -----------------------------------------------------------------------------------


def pack(folder: Path, skip: str | None = None) -> Iterator[bytes]:
    """The files below `folder` as a tar stream, in chunks; all but its top-level file `skip`.

    Nothing else may write there. Empty folders are not part of it.
    """
    for name in sorted(_files(folder)):
        if name != skip:
            yield from _packed(folder / name, name)
    yield bytes(2 * BLOCK)


def _files(folder: Path) -> Iterator[str]:
    for path, _, files in os.walk(folder):
        for file in files:
            yield os.path.relpath(os.path.join(path, file), folder)


def _packed(path: Path, name: str) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        yield _headers(name, size)
        left = size
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
        if left:
            raise UsageError(f"{path} became shorter while it was read")
        yield bytes(-size % BLOCK)


def _headers(name: str, size: int) -> bytes:
    """The file's header, after an extended one if its name or size fit no plain header."""
    text = name.encode()
    if len(text) < 100 and text.isascii() and size < _OCTAL_LIMIT:
        return _header(text, size, b"0")
    records = _record("path", text) + _record("size", b"%d" % size)
    extended = _header(b"pax", len(records), b"x") + records + bytes(-len(records) % BLOCK)
    return extended + _header(b"see-path-above", min(size, _OCTAL_LIMIT - 1), b"0")


def _record(key: str, value: bytes) -> bytes:
    """A pax record: its own length in decimal, then key=value."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    size = len(rest)
    while len(str(size)) + len(rest) != size:
        size = len(str(size)) + len(rest)
    return str(size).encode() + rest


def _header(name: bytes, size: int, kind: bytes) -> bytes:
    fields = (
        name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11
    )
    start = fields + b"\0"
    end = kind + bytes(100) + _MAGIC + bytes(64) + b"0000000\0" * 2 + bytes(167)
    checksum = sum(start) + sum(end) + 8 * ord(" ")
    return start + b"%06o\0 " % checksum + end


# Unpacking ---------------------------------------------------------------------------------


def unpack(chunks: Iterable[bytes], folder: Path, limit_bytes: int) -> None:
    """Write the files of a tar stream into the empty `folder`.

    Raises `UsageError` for anything but plain files with clean relative names, each once; for a
    stream that is cut short or damaged; and for one of more than `limit_bytes`, once it is.
    """
    stream = _Stream(chunks, limit_bytes)
    extended: Mapping[str, bytes] = {}
    while (header := stream.read(BLOCK)) != bytes(BLOCK):
        kind, size = _checked(header), _number(header[124:136])
        if kind == b"x" and not extended:
            extended = _records(stream.read_padded(size, PAX_LIMIT_BYTES))
        elif kind in (b"0", b"\0"):
            name = extended.get("path", header[:100].partition(b"\0")[0])
            if not extended and (prefix := header[345:500].partition(b"\0")[0]):
                name = prefix + b"/" + name
            size = _decimal(extended.get("size", b"%d" % size))
            _write(stream, folder / _clean(name), size)
            extended = {}
        else:
            raise UsageError(
                f"{_shown(header[:100])} is not a plain file: a checkpoint has no other"
            )
    stream.drain()


class _Stream:
    """Exact reads from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes], limit_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._limit_bytes = limit_bytes
        self._seen_bytes = 0
        self._rest = memoryview(b"")

    def some(self, limit: int) -> memoryview:
        """At least one byte and at most `limit`. `UsageError` at the end."""
        while not self._rest:
            self._rest = memoryview(self._next())
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        return piece

    def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            data += self.some(size - len(data))
        return bytes(data)

    def read_padded(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise UsageError(f"the archive has a header of {size:,} bytes; {limit:,} are enough")
        return self.read(size + -size % BLOCK)[:size]

    def drain(self) -> None:
        """Read what follows the end, which tar fills with zeros."""
        for chunk in self._chunks:
            self._count(chunk)

    def _next(self) -> bytes:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise UsageError("the archive ends too early: send it again")
        self._count(chunk)
        return chunk

    def _count(self, chunk: bytes) -> None:
        self._seen_bytes += len(chunk)
        if self._seen_bytes > self._limit_bytes:
            raise UsageError(f"the archive is larger than {self._limit_bytes:,} bytes")


def _write(stream: _Stream, path: Path, size: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"the archive names {path.name!r} twice") from None
    with file:
        left = size
        while left:
            piece = stream.some(left)
            file.write(piece)
            left -= len(piece)
    stream.read(-size % BLOCK)


def _checked(header: bytes) -> bytes:
    """The header's kind. `UsageError` if it is no header, by its checksum."""
    total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    if header[257:262] != _MAGIC[:5] or _number(header[148:156]) != total:
        raise UsageError("this is no tar archive, or it is damaged")
    return header[156:157]


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    if text and not (text.isdigit() and max(text) <= ord("7")):
        raise UsageError(f"the archive has {text!r} where a number should be")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise UsageError(f"the archive has {text[:20]!r} where a size should be")
    return int(text)


def _records(data: bytes) -> dict[str, bytes]:
    """The extended header's records; only a path and a size mean anything here."""
    found = {}
    while data:
        length = _decimal(data.partition(b" ")[0])
        record, data = data[:length], data[length:]
        key, equals, value = record.partition(b" ")[2].partition(b"=")
        if len(record) != length or not equals or not value.endswith(b"\n"):
            raise UsageError("the archive has a damaged extended header")
        if key in (b"path", b"size"):
            found[key.decode()] = value[:-1]
    return found


def _clean(name: bytes) -> str:
    """The name if it is relative and stays where it is. `UsageError` otherwise."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the archive has a name that is not UTF-8: {_shown(name)}") from None
    if len(name) > PATH_LIMIT_BYTES:
        raise UsageError(
            f"the archive has a path of {len(name):,} bytes, {_shown(name)} …: "
            f"{PATH_LIMIT_BYTES:,} are enough"
        )
    parts = text.split("/")
    if "\0" in text or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts):
        raise UsageError(
            f"the archive has a file {_shown(name)}: names are relative, without '.' or '..'"
        )
    return text


def _shown(name: bytes) -> str:
    return repr(name.rstrip(b"\0")[:100].decode(errors="replace"))
