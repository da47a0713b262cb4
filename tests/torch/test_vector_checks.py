"""Mistakes are found before training, and told in the user's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from vector_toys import RATES, Played, X, Y, accuracy, classifier, loss, mlp, rates

import heredity.torch as ht
from heredity.errors import HeredityError, TrainingError, UsageError
from heredity.space import Categorical, Constant, Integer, Keep, LogUniform, Ordinal, Space, Uniform
from heredity.torch.vector.liveness import dead


def opened(trainable: ht.VectorTrainable, space: Space = RATES) -> None:
    Played(trainable, space.sample_many(2, 0), space)


def general(**changed: Callable[..., Any]) -> ht.VectorTrainable:
    functions: dict[str, Any] = {
        "init": lambda hparams: {"w": torch.ones(3)},
        "step": lambda state, hparams, batch: {"w": state["w"] * hparams["lr"]},
        "evaluate": lambda state, hparams: state["w"].sum(),
    }
    return ht.VectorTrainable.of(**{**functions, **changed})


LR = Space(lr=LogUniform(0.1, 1.0))

MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("leaves out", {"step": lambda s, h, b: {}}, r"step\(.*leaves out the state's `w`"),
    (
        "adds",
        {"step": lambda s, h, b: {**s, "new": s["w"] * h["lr"]}},
        r"step\(.*adds the state's `new`: make it in init",
    ),
    (
        "dtype",
        {"step": lambda s, h, b: {"w": (s["w"] * h["lr"]).double()}},
        r"changes the state's `w` from torch.float32 of shape \(3,\) to torch.float64",
    ),
    (
        "shape",
        {"step": lambda s, h, b: {"w": (s["w"] * h["lr"])[:2]}},
        r"from torch.float32 of shape \(3,\) to torch.float32 of shape \(2,\)",
    ),
    ("no tensor", {"init": lambda h: {"w": [1.0]}}, r"init\(hparams\).*not list at `w`"),
    ("key", {"init": lambda h: {"a/b": torch.ones(1)}}, "texts without `/`"),
    (
        "vector",
        {"evaluate": lambda s, h: s["w"]},
        r"evaluate\(state, hparams\) must be one number, not a tensor of shape \(3,\): reduce",
    ),
    ("None", {"evaluate": lambda s, h: None}, "must be a number, not NoneType"),
    (
        "metric",
        {"evaluate": lambda s, h: {"acuracy": s["w"].sum()}},
        "gave no metric `accuracy`, which is the objective. Did you mean `acuracy`",
    ),
    ("item", {"evaluate": lambda s, h: s["w"].sum().item()}, "needs the plain value of a tensor"),
    (
        "if",
        {"step": lambda s, h, b: {"w": s["w"] * 2 if h["lr"] > 0.5 else s["w"]}},
        r"step\(.*needs the plain value of the hparam `lr`.*torch.where in place of `if`",
    ),
    (
        "random",
        {"step": lambda s, h, b: {"w": s["w"] * h["lr"] + torch.poisson(s["w"])}},
        r"draws random numbers with a function that cannot.*dropout.*randn",
    ),
    ("bare", {"step": lambda s, h, b: s["w"] * h["lr"]}, "a bare tensor, but .* state is a dict"),
    (
        "inherit",
        {"inherit": lambda own, donor: {"v": own["w"]}},
        r"inherit\(own, donor\) (adds|leaves out) the state's `",
    ),
    (
        "inherit if",
        {"inherit": lambda own, donor: own if own["w"].sum() > 1 else donor},
        r"inherit\(own, donor\) \(.*needs the plain value of a tensor",
    ),
]


@pytest.mark.parametrize(
    ("changed", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_told(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(HeredityError, match=message):
        opened(general(**changed), LR)


def test_an_error_of_the_users_own_keeps_its_frames() -> None:
    def step(state: Any, hparams: Any, batch: Any) -> Any:
        raise KeyError("their own mistake")

    with pytest.raises(TrainingError, match="KeyError: 'their own mistake'") as caught:
        opened(general(step=step), LR)
    assert "their own mistake" in caught.value.remote_traceback
    assert "in step" in caught.value.remote_traceback


def test_a_hparam_used_as_a_shape_is_named() -> None:
    space = Space(lr=LogUniform(0.1, 1.0), width=Integer(1, 8))

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        return {"w": state["w"] * hparams["lr"] + torch.ones(int(hparams["width"])).sum()}

    with pytest.raises(UsageError, match=r"plain value of the hparam `width`.*make it Constant"):
        opened(general(step=step), space)
    constant = Space(lr=LogUniform(0.1, 1.0), width=Constant(2))
    opened(general(step=step), constant)


def test_a_state_whose_form_depends_on_an_hparam_is_refused() -> None:
    def init(hparams: Any) -> Any:
        return {"w": torch.ones(int(hparams["width"]))}

    space = Space(lr=LogUniform(0.1, 1.0), width=Integer(1, 8))
    hparams = [{"lr": 0.5, "width": width} for width in (1, 2, 3)]
    step = {"step": lambda s, h, b: {"w": s["w"] * h["lr"] * h["width"]}}
    population = Played(general(init=init, **step), hparams, space)
    with pytest.raises(UsageError, match=r"init\(hparams\) changes the state's `w` from"):
        population.play(1)


def test_a_hparam_that_is_part_of_the_weights_is_refused() -> None:
    space = Space(lr=LogUniform(0.1, 1.0), width=Ordinal([1, 2], move=Keep()))
    with pytest.raises(UsageError, match=r"`width` stays with the weights.*make it Constant"):
        opened(general(), space)


def test_a_batch_size_is_no_hparam() -> None:
    with pytest.raises(UsageError, match=r"batch_size is a whole number.*not 'batch_size'"):
        ht.batches((X, Y), "batch_size")  # type: ignore[arg-type]


# Liveness ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dropout", "kind"])
def test_an_hparam_that_nothing_uses_is_refused(name: str) -> None:
    space = Space(
        lr=LogUniform(1e-4, 1.0),
        momentum=Uniform(0, 1),
        **{name: {"dropout": Uniform(0, 1), "kind": Categorical(["a", "b"])}[name]},
    )
    with pytest.raises(UsageError, match=f"nothing depends on the hparam `{name}`"):
        opened(classifier(), space)


def test_an_hparam_that_only_a_step_metric_uses_is_refused() -> None:
    def shown(model: Any, batch: Any, hparams: Any) -> Any:
        return loss(model, batch, hparams), {"seen": hparams["extra"] * 2}

    space = Space(**RATES, extra=Uniform(0, 1))
    with pytest.raises(UsageError, match="nothing depends on the hparam `extra`"):
        opened(classifier(loss=shown), space)


def test_an_hparam_that_is_read_for_its_form_only_is_refused() -> None:
    def step(state: Any, hparams: Any, batch: Any) -> Any:
        return {"w": state["w"] * hparams["lr"] + torch.zeros_like(hparams["extra"])}

    with pytest.raises(UsageError, match="`extra`"):
        opened(general(step=step), Space(**LR, extra=Uniform(0, 1)))


def test_an_hparam_is_live_in_the_loss_the_optimizer_or_the_score() -> None:
    space = Space(
        smoothing=Uniform(0, 0.5),
        decay=LogUniform(1e-5, 1),
        beta=Uniform(0.8, 0.9),
        scale=Uniform(1, 2),
    )

    def smooth(model: Any, batch: Any, hparams: Any) -> Any:
        x, y = batch
        out = model(x)
        return (1 - hparams["smoothing"]) * cross_entropy(out, y) - hparams[
            "smoothing"
        ] * out.mean()

    opened(
        classifier(
            loss=smooth,
            optimizer=ht.AdamW(lr=0.1, weight_decay="decay", beta1="beta"),
            evaluate=lambda model, hparams: accuracy(model, hparams) * hparams["scale"],
        ),
        space,
    )


def test_what_is_changed_in_place_through_a_view_counts() -> None:
    def outcome(a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        values = torch.zeros(4)
        values[:2] += a
        return [values, b.detach().clone().zero_()]

    columns = {"a": torch.ones(2), "b": torch.ones(2)}
    assert "a" not in dead(outcome, columns)


# Models --------------------------------------------------------------------------------


def test_normalization_that_cannot_be_kept_apart_is_refused_with_the_remedy() -> None:
    norm = classifier(model=lambda: mlp(nn.BatchNorm1d(8, momentum=None)))
    with pytest.raises(UsageError, match="GroupNorm"):
        opened(norm)
    opened(classifier(model=lambda: mlp(nn.GroupNorm(2, 8))))
    opened(classifier(model=lambda: mlp(nn.BatchNorm1d(8, track_running_stats=False))))


def test_a_model_is_a_function_that_makes_one() -> None:
    with pytest.raises(UsageError, match=r"model\(\) returned"):
        opened(classifier(model=lambda: "net"))
    frozen = classifier(model=lambda: mlp().requires_grad_(False))
    with pytest.raises(UsageError, match="no parameter of its own that requires a gradient"):
        opened(frozen)


def test_a_loss_is_one_number() -> None:
    vector = classifier(loss=lambda model, batch, hparams: model(batch[0]).mean(1))
    with pytest.raises(UsageError, match=r"loss\(model, batch, hparams\) must be one number"):
        opened(vector)


def test_trying_out_changes_nothing() -> None:
    seen = []

    def model() -> nn.Module:
        seen.append(mlp())
        return seen[-1]

    population = Played(classifier(model=model), rates(2))
    population.play(0)
    assert all(not module.training or module is seen[0] for module in seen) or len(seen) >= 3
    assert np.isfinite(population.play(1).metrics["train_loss"]).all()
