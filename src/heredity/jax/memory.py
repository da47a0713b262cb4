"""How many rows train at once: as many as the compiler says the device has room for.

Knows programs by their size only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from heredity.errors import UsageError
from heredity.executors.program import OutOfMemory
from heredity.jax.placement import Program, divisors

FRACTION = 0.9
"""Of a device's memory that programs may plan for; the rest is the allocator's."""

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def largest_chunk(
    compile: Callable[[int], Program], rows: int, limit_bytes: int | None
) -> tuple[int, Program]:
    """The largest divisor of `rows` whose program fits, and that program.

    A program that is too large tells how much larger than its room: what does not fit by that
    measure is not compiled at all.
    """
    program = compile(rows)
    for chunk in divisors(rows):
        if chunk < rows:
            if not _may_fit(program, rows, chunk, limit_bytes):
                continue
            program = compile(chunk)
        if limit_bytes is None or program.size_bytes is None:
            return chunk, program
        if program.size_bytes <= limit_bytes:
            return chunk, program
        rows = chunk
    return 1, program


def _may_fit(program: Program, rows: int, chunk: int, limit_bytes: int | None) -> bool:
    """Whether temporary memory in proportion to the chunk could fit."""
    if limit_bytes is None or chunk == 1:
        return True
    memory = program.compiled.memory_analysis()
    temporary = memory.temp_size_in_bytes
    fixed = (program.size_bytes or 0) - temporary
    return bool(fixed + temporary * chunk / rows <= limit_bytes)


def checked_chunk(chunk: Any, rows: int) -> int:
    """A chunk that a user chose; `UsageError` unless it divides the rows of a device."""
    whole = isinstance(chunk, int) and not isinstance(chunk, bool) and chunk >= 1
    if not whole or rows % chunk:
        listed = ", ".join(map(str, divisors(rows)))
        raise UsageError(
            f'chunk is "auto" or a divisor of the {rows} members on a device ({listed}), so that '
            f"all chunks are equal; got {chunk!r}"
        )
    return int(chunk)


def limit_bytes(device: Any) -> int | None:
    """What programs may take of a device's memory; None if it does not tell."""
    if device.platform == "cpu":
        return int(_host_bytes() * FRACTION)
    statistics = device.memory_stats() or {}
    total = statistics.get("bytes_limit")
    return None if total is None else int(total * FRACTION)


def _host_bytes() -> int:
    """The machine's memory, or what this process's container may use of it."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return installed


@contextmanager
def reporting(chunk: int, rows: int) -> Iterator[None]:
    """Raise `OutOfMemory` for what JAX says when a device is full."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        smaller = next((d for d in divisors(rows) if d <= chunk // 2), None)
        remedy = (
            f"train {smaller} at once instead (chunk={smaller})"
            if smaller
            else "train a smaller model or population, or on more devices"
        )
        raise OutOfMemory(
            f"the device ran out of memory with {chunk} of its {rows} members training at once: "
            f"{remedy}",
            smaller,
        ) from error
