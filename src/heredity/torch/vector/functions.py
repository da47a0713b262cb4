"""The general form: pure functions of one member's state, made into functions of stacked states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from heredity.torch.vector.bodies import (
    Hparams,
    Stepper,
    as_numbers,
    drawing,
    split,
    taken_apart,
    with_metrics,
)
from heredity.torch.vector.mistakes import own_errors
from heredity.torch.vector.tree import Flat, flatten, unflatten


class Functions:
    """Pure functions of one member's state, which is a nested dict of tensors."""

    names = ("init(hparams)", "step(state, hparams, batch)", "evaluate(state, hparams)")

    def __init__(
        self,
        init: Callable[..., Any],
        step: Callable[..., Any],
        evaluate: Callable[..., Any],
        shared: nn.Module | None,
    ) -> None:
        self.init, self.stepped, self.scored, self.shared = init, step, evaluate, shared

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"init": self.init, "step": self.stepped, "evaluate": self.scored}

    @property
    def trains(self) -> Callable[..., Any]:
        return self.stepped

    def place(self, device: torch.device) -> None:
        if self.shared is not None:
            self.shared.to(device)

    def fresh(self, hparams: Hparams) -> Flat:
        with own_errors(self.names[0]):
            state = flatten(self.init(hparams), self.names[0])
        return {path: tensor.detach() for path, tensor in state.items()}

    def stepper(self, hparams: Hparams, *, shared_batch: bool, keyed: bool) -> Stepper:
        constants, columns = split(hparams)

        def one(state: Flat, hparams: Hparams, batch: Any, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self.stepped(unflatten(state), {**constants, **hparams}, batch)
            new, metrics = with_metrics(returned)
            return flatten(new, self.names[1]), as_numbers(metrics, self.names[1])

        batch_axis = None if shared_batch else 0
        in_dims = (0, 0, batch_axis, 0 if keyed else None)
        every = vmap(taken_apart(one), in_dims=in_dims, randomness="error")
        return lambda state, batch, keys: every(state, columns, batch, keys)

    def evaluate(self, state: Flat, hparams: Hparams, keys: Tensor | None) -> Any:
        constants, columns = split(hparams)

        def one(state: Flat, hparams: Hparams, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self.scored(unflatten(state), {**constants, **hparams})
            return as_numbers(returned, self.names[2])

        in_dims = (0, 0, None if keys is None else 0)
        return vmap(taken_apart(one), in_dims=in_dims, randomness="error")(state, columns, keys)

    def member(self, state: Flat) -> Any:
        return unflatten(state)
