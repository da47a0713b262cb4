"""A list of records of which the old part may still be packed, to be unpacked when it is asked for.

A reopened study needs the records of its last trials at once and those of its first ones perhaps
never. This file knows nothing of what a record is or how it is packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

CHUNK = 1024
"""Records packed together."""

T = TypeVar("T")


class Rows(Generic[T]):
    """Records by number: `rows[3]`, `rows.append(record)`.

    Args:
        packed: chunks of `CHUNK` records each, packed; they come first.
        tail: the records after them.
        unpack: gives the records of a packed chunk.
    """

    __slots__ = ("_chunks", "_packed", "_tail", "_unpack")

    def __init__(
        self,
        packed: Sequence[bytes] = (),
        tail: Sequence[T] = (),
        unpack: Callable[[bytes], list[T]] | None = None,
    ) -> None:
        self._packed: list[bytes | None] = list(packed)
        self._chunks: list[list[T] | None] = [None] * len(packed)
        self._tail = list(tail)
        self._unpack = unpack

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK + len(self._tail)

    def __getitem__(self, number: int) -> T:
        chunk, row = self._place(number)
        return chunk[row]

    def __setitem__(self, number: int, record: T) -> None:
        chunk, row = self._place(number)
        chunk[row] = record
        if chunk is not self._tail:
            self._packed[number // CHUNK] = None

    def __iter__(self) -> Iterator[T]:
        return (self[number] for number in range(len(self)))

    def append(self, record: T) -> None:
        """Add a record."""
        self._tail.append(record)

    def pack(
        self, pack: Callable[[list[T]], bytes], unpack: Callable[[bytes], list[T]]
    ) -> tuple[list[bytes], list[T]]:
        """All full chunks packed, those that did not change as they were, and the rest."""
        self._unpack = unpack
        while len(self._tail) >= CHUNK:
            self._chunks.append(self._tail[:CHUNK])
            self._packed.append(None)
            del self._tail[:CHUNK]
        packed = []
        for number, chunk in enumerate(self._chunks):
            data = self._packed[number]
            if data is None:
                assert chunk is not None
                data = self._packed[number] = pack(chunk)
            packed.append(data)
        return packed, list(self._tail)

    def _place(self, number: int) -> tuple[list[T], int]:
        row = number - len(self._chunks) * CHUNK
        if row >= 0:
            return self._tail, row
        if number < 0:
            raise IndexError(number)
        index = number // CHUNK
        chunk = self._chunks[index]
        if chunk is None:
            data = self._packed[index]
            assert data is not None
            assert self._unpack is not None
            chunk = self._chunks[index] = self._unpack(data)
        return chunk, number % CHUNK
