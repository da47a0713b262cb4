"""The folded state as bytes and back: a cache that spares a long log's folding.

A snapshot may be dropped at any time, and one of another format is no snapshot. It holds JSON and
plain arrays, nothing that could run. Records of old trials stay packed until they are asked for.
"""

from __future__ import annotations

import io
import json
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from heredity.describe import describe, rebuild
from heredity.evolution import events as ev
from heredity.evolution.columns import Column
from heredity.evolution.population import Population
from heredity.evolution.rows import Rows
from heredity.evolution.state import Confirmation, Injection
from heredity.evolution.trial import Checkpoint
from heredity.stores import codec

FORMAT = 1
"""Raised whenever the fold or this file changes what a snapshot holds."""

RECORDS = ("proposed", "outcomes")
"""The fields that are rows of records."""

PLAIN: dict[str, Any] = {
    "status": str | None,
    "reason": str,
    "stopped": bool,
    "definition": dict[str, Any],
    "code": dict[str, str],
    "bounds": dict[str, tuple[float, float]],
    "lanes": int,
    "names": tuple[str, ...],
    "average": int,
    "workers": list[str],
    "statuses": list[str],
    "attempts": list[int],
    "open": dict[int, int],
    "waiting": deque[int],
    "errors": dict[int, int],
    "measured": dict[int, list[ev.TrialMeasured]],
    "stops": set[int],
    "pins": set[int],
    "injections": deque[Injection],
    "injected": int,
    "held": set[int],
    "evaluated": set[int],
    "confirmed": dict[int, Confirmation],
    "ended_count": int,
    "exploits": int,
    "diverged": int,
    "failures": int,
    "failures_in_a_row": list[ev.TrialFailed],
    "bytes_kept": int,
    "peak": int | None,
    "vectorized": bool,
    "blocks": dict[int, Checkpoint],
    "chunk": int | None,
    "seq": int,
}
"""The fields that are neither columns, arrays nor records, and their types."""

# What remains are `budget` and the numpy fields: arrays by lane, and columns by trial.


def dump(population: Population) -> bytes:
    """The state as bytes. Records that were packed before are not packed again."""
    arrays = {}
    for name, value in vars(population).items():
        if isinstance(value, Column):
            arrays[name] = value.values
        elif isinstance(value, np.ndarray):
            arrays[name] = value
    head = {
        "format": FORMAT,
        "plain": {n: _adapter(n).dump_python(getattr(population, n), mode="json") for n in PLAIN},
        "budget": describe(population.budget),
        "fills": {n: v.fill for n, v in vars(population).items() if isinstance(v, Column)},
    }
    parts = [json.dumps(head).encode()]
    for name in RECORDS:
        packed, tail = getattr(population, name).pack(_pack, _unpack)
        parts += [str(len(packed)).encode(), *packed, _pack(tail)]
    with io.BytesIO() as file:
        np.savez(file, allow_pickle=False, **arrays)
        parts.append(file.getvalue())
    body = _joined(parts)
    return _sum(body) + body


def load(data: bytes) -> Population | None:
    """The state that was dumped, or None if another version dumped it or the bytes are damaged."""
    body = data[4:]
    if data[:4] != _sum(body):
        return None
    parts = _split(body)
    head = json.loads(next(parts))
    if head["format"] != FORMAT or head["plain"].keys() != PLAIN.keys():
        return None
    population = Population()
    for name, value in head["plain"].items():
        setattr(population, name, _adapter(name).validate_python(value))
    population.budget = rebuild(head["budget"])
    for name in RECORDS:
        packed = [next(parts) for _ in range(int(next(parts)))]
        setattr(population, name, Rows(packed, _unpack(next(parts)), _unpack))
    with np.load(io.BytesIO(next(parts)), allow_pickle=False) as arrays:
        for name in arrays:
            fill = head["fills"].get(name)
            array = arrays[name]
            setattr(population, name, Column.of(array, fill) if name in head["fills"] else array)
    return population


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(PLAIN[name])


def _pack(records: Sequence[ev.Event | None]) -> bytes:
    rows = [None if record is None else codec.encode(record) for record in records]
    return zlib.compress(json.dumps(rows).encode(), level=1)


def _unpack(data: bytes) -> list[Any]:
    rows = json.loads(zlib.decompress(data))
    records = iter(codec.decode((row for row in rows if row is not None), first=1))
    return [None if row is None else next(records) for row in rows]


def _sum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big")


def _joined(parts: Sequence[bytes]) -> bytes:
    lengths = json.dumps([len(part) for part in parts]).encode()
    return b"%d\n" % len(lengths) + lengths + b"".join(parts)


def _split(data: bytes) -> Iterator[bytes]:
    size, _, _ = data[:20].partition(b"\n")
    at = len(size) + 1
    lengths = json.loads(data[at : at + int(size)])
    at += int(size)
    for length in lengths:
        yield data[at : at + length]
        at += length
