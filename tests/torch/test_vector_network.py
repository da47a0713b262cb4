"""Modules train as they would alone: statistics, dropout, frozen and shared parts, recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout
from vector_toys import (
    CLASSES,
    FEATURES,
    Played,
    X,
    Y,
    accuracy,
    classifier,
    loss,
    mlp,
    rates,
)

import heredity.torch as ht
from heredity.errors import UsageError
from heredity.space import Space, Uniform


def test_running_statistics_are_each_members_own() -> None:
    population = Played(classifier(model=lambda: mlp(nn.BatchNorm1d(8))), rates(2))
    population.play(0)
    alone = population.members()
    population.play(4)
    for member, trained, own in zip(alone, population.members(), rates(2), strict=True):
        optimizer = torch.optim.SGD(member.train().parameters(), **own)
        for _ in range(4):
            optimizer.zero_grad()
            loss(member, (X, Y), {}).backward()
            optimizer.step()
        for name, value in member.state_dict().items():
            torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-9, atol=1e-9)


def test_dropout_may_differ_between_members() -> None:
    def dropped(model: Any, batch: Any, hparams: Any) -> Any:
        x, y = batch
        x = dropout(x, hparams["dropout"])
        return cross_entropy(model(x), y), {"kept": (x != 0).double().mean()}

    space = Space(dropout=Uniform(0.0, 1.0))
    trainable = classifier(loss=dropped, optimizer=ht.SGD(lr=0.1))
    population = Played(trainable, [{"dropout": p} for p in (0.0, 0.2, 0.7, 1.0)], space)
    kept = population.play(40).metrics["kept"]
    np.testing.assert_allclose(kept, [1.0, 0.8, 0.3, 0.0], atol=0.02)


def test_dropout_is_off_while_evaluating() -> None:
    population = Played(classifier(model=lambda: mlp(nn.Dropout(0.9))), rates(2))
    scores = population.play(5).metrics["accuracy"]
    for member, score in zip(population.members(), scores, strict=True):
        assert float(accuracy(member, {})) == score


class Adapted(nn.Module):
    """A small trained layer on a large frozen one."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base, self.head = base, nn.Linear(64, CLASSES).double()

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.base(x))


def test_memory_grows_with_the_adapters_only(tmp_path: Path) -> None:
    base = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64)).double()
    weight = base[0].weight.detach().clone()
    trainable = classifier(model=lambda: Adapted(base), shared=base)
    population = Played(trainable, rates(4))
    for _ in range(2):
        shown = population.play(10)
    state = population.states()
    assert {path.split("/")[-1] for path in state} == {"head.weight", "head.bias"}
    adapter = 64 * CLASSES + CLASSES
    assert sum(leaf.numel() for leaf in state.values()) == 4 * 2 * adapter  # and its momentum
    assert torch.equal(base[0].weight, weight)
    member = population.members()[2]
    assert member.base is base
    assert float(accuracy(member, {})) == shown.metrics["accuracy"][2]


def test_a_parameter_that_is_not_trained_stays_each_members_own() -> None:
    def half() -> nn.Module:
        model = mlp()
        model[0].requires_grad_(False)
        return model

    population = Played(classifier(model=half), rates(2))
    population.play(0)
    before = population.members()
    population.play(3)
    for one, other in zip(before, population.members(), strict=True):
        assert torch.equal(one[0].weight, other[0].weight)
        assert not torch.equal(one[2].weight, other[2].weight)
    assert not torch.equal(before[0][0].weight, before[1][0].weight)


class Read(nn.Module):
    """Reads the features one after the other."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.reader = getattr(nn, kind)(1, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.reader(x[..., None])[0].mean(1))


class Attend(nn.Module):
    """Attends to the features."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.token, self.head = nn.Linear(1, 8), nn.Linear(8, CLASSES)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.layer(self.token(x[..., None])).mean(1))


class Convolve(nn.Module):
    """Looks at neighbours, and normalizes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2)
        )
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.layers(x[:, None]).flatten(1))


@pytest.mark.filterwarnings("ignore:.*performance drop.*mkldnn_rnn_layer:UserWarning")
@pytest.mark.parametrize(
    "model",
    [
        lambda: Read("LSTM"),
        lambda: Read("GRU"),
        lambda: Attend(0.0),
        Convolve,
    ],
    ids=["LSTM", "GRU", "attention", "convolution"],
)
def test_a_module_of_many_kinds_trains_as_it_would_alone(model: Any) -> None:
    population = Played(classifier(model=lambda: model().double()), rates(2))
    population.play(0)
    alone = population.members()
    scores = population.play(4).metrics["accuracy"]
    for member, trained, own, score in zip(
        alone, population.members(), rates(2), scores, strict=True
    ):
        optimizer = torch.optim.SGD(member.train().parameters(), **own)
        for _ in range(4):
            optimizer.zero_grad()
            loss(member, (X, Y), {}).backward()
            optimizer.step()
        for name, value in member.state_dict().items():
            torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-9, atol=1e-9)
        assert float(accuracy(trained, {})) == score


def test_a_transformer_drops_for_each_member_on_its_own() -> None:
    population = Played(classifier(model=lambda: Attend(0.3).double()), [rates(1)[0]] * 2)
    population.play(0)
    first, second = population.play(1, sources=[0, 0]).metrics["train_loss"]
    assert first != second


class Frozen(nn.Module):
    """A shared part whose output depends on its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, 64), nn.BatchNorm1d(64), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> Any:
        return self.layers(x)


def test_what_is_shared_stays_in_evaluation_mode() -> None:
    base = Frozen().double()
    x = torch.cat([X, 3 * X])
    base.train()(x)
    base.eval()
    features = base(X).detach()
    statistics = base.layers[1].running_mean.clone()
    together = Played(classifier(model=lambda: Adapted(base), shared=base), rates(2))
    together.play(0)
    apart = together.members()
    together.play(3)
    for member, trained, own in zip(apart, together.members(), rates(2), strict=True):
        optimizer = torch.optim.SGD(member.head.parameters(), **own)
        for _ in range(3):
            optimizer.zero_grad()
            cross_entropy(member.head(features), Y).backward()
            optimizer.step()
        torch.testing.assert_close(trained.head.weight, member.head.weight, rtol=1e-9, atol=1e-9)
    assert torch.equal(base.layers[1].running_mean, statistics)


def test_a_copy_of_what_is_shared_is_refused() -> None:
    base = Frozen().double()
    trainable = classifier(model=lambda: Adapted(Frozen().double()), shared=base)
    with pytest.raises(UsageError, match="uses no tensor of `shared`: build it on this very obj"):
        Played(trainable, rates(2))


def test_memory_of_the_general_form_grows_with_the_state_only() -> None:
    base = nn.Linear(FEATURES, 64).double()
    x = X.clone()

    def out(state: Any) -> Any:
        return torch.relu(base(x)) @ state["w"]

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        slope = torch.func.grad(lambda w: cross_entropy(out({"w": w}), Y))(state["w"])
        return {"w": state["w"] - hparams["lr"] * slope}

    trainable = ht.VectorTrainable.of(
        init=lambda hparams: {"w": torch.zeros(64, CLASSES, dtype=torch.float64)},
        step=step,
        evaluate=lambda state, hparams: (out(state).argmax(1) == Y).double().mean(),
        shared=base,
    )
    population = Played(trainable, [{"lr": 0.1}, {"lr": 0.2}], Space(lr=Uniform(0, 1)))
    population.play(3)
    state = population.states()
    assert {path: tuple(leaf.shape) for path, leaf in state.items()} == {"w": (2, 64, CLASSES)}
    w = torch.zeros(64, CLASSES, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        (slope,) = torch.autograd.grad(cross_entropy(out({"w": w}), Y), w)
        w = (w - 0.2 * slope).detach().requires_grad_()
    torch.testing.assert_close(state["w"][1], w.detach(), rtol=1e-9, atol=1e-9)
