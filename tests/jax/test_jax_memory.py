"""As many members train at once as have room; running out is said with what to do."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from populations import DESCENT, opened, played, round_of, setting

from heredity.errors import HeredityError
from heredity.executors.program import OutOfMemory
from heredity.jax import VectorTrainable, memory
from heredity.jax.memory import cached_chunk, largest_chunk, reporting


@dataclass
class Sized:
    """A program that takes memory in proportion to its chunk, and what all rows take."""

    chunk: int
    fixed: int = 1000

    @property
    def size_bytes(self) -> int:
        return self.fixed + 10 * self.chunk

    @property
    def compiled(self) -> Any:
        return self

    def memory_analysis(self) -> Any:
        return self

    @property
    def temp_size_in_bytes(self) -> int:
        return 10 * self.chunk

    @property
    def alias_size_in_bytes(self) -> int:
        return 12 * 5  # twelve rows of 5, of which every chunk works on copies


@pytest.mark.parametrize(
    ("room", "chunk", "compiled"),
    [(None, 12, [12]), (2000, 12, [12]), (1070, 6, [12, 6]), (1045, 4, [12, 4]), (9, 1, [12, 1])],
)
def test_the_largest_divisor_that_fits_is_taken(
    room: int | None, chunk: int, compiled: list[int]
) -> None:
    tried: list[int] = []

    def compile(chunk: int) -> Any:
        tried.append(chunk)
        return Sized(chunk)

    found, program = largest_chunk(compile, 12, room)
    assert (found, program.chunk) == (chunk, chunk)
    assert tried == compiled  # what cannot fit is not even compiled


@pytest.mark.parametrize(
    ("cache", "chunk"),
    [(None, 12), (480, 12), (479, 6), (160, 4), (80, 2), (79, 12), (0, 12)],
    ids=["no CPU", "all", "half", "a third", "two", "one is too few", "none"],
)
def test_a_chunk_takes_half_of_the_cache(cache: int | None, chunk: int) -> None:
    assert cached_chunk(Sized(12), 12, 12, cache) == chunk  # type: ignore[arg-type]


def test_no_chunk_makes_poor_use_of_the_cache() -> None:
    program: Any = Sized(26)
    needed = 2 * 12 * 5 / 26 + 10  # of one row
    assert cached_chunk(program, 26, 26, int(2 * 14 * needed)) == 13
    assert cached_chunk(program, 26, 26, int(2 * 12.5 * needed)) == 26  # 2 is the next divisor


def test_a_cpu_trains_in_chunks_that_its_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    given = setting(population=8)
    whole = opened(DESCENT, given)
    assert whole.chunk == 8
    size = whole._program(3).compiled.memory_analysis()
    needed = 2 * size.alias_size_in_bytes + size.temp_size_in_bytes
    monkeypatch.setattr(memory, "cache_bytes", lambda device: 0.7 * needed / memory.CACHE_FRACTION)
    program = opened(DESCENT, given)
    assert program.chunk == 4
    scores = [played(p, round_of(given, 0)).metrics["score"] for p in (whole, program)]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_the_system_says_how_large_the_cache_is(tmp_path: Path, monkeypatch: Any) -> None:
    device = jax.devices("cpu")[0]
    monkeypatch.setattr(memory, "_CACHES", tmp_path)
    assert memory.cache_bytes(device) == memory.USUAL_CACHE_BYTES
    for number, size in enumerate(["48K", "1024K", "32M"]):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert memory.cache_bytes(device) == 32 << 20
    gpu: Any = SimpleNamespace(platform="gpu")
    assert memory.cache_bytes(gpu) is None


def test_a_population_that_does_not_fit_trains_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's own figures: activations of one member are large, its state is small."""

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        large = jax.random.normal(key, (50_000,)).sort()
        return state * hparams["lr"] + hparams["decay"] + large[0]

    functions = VectorTrainable(lambda k, h: jnp.zeros(3), step, lambda s, h, k: s.sum())
    given = setting(population=4)
    whole = opened(functions, given)
    assert whole.chunk == 4
    room = (whole._program(3).size_bytes or 0) * 0.7
    monkeypatch.setattr(memory, "limit_bytes", lambda device: room)
    program = opened(functions, given)
    assert program.chunk == 2
    assert (program._program(3).size_bytes or 0) <= room
    assert played(program, round_of(given, 0)).finite.all()


def test_running_out_of_memory_names_the_chunk_to_go_on_with() -> None:
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
    words = r"with 6 of its 12 members .* \(chunk=3\)"
    with pytest.raises(OutOfMemory, match=words) as caught, reporting(6, 12):
        raise full
    assert caught.value.chunk == 3
    with pytest.raises(OutOfMemory, match="smaller model") as caught, reporting(1, 12):
        raise full
    assert caught.value.chunk is None
    assert isinstance(caught.value, HeredityError)


def test_other_failures_of_the_device_pass() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), reporting(4, 4):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")


def test_the_host_says_how_much_memory_it_has(tmp_path: Any, monkeypatch: Any) -> None:
    device = jax.devices("cpu")[0]
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", tmp_path / "none")
    installed = memory.limit_bytes(device)
    assert installed is not None
    assert installed > 10**8
    (tmp_path / "max").write_text("1000000\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", tmp_path / "max")
    assert memory.limit_bytes(device) == 900_000
    (tmp_path / "max").write_text("max\n")
    assert memory.limit_bytes(device) == installed
