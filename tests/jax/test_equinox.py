"""Models of Equinox train as its users write them: a module is a state, functions in it and all."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from populations import check
from regression import SPACE, X, Y, trained

from heredity.errors import UsageError
from heredity.jax import VectorTrainable, batches

eqx = pytest.importorskip("equinox")


def init(key: Any, hparams: Any) -> Any:
    """A function and a rate of dropout are leaves of the module."""
    one, two = jax.random.split(key)
    layers = [
        eqx.nn.Linear(5, 16, key=one),
        eqx.nn.Lambda(lambda x: jnp.tanh(x)),
        eqx.nn.Dropout(0.01),
        eqx.nn.Linear(16, "scalar", key=two),
    ]
    model = eqx.nn.Sequential(layers)
    return model, optax.adam(1.0).init(eqx.filter(model, eqx.is_inexact_array))


def error(model: Any, batch: Any, key: Any) -> Any:
    x, y = batch
    found = jax.vmap(lambda x, key: model(x, key=key))(x, jax.random.split(key, len(x)))
    return ((found - y) ** 2).mean()


def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
    model, moments = state
    loss, gradient = eqx.filter_value_and_grad(error)(model, batch, key)
    updates, moments = optax.adam(hparams["lr"]).update(gradient, moments)
    return (eqx.apply_updates(model, updates), moments), {"loss": loss}


def test_a_module_trains(tmp_path: Path) -> None:
    def loss(state: Any, batch: Any, key: Any) -> Any:
        return error(eqx.nn.inference_mode(state[0]), batch, key)

    score, (model, _) = trained(tmp_path, init, step, loss)
    assert score > -0.5  # predicting the mean gives −5
    assert model.layers[2].p == 0.01
    found = jax.vmap(eqx.nn.inference_mode(model))(X)
    np.testing.assert_allclose(((found - Y) ** 2).mean(), -score, rtol=1e-4)


def test_a_module_may_be_partitioned() -> None:
    def parted(key: Any, hparams: Any) -> Any:
        weights, rest = eqx.partition(init(key, hparams)[0], eqx.is_inexact_array)
        return weights, rest, optax.adam(1.0).init(weights)

    def train(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        weights, rest, moments = state
        gradient = jax.grad(lambda w: error(eqx.combine(w, rest), batch, key))(weights)
        updates, moments = optax.adam(hparams["lr"]).update(gradient, moments)
        return eqx.apply_updates(weights, updates), rest, moments

    def evaluate(state: Any, hparams: Any, key: Any) -> Any:
        return error(eqx.combine(*state[:2]), (X, Y), key)

    check(VectorTrainable(parted, train, evaluate, batches((X, Y), 16)), space=SPACE)


def test_differentiating_a_module_by_jax_itself_is_refused_with_what_to_do() -> None:
    functions = VectorTrainable(
        init,
        lambda s, h, b, k: (jax.grad(error)(s[0], b, k), s[1]),
        lambda s, h, k: jnp.zeros(()),
        batches((X, Y), 16),
    )
    with pytest.raises(UsageError, match=r"eqx\.filter_grad"):
        check(functions, space=SPACE)
