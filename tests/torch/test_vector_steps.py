"""Steps traced, compiled or recorded are the user's own; and whole studies of vector trainables."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vector_toys import RATES, Played, X, Y, accuracy, classifier, loss, mlp, rates

import heredity as hd
import heredity.torch as ht
from heredity.errors import UsageError
from heredity.executors.program import OutOfMemory
from heredity.torch.vector.steps import Recorded

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
with_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")


def noisy(device: str = "cpu", **more: Any) -> ht.VectorTrainable:
    x, y = X.to(device), Y.to(device)
    return classifier(
        model=lambda: mlp(nn.Dropout(0.3), nn.BatchNorm1d(8)),
        data=ht.batches((x, y), 16),
        evaluate=lambda model, hparams: (model(x).argmax(1) == y).double().mean(),
        **more,
    )


def played(trainable: ht.VectorTrainable, chunk: Any = "auto") -> Played:
    """Three rounds with take-overs, a ramp and a fresh start."""
    population = Played(trainable, rates(3), chunk=chunk)
    population.play(4)
    ramp_from = {"lr": np.full(3, 1e-3), "momentum": np.full(3, 0.1)}
    population.play(4, [0, 2, 2], ramp_from=ramp_from, ramp_steps=np.array([0, 2, 4]))
    population.play(4, [0, -1, 1])
    return population


def assert_agree(one: Played, other: Played) -> None:
    expected = one.states()
    for path, leaf in other.states().items():
        torch.testing.assert_close(leaf, expected[path], rtol=1e-9, atol=1e-12)


def test_a_step_is_traced_once_whatever_the_hparams_and_rounds() -> None:
    calls = []

    def counted(model: Any, batch: Any, hparams: Any) -> Any:
        calls.append(1)
        return loss(model, batch, hparams)

    population = Played(classifier(loss=counted), rates(3), chunk=2)
    opened = len(calls)
    population.play(5)
    population.hparams = rates(3, seed=1)
    population.play(5, [1, 1, 0])
    assert len(calls) == opened


@with_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
def test_a_compiled_step_is_the_same_step() -> None:
    assert_agree(played(noisy()), played(noisy(compile=True)))


def test_what_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        def call(*inputs: Any) -> Any:
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UsageError, match=r"no compiler here.*leave out compile=True"):
        Played(noisy(compile=True), rates(2))


def test_a_full_device_is_told_with_a_smaller_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    population = Played(noisy(), rates(3))

    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(population.program._steps[0], "step", full)
    with pytest.raises(OutOfMemory, match="no room for 3 members at once") as caught:
        population.play(1)
    assert caught.value.chunk == 1


@on_gpu
@pytest.mark.parametrize("chunk", ["auto", 2])
def test_a_gpu_replays_a_recorded_step_with_the_same_result(chunk: Any) -> None:
    recorded = played(noisy("cuda"), chunk)
    assert all(isinstance(steps, Recorded) for steps in recorded.program._steps)
    assert_agree(played(noisy()), recorded)


@on_gpu
def test_a_take_over_needs_little_memory() -> None:
    population = Played(noisy("cuda"), rates(64))
    population.play(1)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    population.play(0, [*range(60), *range(4)])
    size = sum(leaf.numel() * leaf.element_size() for leaf in population.states().values())
    assert torch.cuda.max_memory_allocated() - before < (4 / 64 + 0.05) * size + 2**20


# Studies -------------------------------------------------------------------------------


def study(trainable: Any, name: str, storage: Any, steps: int = 60) -> hd.Study:
    return hd.Study(
        trainable,
        RATES,
        objective=hd.maximize("accuracy"),
        population=8,
        interval=10,
        budget=hd.Steps(steps),
        name=name,
        storage=storage,
        seed=0,
    )


def test_a_study_trains_a_population_and_gives_its_best_module(tmp_path: Path) -> None:
    result = study(noisy(), "vectors", tmp_path).run(live="off")
    assert result.best.score > 0.8
    member = result.best.load()
    assert isinstance(member, nn.Module)
    with torch.no_grad():
        assert float(accuracy(member, {})) == result.best.score
