"""The demo's problem: small neural networks learn to read distorted handwritten digits.

`init`, `step` and `evaluate` are pure, for one network, and take hparams as values, so that one
compiled program serves a whole population, or each member a process of its own. They know nothing
of studies.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from heredity.jax import VectorTrainable, batches

SIZES = (64, 96, 96, 10)
"""Units of the layers: 8 × 8 pixels, two hidden layers, ten digits."""

BATCH = 32

DISTORTIONS = 2 + 2 + SIZES[0]
"""Numbers that distort an image: of its shift, its stretching, and the noise on every pixel."""

Hparams = Mapping[str, Any]
Weights = list[tuple[Any, Any]]


def digits() -> VectorTrainable:
    """Networks that read digits, moved, stretched and covered with noise afresh at every look.

    The score is the accuracy on images they are not trained with, under distortions drawn anew at
    each evaluation; `test_accuracy` is the same on images that select nothing.
    """
    return VectorTrainable(init, step, evaluate, data=batches(images()["train"], BATCH))


@functools.cache
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


# ---------------------------------------------------------------------- one network
# Each function draws all its chance at once: compiling the generator takes longer than using it.


def init(key: Any, hparams: Hparams) -> Any:
    """Random weights (He et al. 2015, arXiv 1502.01852), and the optimizer's memory."""
    shapes = list(pairwise(SIZES))
    ends = np.cumsum([a * b for a, b in shapes])
    drawn = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    weights = [
        (values.reshape(a, b) * np.sqrt(2 / a), jnp.zeros(b))
        for values, (a, b) in zip(drawn, shapes, strict=True)
    ]
    return weights, optimizer(hparams).init(weights)


def step(state: Any, hparams: Hparams, batch: Any, key: Any) -> Any:
    """One step of stochastic gradient descent on the mean cross-entropy of distorted images."""
    weights, memory = state
    x, y = batch
    chance = jax.random.uniform(key, (len(x), DISTORTIONS + sum(SIZES[1:-1])))
    x = distort(x, chance[:, :DISTORTIONS], hparams["distortion"])
    kept = chance[:, DISTORTIONS:] >= hparams["dropout"]
    scale = kept / (1 - hparams["dropout"])

    def loss(weights: Weights) -> Any:
        entropy = optax.softmax_cross_entropy_with_integer_labels
        return entropy(logits(weights, x, scale), y).mean()

    updates, memory = optimizer(hparams).update(jax.grad(loss)(weights), memory, weights)
    return optax.apply_updates(weights, updates), memory


def evaluate(state: Any, hparams: Hparams, key: Any) -> dict[str, Any]:
    """The accuracy on images that select, and on images that do not; NaN if it blew up."""
    x, y = map(np.concatenate, zip(images()["validation"], images()["test"], strict=True))
    x = distort(x, jax.random.uniform(key, (len(x), DISTORTIONS)), 1.0)
    out = logits(state[0], x)
    right = jnp.where(jnp.isfinite(out).all(), out.argmax(1) == y, jnp.nan)
    validation, test = jnp.split(right, (len(images()["validation"][1]),))
    return {"accuracy": validation.mean(), "test_accuracy": test.mean()}


def optimizer(hparams: Hparams) -> Any:
    """With values that may differ between members."""
    return optax.chain(
        optax.add_decayed_weights(hparams["weight_decay"]),
        optax.sgd(hparams["lr"], hparams["momentum"]),
    )


def logits(weights: Weights, x: Any, scale: Any = None) -> Any:
    """What the network makes of images; hidden units times `scale`, of shape (n, units), if any."""
    x = x.reshape(len(x), -1)
    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
        if scale is not None:
            x, scale = x * scale[:, : len(b)], scale[:, len(b) :]
    w, b = weights[-1]
    return x @ w + b


def distort(x: Any, chance: Any, strength: Any) -> Any:
    """Images moved, stretched and covered with noise, each by its chance, uniform in [0, 1)."""
    chance = strength * (2 * chance[:, :, None] - 1)
    shift, log_scale, cover = jnp.split(chance, (2, 4), axis=1)
    at = (jnp.arange(8.0) - 3.5) * jnp.exp(0.3 * log_scale) + 3.5 + 1.5 * shift
    x = resample(at[:, 0]) @ x @ resample(at[:, 1]).mT
    return x + 0.35 * cover.reshape(x.shape)


def resample(at: Any) -> Any:
    """The matrices, of shape (n, 8, 8), that read rows of pixels at these places: linearly."""
    return jnp.maximum(0.0, 1.0 - jnp.abs(at[:, :, None] - jnp.arange(8.0)))
