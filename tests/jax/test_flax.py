"""Models of Flax train as its users write them: linen, with and without TrainState, and nnx."""

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

pytest.importorskip("flax")
from flax import linen, nnx
from flax.training.train_state import TrainState

OPTIMIZER = optax.inject_hyperparams(optax.adam)(learning_rate=1.0)


class Net(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(1)(linen.tanh(linen.Dense(16)(x)))[:, 0]


def error(apply: Any, weights: Any, batch: Any) -> Any:
    x, y = batch
    return ((apply(weights, x) - y) ** 2).mean()


def test_a_linen_module_trains(tmp_path: Path) -> None:
    net = Net()

    def init(key: Any, hparams: Any) -> Any:
        weights = net.init(key, X[:1])
        return weights, optax.adam(1.0).init(weights)

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        weights, moments = state
        gradient = jax.grad(lambda w: error(net.apply, w, batch))(weights)
        updates, moments = optax.adam(hparams["lr"]).update(gradient, moments)
        return optax.apply_updates(weights, updates), moments

    score, (weights, _) = trained(tmp_path, init, step, lambda s, b, k: error(net.apply, s[0], b))
    assert score > -0.5  # predicting the mean gives −5
    np.testing.assert_allclose(error(net.apply, weights, (X, Y)), -score, rtol=1e-4)


def started(key: Any, hparams: Any) -> Any:
    """Its `step` is a plain 0 that becomes an array."""
    net = Net()
    return TrainState.create(apply_fn=net.apply, params=net.init(key, X[:1]), tx=OPTIMIZER)


def test_a_train_state_trains_and_counts_its_steps(tmp_path: Path) -> None:
    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        state.opt_state.hyperparams["learning_rate"] = hparams["lr"]
        gradient = jax.grad(lambda w: error(state.apply_fn, w, batch))(state.params)
        return state.apply_gradients(grads=gradient)

    def loss(state: Any, batch: Any, key: Any) -> Any:
        return error(state.apply_fn, state.params, batch)

    score, state = trained(tmp_path, started, step, loss)
    assert score > -0.5
    assert state.step in (40, 80, 120, 160)
    np.testing.assert_allclose(loss(state, (X, Y), None), -score, rtol=1e-4)


@pytest.mark.parametrize("where", ["init", "step"])
def test_a_train_state_that_keeps_hparams_in_its_optimizer_is_refused(where: str) -> None:
    def init(key: Any, hparams: Any) -> Any:
        state = started(key, hparams)
        return state.replace(tx=optax.adam(hparams["lr"])) if where == "init" else state

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        gradient = jax.grad(lambda w: error(state.apply_fn, w, batch))(state.params)
        return state.replace(params=gradient, tx=optax.adam(hparams["lr"]))

    functions = VectorTrainable(init, step, lambda s, h, k: jnp.zeros(()), batches((X, Y), 16))
    words = {
        "init": "init keeps .*make such an optimizer in step",
        "step": "made in init or outside",
    }
    with pytest.raises(UsageError, match=words[where]):
        check(functions, space=SPACE)


class Perceptron(nnx.Module):
    def __init__(self, rngs: Any, dropout: float | None = None) -> None:
        self.hidden = nnx.Linear(5, 16, rngs=rngs)
        self.dropout = None if dropout is None else nnx.Dropout(dropout, rngs=rngs)
        self.out = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(jnp.tanh(self.hidden(x)))[:, 0]


def squares(model: Any, batch: Any) -> Any:
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def test_an_nnx_module_trains(tmp_path: Path) -> None:
    def init(key: Any, hparams: Any) -> Any:
        model = Perceptron(nnx.Rngs(key))
        return model, optax.adam(1.0).init(nnx.state(model, nnx.Param))

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        model, moments = state
        loss, gradient = nnx.value_and_grad(squares)(model, batch)
        updates, moments = optax.adam(hparams["lr"]).update(gradient, moments)
        nnx.update(model, optax.apply_updates(nnx.state(model, nnx.Param), updates))
        return (model, moments), {"loss": loss}

    score, (model, _) = trained(tmp_path, init, step, lambda s, b, k: squares(s[0], b))
    assert score > -0.5
    np.testing.assert_allclose(squares(model, (X, Y)), -score, rtol=1e-4)


def test_an_nnx_module_may_be_split() -> None:
    def init(key: Any, hparams: Any) -> Any:
        graph, weights = nnx.split(Perceptron(nnx.Rngs(key)))
        return graph, weights, optax.adam(1.0).init(weights)

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        graph, weights, moments = state
        gradient = jax.grad(lambda w: squares(nnx.merge(graph, w), batch))(weights)
        updates, moments = optax.adam(hparams["lr"]).update(gradient, moments)
        return graph, optax.apply_updates(weights, updates), moments

    def evaluate(state: Any, hparams: Any, key: Any) -> Any:
        return squares(nnx.merge(*state[:2]), (X, Y))

    check(VectorTrainable(init, step, evaluate, batches((X, Y), 16)), space=SPACE)


def test_an_nnx_module_that_holds_keys_is_refused() -> None:
    functions = VectorTrainable(
        lambda key, h: Perceptron(nnx.Rngs(key), dropout=0.1),
        lambda s, h, b, k: s,
        lambda s, h, k: h["lr"],
    )
    with pytest.raises(UsageError, match=r"a random key at \.dropout\.rngs.*use the `key`"):
        check(functions, space=SPACE)
