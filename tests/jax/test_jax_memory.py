"""As many members train at once as have room; running out is said with what to do."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from populations import opened, played, round_of, setting

from heredity.errors import HeredityError
from heredity.executors.program import OutOfMemory
from heredity.jax import VectorTrainable, memory
from heredity.jax.memory import largest_chunk, reporting


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
