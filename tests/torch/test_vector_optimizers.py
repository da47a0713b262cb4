"""A member of a population trains as the same member alone, with torch.optim and a plain loop."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from vector_toys import WHOLE, Played, X, Y, accuracy, classifier, loss, mlp

import heredity.torch as ht
from heredity.errors import UsageError
from heredity.space import LogUniform, Space, Uniform

TABLE: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
    ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"beta1": 0.5, "weight_decay": 0.3}),
    ("AdamW", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "alpha": 0.9}),
]
RATES = (1e-3, 1e-2, 3e-2)
STEPS = 8

every_row = pytest.mark.parametrize(("kind", "options"), TABLE, ids=str)


def plain_loop(member: torch.nn.Module, kind: str, options: dict[str, Any], steps: int) -> None:
    options = dict(options)
    if kind.startswith("Adam"):
        options["betas"] = options.pop("beta1", 0.9), options.pop("beta2", 0.999)
    optimizer = getattr(torch.optim, kind)(member.parameters(), **options)
    x, y = X.to(next(member.parameters()).dtype), Y
    for _ in range(steps):
        optimizer.zero_grad()
        loss(member, (x, y), {}).backward()
        optimizer.step()


def assert_as_alone(
    trainable: Any, space: Space, hparams: list[dict[str, Any]], kind: str, more: dict[str, Any],
    tolerance: float,
) -> None:  # fmt: skip
    population = Played(trainable, hparams, space)
    population.play(0)
    alone = population.members()
    population.play(STEPS)
    for member, vectorized, own in zip(alone, population.members(), hparams, strict=True):
        plain_loop(member.train(), kind, {**more, **own}, STEPS)
        for one, other in zip(member.parameters(), vectorized.parameters(), strict=True):
            torch.testing.assert_close(other, one, rtol=tolerance, atol=tolerance)


def test_every_setting_has_its_row() -> None:
    for kind in ("SGD", "Adam", "AdamW", "RMSprop"):
        settings = {field.name for field in fields(getattr(ht, kind))} - {"lr"}
        assert settings == {name for row, options in TABLE if row == kind for name in options}


@every_row
def test_each_member_steps_as_it_would_alone(kind: str, options: dict[str, Any]) -> None:
    trainable = classifier(optimizer=getattr(ht, kind)(lr="lr", **options))
    hparams = [{"lr": lr} for lr in RATES]
    assert_as_alone(trainable, Space(lr=LogUniform(1e-4, 1.0)), hparams, kind, options, 1e-9)


@every_row
def test_every_setting_may_differ_between_members(kind: str, options: dict[str, Any]) -> None:
    numbers = {name: value for name, value in options.items() if not isinstance(value, bool)}
    flags = {name: value for name, value in options.items() if isinstance(value, bool)}
    space = Space(lr=LogUniform(1e-4, 1.0), **{name: Uniform(0.0, 1.0) for name in numbers})
    hparams = [
        {"lr": lr, **{name: value * (0.7 + 0.1 * place) for name, value in numbers.items()}}
        for place, lr in enumerate(RATES)
    ]
    named = getattr(ht, kind)(lr="lr", **{name: name for name in numbers}, **flags)
    assert_as_alone(classifier(optimizer=named), space, hparams, kind, flags, 1e-9)


@pytest.mark.parametrize(("kind", "options"), [TABLE[4], TABLE[6], TABLE[9], TABLE[13]], ids=str)
def test_single_precision_agrees_in_the_stable_range(kind: str, options: dict[str, Any]) -> None:
    trainable = classifier(
        model=lambda: mlp().float(),
        data=ht.batches((X.float(), Y), len(X)),
        evaluate=lambda model, hparams: (model(X.float()).argmax(1) == Y).float().mean(),
        optimizer=getattr(ht, kind)(lr="lr", **options),
    )
    hparams = [{"lr": lr} for lr in (1e-4, 1e-3)]
    assert_as_alone(trainable, Space(lr=LogUniform(1e-5, 1.0)), hparams, kind, options, 1e-5)


def test_a_take_over_brings_the_optimizers_state_but_not_the_rate() -> None:
    """As torch would go on from the donor's state_dict with a new lr in the group."""
    space = Space(lr=LogUniform(1e-4, 1.0))
    population = Played(classifier(optimizer=ht.Adam(lr="lr")), [{"lr": 1e-2}, {"lr": 1e-3}], space)
    population.play(0)
    member = population.members()[0].train()
    population.play(STEPS)
    population.play(STEPS, sources=[0, 0])
    optimizer = torch.optim.Adam(member.parameters(), lr=1e-2)
    for step in range(2 * STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 if step < STEPS else 1e-3
        optimizer.zero_grad()
        loss(member, (X, Y), {}).backward()
        optimizer.step()
    heir = population.members()[1]
    for one, other in zip(member.parameters(), heir.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)


def test_a_name_that_is_no_hparam_is_refused() -> None:
    trainable = ht.VectorTrainable(mlp, loss, ht.SGD(lr="rate"), WHOLE, accuracy)
    with pytest.raises(
        UsageError, match=r"SGD\(lr='rate'\): there is no hparam of this name. Known: lr"
    ):
        Played(trainable, [{"lr": 0.1}], Space(lr=LogUniform(1e-4, 1.0)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "SGD",
            {"lr": None},
            "SGD: lr is a number from 0, or the name of the hparam to",
        ),
        ("SGD", {"nesterov": True}, r"SGD\(nesterov=True\) needs a momentum"),
        ("Adam", {"beta1": -0.9}, "Adam: beta1 is a number from 0, .*, not -0.9"),
        ("AdamW", {"weight_decay": float("nan")}, "AdamW: weight_decay is a number .* not nan"),
        ("RMSprop", {"alpha": torch.tensor(0.9)}, r"RMSprop: alpha is a number .*tensor\(0.9"),
    ],
)
def test_a_setting_is_a_number_or_a_name(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        getattr(ht, kind)(**options)


def test_low_precision_rates_are_not_rounded_to_it() -> None:
    weights = {"w": torch.ones(2, 4, dtype=torch.bfloat16)}
    grads = {"w": torch.ones(2, 4, dtype=torch.bfloat16)}
    optimizer = ht.SGD(lr="lr")
    from heredity.torch.vector.optimizers import settings_of

    rate = torch.tensor([0.5, 0.25], dtype=torch.float64)
    optimizer.update(weights, grads, {}, settings_of(optimizer, {"lr": rate}))
    assert weights["w"].dtype == torch.bfloat16
    assert weights["w"].float()[:, 0].tolist() == [0.5, 0.75]
