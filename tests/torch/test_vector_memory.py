"""Out of memory is told as such, wherever it happens, with the chunk to go on with."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from vector_toys import Played, classifier, loss, mlp, rates

import heredity.torch as ht
from heredity.executors.program import OutOfMemory
from heredity.space import LogUniform, Space
from heredity.torch.vector.shortage import is_out_of_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")

SPACE = Space(lr=LogUniform(0.1, 1.0))
MEMBERS = 64
HUGE = 1 << 50


@contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """So much more memory than there is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + size_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def large(elements: int) -> ht.VectorTrainable:
    """Members that take 4 bytes an element while they train."""

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        return state + hparams["lr"].expand(elements).exp().mean()

    return ht.VectorTrainable.of(lambda h: torch.zeros(()), step, lambda s, h: s)


def opened(chunk: Any) -> Played:
    trainable = large(4 << 20)  # 16 MiB
    return Played(trainable, SPACE.sample_many(MEMBERS, 0), SPACE, chunk=chunk, metric="score")


def test_as_many_train_at_once_as_there_is_room_for() -> None:
    with room(700 << 20):
        population = opened("auto")
        assert 1 < population.program.chunk < MEMBERS
        assert population.play(2).finite.all()


def test_a_chunk_without_room_names_the_next_one_when_the_program_opens() -> None:
    with room(700 << 20):
        with pytest.raises(OutOfMemory, match="cpu has no room for 64 members at once") as caught:
            opened(MEMBERS)
        assert caught.value.chunk == MEMBERS // 2


def test_a_chunk_without_room_names_the_next_one_in_a_round() -> None:
    population = opened(MEMBERS)
    with room(700 << 20), pytest.raises(OutOfMemory, match="64 members at once") as caught:
        population.play(1)
    assert caught.value.chunk == MEMBERS // 2


def test_a_chunk_larger_than_the_population_is_the_population() -> None:
    assert Played(classifier(), rates(3), chunk=8).program.chunk == 3


def huge_model() -> nn.Module:
    return mlp(nn.Linear(8, HUGE // 8))


def huge_loss(model: Any, batch: Any, hparams: Any) -> Any:
    return loss(model, batch, hparams) + torch.ones(HUGE).sum()


@pytest.mark.parametrize("changed", [{"model": huge_model}, {"loss": huge_loss}])
def test_what_no_chunk_has_room_for_names_none(changed: dict[str, Any]) -> None:
    with pytest.raises(OutOfMemory, match="no room for the data and the states") as caught:
        Played(classifier(**changed), rates(2))
    assert caught.value.chunk is None


def test_a_model_without_room_when_a_member_starts_is_out_of_memory() -> None:
    made: list[int] = []

    def model() -> nn.Module:
        made.append(1)
        return mlp() if len(made) < 5 else huge_model()

    population = Played(classifier(model=model), rates(10))
    with pytest.raises(OutOfMemory, match="no room for 10 members at once"):
        population.play(1)


def test_other_errors_are_none() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"))
