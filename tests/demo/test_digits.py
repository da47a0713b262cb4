"""The network: it learns, its functions are pure, and every hparam matters to it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from heredity.demo import SPACE
from heredity.demo.digits import BATCH, DISTORTIONS, distort, evaluate, images, init, step

HPARAMS = {
    "lr": 0.1,
    "momentum": 0.5,
    "weight_decay": 1e-3,
    "dropout": 0.1,
    "distortion": 1.0,
}
STEPS = 200

measured = jax.jit(evaluate)


@jax.jit
def _trained(hparams: Any, key: Any) -> Any:
    x, y = images()["train"]

    def one(state: Any, key: Any) -> Any:
        pick, key = jax.random.split(key)
        rows = jax.random.randint(pick, (BATCH,), 0, len(x))
        return step(state, hparams, (jax.numpy.asarray(x)[rows], jax.numpy.asarray(y)[rows]), key)

    state = init(jax.random.key(0), hparams)
    return jax.lax.fori_loop(0, STEPS, lambda i, s: one(s, jax.random.fold_in(key, i)), state)


def trained(hparams: dict[str, float], seed: int = 0) -> Any:
    """A network after some steps."""
    return _trained(hparams, jax.random.key(seed))


def accuracies(state: Any, seed: int = 0) -> dict[str, float]:
    """What an evaluation shows."""
    return {
        name: float(value) for name, value in measured(state, HPARAMS, jax.random.key(seed)).items()
    }


def weights(state: Any) -> np.ndarray[Any, Any]:
    """All weights of a network in a row."""
    return np.concatenate([np.ravel(leaf) for layer in state[0] for leaf in layer])


def test_the_images_are_split_without_overlap() -> None:
    parts = images()
    assert {name: len(x) for name, (x, _) in parts.items()} == {
        "train": 897,
        "validation": 450,
        "test": 450,
    }
    assert all(x.shape[1:] == (8, 8) and 0 <= x.min() <= x.max() <= 1 for x, _ in parts.values())


def test_an_image_without_distortion_is_the_image() -> None:
    x, _ = images()["test"]
    chance = np.random.default_rng(0).random((len(x), DISTORTIONS), np.float32)
    assert np.allclose(distort(x, chance, 0.0), x)
    assert not np.allclose(distort(x, chance, 1.0), x, atol=0.1)


def test_it_learns() -> None:
    before = accuracies(init(jax.random.key(0), HPARAMS))
    after = accuracies(trained(HPARAMS))
    assert max(before.values()) < 0.25 < 0.35 < min(after.values())


def test_the_same_key_trains_the_same_and_another_does_not() -> None:
    assert np.array_equal(weights(trained(HPARAMS)), weights(trained(HPARAMS)))
    assert not np.array_equal(weights(trained(HPARAMS)), weights(trained(HPARAMS, seed=1)))


@pytest.mark.parametrize("name", SPACE.names)
def test_every_hparam_is_consumed(name: str) -> None:
    other = HPARAMS | {name: HPARAMS[name] / 2}
    assert not np.array_equal(weights(trained(HPARAMS)), weights(trained(other)))


def test_evaluations_differ_by_their_draw_alone() -> None:
    state = trained(HPARAMS)
    one, same, other = (accuracies(state, seed) for seed in (0, 0, 1))
    assert one == same
    assert all(one[name] != other[name] for name in one)


def test_a_network_that_blew_up_has_no_accuracy() -> None:
    blown_up = trained(HPARAMS | {"lr": 1e6})
    assert np.isnan(list(accuracies(blown_up).values())).all()
