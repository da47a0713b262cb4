"""The network: it learns, its functions are pure, and every hparam matters to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heredity.demo import SPACE
from heredity.demo.digits import Digits, images, network

HPARAMS = {
    "lr": 0.1,
    "momentum": 0.5,
    "weight_decay": 1e-3,
    "dropout": 0.1,
    "distortion": 1.0,
}
STEPS = 100


def trained(hparams: dict[str, float], seed: int = 0) -> Any:
    """A network after some steps."""
    values = {name: np.float32(value) for name, value in hparams.items()}
    net = network()
    return net.train(net.init(0), values, *images()["train"], seed, STEPS)


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


def test_it_learns() -> None:
    net, (x, y) = network(), images()["validation"]
    before = float(net.accuracy(net.init(0), x, y, 0))
    after = float(net.accuracy(trained(HPARAMS), x, y, 0))
    assert before < 0.3 < after


def test_the_same_seed_trains_the_same_and_another_does_not() -> None:
    assert np.array_equal(weights(trained(HPARAMS)), weights(trained(HPARAMS)))
    assert not np.array_equal(weights(trained(HPARAMS)), weights(trained(HPARAMS, seed=1)))


@pytest.mark.parametrize("name", SPACE.names)
def test_every_hparam_is_consumed(name: str) -> None:
    other = HPARAMS | {name: HPARAMS[name] / 2}
    assert not np.array_equal(weights(trained(HPARAMS)), weights(trained(other)))


def test_evaluations_differ_by_their_draw_alone() -> None:
    net, state, (x, y) = network(), trained(HPARAMS), images()["test"]
    accuracies = [float(net.accuracy(state, x, y, seed)) for seed in (0, 0, 1)]
    assert accuracies[0] == accuracies[1] != accuracies[2]


def test_a_network_that_blew_up_has_no_accuracy() -> None:
    net, (x, y) = network(), images()["test"]
    blown_up = trained(HPARAMS | {"lr": 1e6})
    assert np.isnan(float(net.accuracy(blown_up, x, y, 0)))


def test_saving_and_loading_gives_the_same_network(tmp_path: Any) -> None:
    first, second = Digits(), Digits()
    for each, seed in ((first, 1), (second, 2)):
        each.net = network()
        each.setup({}, seed)
    first.save(tmp_path)
    second.load(tmp_path)
    assert np.array_equal(weights(first.state), weights(second.state))
