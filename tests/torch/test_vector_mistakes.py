"""What torch says of its transforms is told in the user's words, with the place and a remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn.functional import cross_entropy, feature_alpha_dropout
from vector_toys import (
    CLASSES,
    FEATURES,
    RATES,
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
from heredity.errors import HeredityError, TrainingError, UsageError
from heredity.space import Categorical as Choice
from heredity.space import Ordinal, Space


def refused(**changed: Any) -> HeredityError:
    with pytest.raises(HeredityError) as caught:
        Played(classifier(**changed), rates(2))
    return caught.value


class Branching(nn.Module):
    """Looks at its values while it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES).double()

    def forward(self, x: torch.Tensor) -> Any:
        out = self.layer(x)
        if out.mean() > 0:
            out = -out
        return out


def test_control_flow_that_depends_on_data_is_told_with_its_line() -> None:
    error = refused(model=Branching)
    assert isinstance(error, UsageError)
    assert str(error).startswith("loss(model, batch, hparams) (test_vector_mistakes.py, line ")
    assert "`if out.mean() > 0:`) needs the plain value of a tensor" in str(error)
    assert "torch.where in place of `if`" in str(error)


def with_item(model: Any, batch: Any, hparams: Any) -> Any:
    return loss(model, batch, hparams) * loss(model, batch, hparams).item()


def with_numpy(model: Any, batch: Any, hparams: Any) -> Any:
    return loss(model, batch, hparams) * np.mean(model(batch[0]).detach().numpy())


def with_a_mask(model: Any, batch: Any, hparams: Any) -> Any:
    out = model(batch[0])
    return out[out > 0].mean()


def with_a_distribution(model: Any, batch: Any, hparams: Any) -> Any:
    return -Categorical(logits=model(batch[0])).log_prob(batch[1]).mean()


def with_backward(model: Any, batch: Any, hparams: Any) -> Any:
    value = loss(model, batch, hparams)
    value.backward()
    return value


def with_an_unknown_draw(model: Any, batch: Any, hparams: Any) -> Any:
    x, y = batch
    return cross_entropy(model(feature_alpha_dropout(x, 0.5, training=True)), y)


def with_writing(model: Any, batch: Any, hparams: Any) -> Any:
    values = torch.zeros(2, dtype=torch.float64)
    values[0] = loss(model, batch, hparams)
    return values.sum()


def detached(model: Any, batch: Any, hparams: Any) -> Any:
    return loss(model, batch, hparams).detach()


@torch.no_grad()
def without_gradients(model: Any, batch: Any, hparams: Any) -> Any:
    return loss(model, batch, hparams)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (with_item, r"hparams\).item\(\)`\) needs the plain value of a tensor"),
        (with_numpy, r"needs the plain value of a tensor \(float\(\), int\(\), .item\(\), .numpy"),
        (with_a_mask, "shape depends on values.*torch.where in place of a mask as an index"),
        (with_a_distribution, "`return -Categorical.*give them validate_args=False"),
        (with_backward, r"`value.backward\(\)`\) calls backward\(\): return the loss"),
        (with_an_unknown_draw, "cannot draw for each member on its own: use torch's bernoulli, dr"),
        (with_writing, r"`values\[0\] = loss.*the same for all members: .* x.new_zeros"),
        (detached, r"does not depend on the model's parameters.*without detach\(\) or"),
        (without_gradients, "does not depend on the model's parameters, so nothing would be"),
        (lambda model, batch, hparams: 0.5, "does not depend on the model's parameters"),
    ],
)
def test_a_loss_that_cannot_be_trained_with(mistake: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Played(classifier(loss=mistake), rates(2))


def test_an_operation_that_torch_cannot_compute_for_all_is_named() -> None:
    def halved(model: Any, hparams: Any) -> Any:
        value = accuracy(model, hparams)
        return torch.div(value, 2.0, out=torch.empty_like(value))

    message = (
        r"for all members at once \(.*aten::div.out.*use others, or train with heredity.torch.T"
    )
    with pytest.raises(UsageError, match=message):
        Played(classifier(evaluate=halved), rates(2))


def test_the_remedy_for_distributions_is_one() -> None:
    def likelihood(model: Any, batch: Any, hparams: Any) -> Any:
        chosen = Categorical(logits=model(batch[0]), validate_args=False)
        return -chosen.log_prob(batch[1]).mean()

    one, other = (Played(classifier(loss=f), rates(2)) for f in (likelihood, loss))
    np.testing.assert_allclose(
        one.play(3).metrics["train_loss"], other.play(3).metrics["train_loss"]
    )


def test_errors_of_the_users_own_have_hints() -> None:
    error = refused(loss=lambda m, b, h: loss(m, b, h) * h["learning_rate"])
    assert isinstance(error, TrainingError)
    assert "KeyError: 'learning_rate'. If an hparam is meant: Known: lr, momentum" in str(error)
    error = refused(model=lambda: mlp(nn.BatchNorm1d(9)))
    assert isinstance(error, TrainingError)
    assert "running_mean should contain 8 elements not 9" in str(error)
    error = refused(data=ht.batches((X.float(), Y), 16))
    assert isinstance(error, TrainingError)
    assert "NumPy's numbers are float64" in str(error)


CHOICES = Space(lr=RATES["lr"], momentum=RATES["momentum"], kind=Choice(["a", "b"]))


def scaled(factor: Any) -> ht.VectorTrainable:
    return classifier(loss=lambda m, b, h: loss(m, b, h) * factor(h))


@pytest.mark.parametrize(
    "factor",
    [
        lambda h: {"a": 1.0, "b": 2.0}[h["kind"]],
        lambda h: {0: 1.0, 1: 2.0}[h["kind"]],
        lambda h: [1.0, 2.0][h["kind"]],
        lambda h: ["a", "b"].index(h["kind"]),
        lambda h: 1.0 if h["kind"] == 0 else 2.0,
    ],
)
def test_a_choice_is_its_index_and_no_plain_value(factor: Any) -> None:
    message = (
        r"line \d+.*plain value of the hparam `kind`.*a tensor, the index of a choice.*"
        r"torch.tensor\(\[0.1, 0.2\]\).gather\(0, hparams\['kind'\]\)"
    )
    with pytest.raises(UsageError, match=message):
        Played(scaled(factor), CHOICES.sample_many(2, 0), CHOICES)


def test_a_look_up_by_a_number_is_told() -> None:
    space = Space(lr=RATES["lr"], momentum=RATES["momentum"], size=Ordinal([1, 2]))
    with pytest.raises(UsageError, match=r"looks up a tensor in a dict: hparams are tensors"):
        Played(scaled(lambda h: {1: 0.1, 2: 0.2}[h["size"]]), space.sample_many(2, 0), space)


def test_a_choice_that_is_compared_with_its_text_is_told() -> None:
    wrong = scaled(lambda h: 1.0 if h["kind"] == "a" else 2.0)
    message = r"nothing depends on the hparam `kind`, .*hparams\['kind'\] is 0 for the first one, "
    with pytest.raises(UsageError, match=message + "so it never equals '[ab]'"):
        Played(wrong, CHOICES.sample_many(2, 0), CHOICES)


def test_the_remedy_for_choices_is_one() -> None:
    right = scaled(lambda h: torch.tensor([1.0, 2.0]).gather(0, h["kind"]))
    hparams = [{**rates(1)[0], "kind": kind} for kind in ("a", "b")]
    shown = Played(right, hparams, CHOICES).play(1).metrics["train_loss"]
    plain = Played(classifier(), rates(1) * 2).play(1).metrics["train_loss"]
    np.testing.assert_allclose(shown, plain * [1.0, 2.0])


@pytest.mark.parametrize("good", [0, 10])
def test_an_error_in_the_model_keeps_its_frames(good: int) -> None:
    """When the study opens, and when members start."""
    made: list[int] = []

    def model() -> nn.Module:
        made.append(1)
        if len(made) > good:
            raise OSError("no weights here")
        return mlp()

    with pytest.raises(TrainingError, match=r"model\(\): OSError: no weights here") as caught:
        Played(classifier(model=model), rates(20)).play(1)
    assert "in model" in caught.value.remote_traceback


# What a user gives ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": nn.Linear(2, 2)}, "model is a function without arguments .* not a Linear"),
        ({"model": "mlp"}, "model is a function, not 'mlp'"),
        ({"loss": None}, "loss is a function, not None"),
        ({"evaluate": 0.5}, "evaluate is a function, not 0.5"),
        ({"optimizer": torch.optim.SGD}, r"SGD\(lr='lr'\), not torch.optim.sgd.SGD"),
        (
            {"optimizer": torch.optim.Adam([torch.ones(1, requires_grad=True)])},
            "optimizer is one of heredity.torch, .*, not torch.optim.adam.Adam",
        ),
        ({"shared": X}, "shared is a torch.nn.Module, not Tensor"),
    ],
)
def test_what_is_given_is_of_the_right_kind(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        classifier(**changed)


def test_a_device_that_is_not_there_is_refused() -> None:
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(UsageError, match=f"there is no device '{missing}'"):
        Played(classifier(device=missing), rates(2))


def test_a_model_makes_a_new_module_each_time() -> None:
    once = nn.Linear(FEATURES, CLASSES).double()
    assert "returned the same module twice" in str(refused(model=lambda: once))


@pytest.mark.parametrize("layer", [nn.LazyLinear(8), nn.LazyBatchNorm1d()])
def test_a_model_has_sizes(layer: nn.Module) -> None:
    error = refused(model=lambda: nn.Sequential(nn.Linear(FEATURES, 3), layer))
    assert isinstance(error, UsageError)
    assert "`1.weight` has no size yet, as lazy modules do" in str(error)
    assert "call the module once in model()" in str(error)


def test_a_metric_is_measured_once() -> None:
    def measured(model: Any, batch: Any, hparams: Any) -> Any:
        return loss(model, batch, hparams), {"accuracy": accuracy(model, hparams)}

    assert "both measure `accuracy`: rename one of them" in str(refused(loss=measured))
