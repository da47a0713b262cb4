"""Train a small network to recognise digits: an ordinary script, with flags, a log and checkpoints.

python train.py --lr 0.1 --epochs 5 --out checkpoints
python train.py --lr 0.05 --epochs 10 --out checkpoints --resume checkpoints/last.npz
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np

HIDDEN = 32
BATCH = 32


def data():
    """Images and labels for training, validation and the final test."""
    sklearn = importlib.util.find_spec("sklearn")  # importing it takes longer than an epoch
    file = Path(sklearn.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.random.default_rng(0).permutation(np.loadtxt(file, delimiter=","))
    x, y = table[:, :-1] / 16, table[:, -1].astype(int)
    return [(x[rows], y[rows]) for rows in np.split(np.arange(len(y)), [1097, 1447])]


def begin(rng):
    """Random weights, and optimizer state at rest."""
    weights = {
        "w1": rng.normal(0, 64**-0.5, (64, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0, HIDDEN**-0.5, (HIDDEN, 10)),
        "b2": np.zeros(10),
    }
    return weights, {name: np.zeros_like(value) for name, value in weights.items()}


def forward(weights, x):
    hidden = np.maximum(0, x @ weights["w1"] + weights["b1"])
    logits = hidden @ weights["w2"] + weights["b2"]
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, exponent / exponent.sum(axis=1, keepdims=True)


def gradients(weights, x, y):
    hidden, probability = forward(weights, x)
    error = (probability - np.eye(10)[y]) / len(y)
    back = error @ weights["w2"].T * (hidden > 0)
    return {"w1": x.T @ back, "b1": back.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}


def accuracy(weights, x, y):
    return (forward(weights, x)[1].argmax(axis=1) == y).mean()


def save(path, epoch, weights, velocity):
    state = {f"velocity.{name}": value for name, value in velocity.items()}
    np.savez(path, epoch=epoch, **weights, **state)


def load(path):
    state = np.load(path)
    names = [name for name in state.files if "." not in name and name != "epoch"]
    weights = {name: state[name] for name in names}
    return int(state["epoch"]), weights, {name: state[f"velocity.{name}"] for name in names}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=10, help="train to the end of this epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from")
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    (x, y), validation, test = data()
    epoch, weights, velocity = load(options.resume) if options.resume else (0, *begin(rng))
    while epoch < options.epochs:
        for rows in np.array_split(rng.permutation(len(y)), len(y) // BATCH):
            for name, gradient in gradients(weights, x[rows], y[rows]).items():
                velocity[name] = options.momentum * velocity[name] - options.lr * gradient
                weights[name] = weights[name] + velocity[name]
        epoch += 1
        print(f"epoch {epoch} val accuracy {accuracy(weights, *validation):.4f}")
    save(options.out / "last.npz", epoch, weights, velocity)
    print(f"test accuracy {accuracy(weights, *test):.4f}")


if __name__ == "__main__":
    main()
