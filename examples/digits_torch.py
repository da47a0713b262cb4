"""Train a population of PyTorch networks on the digits that scikit-learn ships.

Write `setup`, `train` and `evaluate`; saving, loading and setting the learning rate are done.

    python examples/digits_torch.py
"""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

import heredity as hd
import heredity.torch


class Digits(heredity.torch.Trainable):
    def prepare(self):
        data = load_digits()
        x = torch.tensor(data.data, dtype=torch.float32, device=self.device) / 16
        y = torch.tensor(data.target, device=self.device)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0)).split(
            [1097, 350, 350]
        )
        self.train_set, self.valid_set, self.test_set = ((x[rows], y[rows]) for rows in order)

    def setup(self, hparams, seed):
        layers = torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
        self.net = torch.nn.Sequential(*layers).to(self.device)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def train(self, steps):
        x, y = self.train_set
        for _ in range(steps):
            batch = torch.randint(len(y), (self.hparams["batch_size"],), device=self.device)
            self.optimizer.zero_grad()
            cross_entropy(self.net(x[batch]), y[batch]).backward()
            self.optimizer.step()

    def evaluate(self):
        return {
            "accuracy": self.accuracy(*self.valid_set),  # selects
            "test_accuracy": self.accuracy(*self.test_set),  # never selects: held out
        }

    def accuracy(self, x, y):
        return (self.net(x).argmax(1) == y).float().mean()


study = hd.Study(
    Digits,
    hd.Space(
        lr=hd.LogUniform(1e-4, 1.0),  # set in the optimizer by its name
        momentum=hd.Uniform(0.0, 0.99),  # likewise
        batch_size=hd.Ordinal([32, 64, 128]),
    ),
    objective=hd.maximize("accuracy"),
    population=8,
    interval=50,
    budget=hd.Steps(500),
    name="digits-torch",
    storage="runs",
    seed=0,
)

if __name__ == "__main__":
    result = study.run()
    best = result.best
    print(f"validation accuracy {best.score:.3f}, held-out {best.metrics['test_accuracy']:.3f}")
    print(result.schedule())
