"""The task of the throughput benchmark: an MLP 64-128-10 on scikit-learn's handwritten digits.

All that is timed of training stands here, so that every contestant runs the very same code. This
file knows none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

BATCH_SIZE = 64
HELD_OUT = 360
LR = (1e-3, 0.3)
"""Bounds of the learning rate, log-uniform."""
MOMENTUM = (0.0, 0.95)
"""Bounds of the momentum, uniform."""


@dataclass(frozen=True)
class Digits:
    """Inputs of shape (images, 64) in [0, 1] and labels of shape (images,), in two parts."""

    inputs: Tensor
    labels: Tensor
    held_inputs: Tensor
    held_labels: Tensor


def write_digits(path: Path) -> None:
    """Write the images, shuffled once, to an `.npz` that needs no scikit-learn to be read."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    np.savez(path, inputs=(inputs[order] / 16).astype(np.float32), labels=labels[order])


def read_digits(path: str | Path) -> Digits:
    """Read what `write_digits` wrote."""
    with np.load(path) as data:
        inputs = torch.from_numpy(data["inputs"])
        labels = torch.from_numpy(data["labels"].astype(np.int64))
    return Digits(inputs[HELD_OUT:], labels[HELD_OUT:], inputs[:HELD_OUT], labels[:HELD_OUT])


def build(lr: float, momentum: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A fresh member: the model and its optimizer."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    return model, torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, steps: int) -> None:
    """Train on `steps` random batches."""
    for _ in range(steps):
        batch = torch.randint(len(digits.labels), (BATCH_SIZE,))
        loss = nn.functional.cross_entropy(model(digits.inputs[batch]), digits.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(model: nn.Module, digits: Digits) -> float:
    """The fraction of the held-out images that are classified correctly."""
    with torch.no_grad():
        found = model(digits.held_inputs).argmax(dim=1)
    return float((found == digits.held_labels).float().mean())
