"""Members start from what the study's seed gives, whichever generator their maker draws from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from vector_toys import RATES, Played, classifier, mlp, rates, same

import heredity.torch as ht
from heredity.evolution.trial import Trial
from heredity.executors.program import Setting
from heredity.space import LogUniform, Space
from heredity.trainables.session import Session


class Drawn(nn.Module):
    """Its weights are of NumPy's, of Python's and of torch's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.numpy = nn.Parameter(torch.tensor(np.random.randn(3)))
        self.python = nn.Parameter(torch.tensor([random.random() for _ in range(3)]))
        self.torch = nn.Parameter(torch.randn(3))
        self.net = mlp()

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x) + self.numpy + self.python + self.torch


def started(seed: int = 0, **changed: Any) -> dict[str, torch.Tensor]:
    population = Played(classifier(**changed), rates(3), seed=seed)
    population.play(0)
    return population.states()


def unseeded() -> None:
    random.seed()
    np.random.seed()
    torch.seed()


def test_members_start_alike_in_every_run_and_each_from_weights_of_its_own() -> None:
    unseeded()
    one = started(model=Drawn)
    unseeded()
    other = started(model=Drawn)
    assert same(one, other)
    for name in ("numpy", "python", "torch"):
        drawn = [tuple(row.tolist()) for row in one[f"params/{name}"]]
        assert len(set(drawn)) == 3
        assert not torch.equal(one[f"params/{name}"], started(1, model=Drawn)[f"params/{name}"])


def test_the_general_form_starts_alike_too() -> None:
    def start() -> dict[str, torch.Tensor]:
        unseeded()
        trainable = ht.VectorTrainable.of(
            lambda h: torch.tensor([np.random.rand(), random.random()]),
            lambda s, h, b: s * h["lr"],
            lambda s, h: s.sum(),
        )
        population = Played(trainable, [{"lr": 0.5}] * 2, Space(lr=LogUniform(0.1, 1.0)))
        population.play(0)
        return population.states()

    assert same(start(), start())


def test_the_callers_generators_stay_as_they_are() -> None:
    def after(work: Any) -> tuple[Any, ...]:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        work()
        return random.random(), np.random.rand(), torch.rand(()).item()

    population = Played(classifier(model=Drawn), rates(2))

    def work() -> None:
        started(model=Drawn)
        population.play(0)
        population.members()

    assert after(work) == after(lambda: None)


def test_a_single_member_starts_as_in_the_population(tmp_path: Path) -> None:
    population = Played(classifier(model=Drawn), rates(2))
    population.play(0)
    unseeded()
    member = classifier(model=Drawn).single(Setting(RATES, 2, 10, "accuracy", 0))()
    member.prepare()
    hparams = rates(2)[1]
    trial = Trial(id=0, seed=3, member=1, turn=0, start=0, stop=0, hparams=hparams)
    save = tmp_path / "save"
    save.mkdir()
    member.run(Session(trial, metric="accuracy", save=save))
    alone = classifier(model=Drawn).program().member(save, 0, hparams, RATES)
    for name, weight in alone.named_parameters():
        assert torch.equal(weight, population.states()[f"params/{name}"][1])
