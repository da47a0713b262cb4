"""A line to fit, and a study of whatever model is to fit it."""

from pathlib import Path
from typing import Any

import numpy as np

import heredity as hd
from heredity.jax import VectorTrainable, batches

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
Y = X.sum(axis=1)
SPACE = hd.Space(lr=hd.LogUniform(1e-3, 1e-1))


def trained(folder: Path, init: Any, step: Any, loss: Any) -> tuple[float, Any]:
    """The best score of a small study with take-overs, and that member's state.

    `loss(state, batch, key)` is the mean squared error.
    """
    functions = VectorTrainable(
        init, step, lambda state, hparams, key: -loss(state, (X, Y), key), batches((X, Y), 16)
    )
    result = hd.Study(
        functions,
        SPACE,
        objective=hd.maximize("score"),
        population=4,
        interval=40,
        budget=hd.Steps(160),
        name="line",
        storage=folder,
        final_evaluations=0,
    ).run(hd.Vectorized(), live="off")
    return result.best.score, result.best.load()
