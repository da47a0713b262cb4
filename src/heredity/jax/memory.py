"""How many rows train at once: as many as the compiler says the device has room for.

On a CPU, room is half of its largest cache if that holds a few rows: a population that streams
through memory at every step trains at half the speed, or less. Knows programs by their size only.
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

CACHE_FRACTION = 0.5
"""Of a CPU's largest cache that a chunk's states and activations may take; the rest is the data's,
and other processes'."""

USUAL_CACHE_BYTES = 16 << 20
"""Where the system does not tell."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
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


def cached_chunk(program: Program, chunk: int, rows: int, cache_bytes: int | None) -> int:
    """The largest smaller chunk that a CPU's cache holds; `chunk` if it is held, or if there is
    none that makes good use of the cache: of two rows or more, and of a fourth of it.

    Args:
        program: of `chunk` rows at once out of `rows`, whose states are donated.
        cache_bytes: of which a chunk may take its share; None on other devices.
    """
    memory = program.compiled.memory_analysis()
    if cache_bytes is None or memory is None:
        return chunk
    states = 2 * memory.alias_size_in_bytes / rows  # in the population's memory, and at work
    held = CACHE_FRACTION * cache_bytes / (states + memory.temp_size_in_bytes / chunk)
    if chunk <= held:
        return chunk
    fitting = (d for d in divisors(rows) if max(2, held / 4) <= d <= held)
    return next(fitting, chunk)


def equal_chunks(chunk: Any, rows: int) -> int:
    """The largest divisor of a device's rows up to a chunk that was chosen, perhaps for another
    number of devices: all chunks are equal."""
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise UsageError(f'chunk is "auto" or a number of members, at least 1; got {chunk!r}')
    return next(d for d in divisors(rows) if d <= chunk)


def limit_bytes(device: Any) -> int | None:
    """What programs may take of a device's memory; None if it does not tell."""
    if device.platform == "cpu":
        return int(_host_bytes() * FRACTION)
    statistics = device.memory_stats() or {}
    total = statistics.get("bytes_limit")
    return None if total is None else int(total * FRACTION)


def cache_bytes(device: Any) -> int | None:
    """The size of a CPU's largest cache; None for other devices."""
    if device.platform != "cpu":
        return None
    sizes = [_size_bytes(path.read_text()) for path in _CACHES.glob("index*/size")]
    return max(sizes, default=USUAL_CACHE_BYTES)


def _size_bytes(text: str) -> int:
    """Of what Linux says of a cache, such as `32768K`."""
    units = {"K": 10, "M": 20, "G": 30}
    text = text.strip()
    return int(text.rstrip("KMG")) << units.get(text[-1:], 0)


def _host_bytes() -> int:
    """The machine's memory, or what this process's container may use of it."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return installed


@contextmanager
def reporting(chunk: int | None, rows: int) -> Iterator[None]:
    """Raise `OutOfMemory` for what JAX says when a device is full.

    `chunk` is None where the chunk does not matter, while the data are brought to the device.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        if chunk is None:
            text = "the device has no room for the data: keep less of it there, or use stream(…)"
            raise OutOfMemory(text, None) from error
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
