"""Train a population with a plain function: any framework, here NumPy alone.

The function gets a session: hparams, where to start and stop, what to restore, where to save.

    python examples/digits_function.py
"""

import numpy as np
from sklearn.datasets import load_digits

import heredity as hd


def softmax(logits):
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)


def train(session):
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = data.data[order] / 16, data.target[order]
    train_rows, valid_rows, test_rows = np.split(np.arange(len(y)), [1097, 1447])

    if session.restore is None:
        weights, velocity = np.zeros((64, 10)), np.zeros((64, 10))
    else:
        state = np.load(session.restore / "state.npz")
        weights, velocity = state["weights"], state["velocity"]

    for _ in range(session.start, session.stop):
        batch = np.random.choice(train_rows, 64)
        error = softmax(x[batch] @ weights) - np.eye(10)[y[batch]]
        velocity = session.hparams["momentum"] * velocity + x[batch].T @ error / 64
        weights = weights - session.hparams["lr"] * velocity

    np.savez(session.save / "state.npz", weights=weights, velocity=velocity)
    right = (x @ weights).argmax(axis=1) == y
    session.report(accuracy=right[valid_rows].mean(), test_accuracy=right[test_rows].mean())


study = hd.Study(
    train,
    hd.Space(lr=hd.LogUniform(1e-4, 1.0), momentum=hd.Uniform(0.0, 0.99)),
    objective=hd.maximize("accuracy"),
    population=8,
    interval=25,
    budget=hd.Steps(250),
    name="digits-function",
    storage="runs",
    seed=0,
)

if __name__ == "__main__":
    result = study.run()
    best = result.best
    print(f"validation accuracy {best.score:.3f}, held-out {best.metrics['test_accuracy']:.3f}")
    print(result.schedule())
