"""Small populations to play rounds with."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import heredity.torch as ht
from heredity.executors.program import FRESH, Round, RoundScores, Setting
from heredity.space import LogUniform, Space, Uniform
from heredity.torch.vector.program import Program
from heredity.torch.vector.ramps import columns_of

EXAMPLES, FEATURES, CLASSES = 48, 6, 3

_generator = torch.Generator().manual_seed(0)
X = torch.randn(EXAMPLES, FEATURES, generator=_generator, dtype=torch.float64)
Y = (X @ torch.randn(FEATURES, CLASSES, generator=_generator, dtype=torch.float64)).argmax(1)
WHOLE = ht.batches((X, Y), EXAMPLES)
"""All examples in each batch: their order makes no difference."""

RATES = Space(lr=LogUniform(1e-4, 1.0), momentum=Uniform(0.0, 0.99))
SGD = ht.SGD(lr="lr", momentum="momentum")


def mlp(*between: torch.nn.Module) -> torch.nn.Module:
    first, last = torch.nn.Linear(FEATURES, 8), torch.nn.Linear(8, CLASSES)
    return torch.nn.Sequential(first, *between, torch.nn.Tanh(), last).double()


def loss(model: Any, batch: Any, hparams: Any) -> torch.Tensor:
    x, y = batch
    return cross_entropy(model(x), y)


def accuracy(model: Any, hparams: Any) -> torch.Tensor:
    return (model(X).argmax(1) == Y).double().mean()


def classifier(**changed: Any) -> ht.VectorTrainable:
    parts = {"model": mlp, "loss": loss, "optimizer": SGD, "data": WHOLE, "evaluate": accuracy}
    return ht.VectorTrainable(**{**parts, **changed})


class Played:
    """A population that is played round after round."""

    def __init__(
        self,
        trainable: ht.VectorTrainable,
        hparams: Sequence[Mapping[str, Any]],
        space: Space = RATES,
        *,
        chunk: Any = "auto",
        seed: int = 0,
        metric: str = "accuracy",
        slots: int = 1,
    ) -> None:
        self.space, self.hparams = space, hparams
        self.program: Program = trainable.program(chunk, None)
        self.program.open(Setting(space, len(hparams), 10, metric, seed, slots=slots))
        self.turn = 0
        self.starts = np.zeros(len(hparams), dtype=np.int64)

    def play(self, steps: int, sources: Sequence[int] | None = None, **more: Any) -> RoundScores:
        """A round; the first begins from scratch, the others go on."""
        count = len(self.hparams)
        going_on = [FRESH] * count if self.turn == 0 else list(range(count))
        taken = np.array(going_on if sources is None else sources, dtype=np.int64)
        self.starts = np.where(taken == FRESH, 0, self.starts[taken])
        settings = {"measured": np.ones(count, dtype=bool), **more}
        self.program.start(
            Round(
                sources=taken,
                turns=np.full(count, self.turn),
                starts=self.starts,
                hparams=columns_of(self.space, self.hparams),
                steps=steps,
                **settings,
            )
        )
        self.turn += 1
        self.starts = self.starts + steps
        return self.program.finish()

    def members(self) -> list[Any]:
        """What `member` gives for each row."""
        with tempfile.TemporaryDirectory() as folder:
            self.program.copy().write(Path(folder))
            rows = range(len(self.hparams))
            return [member(self.program, Path(folder), row) for row in rows]

    def states(self) -> dict[str, torch.Tensor]:
        """The stacked state, without the slots."""
        return {path: leaf[: len(self.hparams)] for path, leaf in self.program.copy().state.items()}


def member(program: Program, folder: Path, row: int, space: Space = RATES) -> Any:
    return program.member(folder, row, {}, space)


def rates(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return RATES.sample_many(count, seed)


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
