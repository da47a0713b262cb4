"""Train a population of PyTorch networks on scikit-learn's digits, all as one program.

You write for one member; parameters, gradients and batches of all members are computed together.

    python examples/digits_torch_vectorized.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import heredity as hd
import heredity.torch

device = "cuda" if torch.cuda.is_available() else "cpu"
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32, device=device) / 16
y = torch.tensor(digits.target, device=device)
rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0)).to(device)
train, valid, test = rows.split([1097, 350, 350])


def model():
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10))


def loss(model, batch, hparams):
    images, labels = batch
    smooth, logits = hparams["smoothing"], model(images)
    return (1 - smooth) * cross_entropy(logits, labels) - smooth * logits.log_softmax(1).mean()


def accuracy(model, rows):
    return (model(x[rows]).argmax(1) == y[rows]).float().mean()


def evaluate(model, hparams):  # the first selects, the second never does: held out
    return {"accuracy": accuracy(model, valid), "test_accuracy": accuracy(model, test)}


study = hd.Study(
    heredity.torch.VectorTrainable(
        model,
        loss,
        heredity.torch.SGD(lr="lr", momentum="momentum"),
        heredity.torch.batches((x[train], y[train]), batch_size=64),
        evaluate,
    ),
    hd.Space(
        lr=hd.LogUniform(1e-4, 1.0),
        momentum=hd.Uniform(0.0, 0.99),
        smoothing=hd.Uniform(0.0, 0.3),
    ),
    objective=hd.maximize("accuracy"),
    population=64,
    interval=50,
    budget=hd.Steps(500),
    name="digits-torch-vectorized",
    storage="runs",
    seed=0,
)

if __name__ == "__main__":
    result = study.run()
    best = result.best
    print(f"validation accuracy {best.score:.3f}, held-out {best.metrics['test_accuracy']:.3f}")
    print(result.schedule())
