"""Train a population of JAX networks, all of them as one program.

Write `init`, `step` and `evaluate` for one member.

    python examples/digits_jax.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import heredity as hd
import heredity.jax as hj

x, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
train, valid, test = ((np.float32(x[rows] / 16), y[rows]) for rows in np.split(order, [1097, 1447]))


def logits(weights, x):
    return jax.nn.relu(x @ weights["hidden"]) @ weights["out"]


def init(key, hparams):
    one, two = jax.random.split(key)
    weights = {
        "hidden": jax.random.normal(one, (64, 128)) / 8,
        "out": jax.random.normal(two, (128, 10)) / 11,
    }
    return weights, optax.sgd(0.1, momentum=0.9).init(weights)


def step(state, hparams, batch, key):
    weights, moments = state
    x, y = batch
    optimizer = optax.sgd(hparams["lr"], hparams["momentum"])  # its values differ per member

    def loss(weights):
        entropy = optax.softmax_cross_entropy_with_integer_labels
        return entropy(logits(weights, x), y).mean()

    updates, moments = optimizer.update(jax.grad(loss)(weights), moments)
    return optax.apply_updates(weights, updates), moments


def evaluate(state, hparams, key):
    def accuracy(x, y):
        return jnp.mean(logits(state[0], x).argmax(1) == y)

    return {
        "accuracy": accuracy(*valid),  # selects
        "test_accuracy": accuracy(*test),  # never selects: held out
    }


study = hd.Study(
    hj.VectorTrainable(init, step, evaluate, data=hj.batches(train, batch_size=64)),
    hd.Space(lr=hd.LogUniform(1e-4, 1.0), momentum=hd.Uniform(0.0, 0.99)),
    objective=hd.maximize("accuracy"),
    population=64,
    interval=50,
    budget=hd.Steps(500),
    name="digits-jax",
    storage="runs",
    seed=0,
)

if __name__ == "__main__":
    result = study.run()
    best = result.best
    print(f"validation accuracy {best.score:.3f}, held-out {best.metrics['test_accuracy']:.3f}")
    print(result.schedule())
