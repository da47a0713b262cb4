"""The demo's problem: small neural networks learn to read distorted handwritten digits.

The functions of the network are pure, for one member, and take hparams as values, so that one
compiled program serves every member. They know nothing of studies. JAX and scikit-learn are
imported when they are first used, which is in the workers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from heredity.trainables.trainable import Trainable

SIZES = (64, 96, 96, 10)
"""Units of the layers: 8 × 8 pixels, two hidden layers, ten digits."""

BATCH = 64


class Digits(Trainable):
    """A network that reads digits, moved, stretched and covered with noise afresh at every look.

    The score is the accuracy on images it is not trained with, under distortions drawn anew at each
    evaluation; `test_accuracy` is the same on images that select nothing.
    """

    def prepare(self) -> None:
        self.images = images()
        self.net = network()

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.state = self.net.init(seed % 2**32)

    def configure(self, hparams: Mapping[str, Any]) -> None:
        self.values = {name: np.float32(hparams[name]) for name in hparams}

    def train(self, steps: int) -> None:
        self.state = self.net.train(self.state, self.values, *self.images["train"], _draw(), steps)

    def evaluate(self) -> dict[str, float]:
        key = _draw()
        return {
            "accuracy": float(self.net.accuracy(self.state, *self.images["validation"], key)),
            "test_accuracy": float(self.net.accuracy(self.state, *self.images["test"], key)),
        }

    def save(self, directory: Path) -> None:
        import jax

        np.savez(directory / "state.npz", *jax.tree.leaves(self.state))

    def load(self, directory: Path) -> None:
        import jax

        with np.load(directory / "state.npz") as saved:
            leaves = list(saved.values())
        self.state = jax.tree.unflatten(jax.tree.structure(self.state), leaves)

    def in_force(self) -> Mapping[str, Any]:
        return {name: float(value) for name, value in self.values.items()}


def _draw() -> int:
    """A seed from NumPy's generator, which is seeded before each method that may draw."""
    return int(np.random.randint(2**31))


def images() -> dict[str, tuple[Any, Any]]:
    """The 1,797 digits of scikit-learn as (images, labels), shuffled once and for all: 897 to train
    with, 450 to score with, 450 held out. Images are of shape (n, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(data.target))
    pixels = (data.images[order] / 16).astype(np.float32)
    labels = data.target[order].astype(np.int32)
    parts = np.split(np.arange(len(order)), [len(order) - 900, len(order) - 450])
    return {
        name: (pixels[part], labels[part])
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }


@functools.cache
def network() -> SimpleNamespace:
    """The compiled functions `init`, `train` and `accuracy` of one network."""
    import jax
    import jax.numpy as jnp
    import optax

    def optimizer(hparams: Mapping[str, Any]) -> Any:
        return optax.chain(
            optax.add_decayed_weights(hparams["weight_decay"]),
            optax.sgd(hparams["lr"], hparams["momentum"]),
        )

    def init(seed: Any) -> Any:
        keys = jax.random.split(jax.random.key(seed), len(SIZES) - 1)
        weights = [
            (jax.random.normal(key, (a, b)) * jnp.sqrt(2 / a), jnp.zeros(b))
            for key, a, b in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
        ]
        return weights, optimizer({"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}).init(weights)

    def logits(weights: Any, x: Any, key: Any, dropout: Any) -> Any:
        x = x.reshape(len(x), -1)
        for i, (w, b) in enumerate(weights):
            x = x @ w + b
            if i < len(weights) - 1:
                keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - dropout, x.shape)
                x = jax.nn.relu(x) * keep / (1 - dropout)
        return x

    def resample(at: Any) -> Any:
        """The matrices, of shape (n, 8, 8), that read rows of pixels at these places: linearly."""
        return jnp.maximum(0.0, 1.0 - jnp.abs(at[:, :, None] - jnp.arange(8.0)))

    def distort(x: Any, key: Any, strength: Any) -> Any:
        chance = strength * jax.random.uniform(key, (len(x), 68, 1), minval=-1.0, maxval=1.0)
        shift, log_scale, cover = jnp.split(chance, (2, 4), axis=1)
        at = (jnp.arange(8.0) - 3.5) * jnp.exp(0.3 * log_scale) + 3.5 + 1.5 * shift
        x = resample(at[:, 0]) @ x @ resample(at[:, 1]).mT
        return x + 0.35 * cover.reshape(x.shape)

    def loss(weights: Any, x: Any, y: Any, key: Any, hparams: Any) -> Any:
        move, drop = jax.random.split(key)
        out = logits(weights, distort(x, move, hparams["distortion"]), drop, hparams["dropout"])
        return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

    def train(state: Any, hparams: Any, x: Any, y: Any, seed: Any, steps: int) -> Any:
        def step(state: Any, key: Any) -> Any:
            weights, memory = state
            pick, key = jax.random.split(key)
            rows = jax.random.randint(pick, (BATCH,), 0, len(x))
            gradient = jax.grad(loss)(weights, x[rows], y[rows], key, hparams)
            updates, memory = optimizer(hparams).update(gradient, memory, weights)
            return (optax.apply_updates(weights, updates), memory), None

        return jax.lax.scan(step, state, jax.random.split(jax.random.key(seed), steps))[0]

    def accuracy(state: Any, x: Any, y: Any, seed: Any) -> Any:
        out = logits(state[0], distort(x, jax.random.key(seed), 1.0), jax.random.key(0), 0.0)
        right = (out.argmax(1) == y).mean()
        return jnp.where(jnp.isfinite(out).all(), right, jnp.nan)

    return SimpleNamespace(
        init=jax.jit(init), train=jax.jit(train, static_argnums=5), accuracy=jax.jit(accuracy)
    )
