"""What a user gives to train a whole population as one PyTorch program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from heredity.errors import UsageError
from heredity.executors.program import Setting
from heredity.torch.vector.bodies import Body
from heredity.torch.vector.checks import Inherit
from heredity.torch.vector.data import Data, as_data, device_of
from heredity.torch.vector.functions import Functions
from heredity.torch.vector.network import Network
from heredity.torch.vector.optimizers import Optimizer
from heredity.torch.vector.program import Program
from heredity.torch.vector.single import SingleTrainable
from heredity.trainables.trainable import Trainable


class VectorTrainable:
    """All members of a population, trained as one program on one device.

    You write for ONE member; parameters, gradients, optimizer states and batches of all members are
    stacked and computed together. Hparams are tensors without dimensions (choices of a
    `Categorical` are indices; a `Constant` is its plain value).

    torch's random functions (`torch.rand`, `randn`, `normal`, `randint`, `randperm`, `bernoulli`,
    `multinomial`, dropout, also in attention) draw for each member on its own, from the study's
    seed, the member, its turn and the step: a member's result does not depend on the others.

    The function that trains is traced once: it may branch on shapes and constants, but what its
    Python code does besides computing with tensors happens only then.

    Args:
        model: a function without arguments that returns a new module. Each member starts from a
            module of its own. Running statistics of BatchNorm are kept for each member.
        loss: `loss(model, batch, hparams)` → a number to minimise, or the number and a dict of
            step metrics. `model` is in training mode.
        optimizer: `SGD`, `Adam`, `AdamW` or `RMSprop` of `heredity.torch`; a setting is a number,
            or the name of the hparam to use.
        data: `batches((x, y), 64)` or `stream(make_iterator)`; None if the loss makes its own.
        evaluate: `evaluate(model, hparams)` → the score, or a dict with it. Evaluation mode.
        shared: a module that all members use and none trains, such as the frozen base of small
            adapters. It exists once, is not saved, and stays in evaluation mode; `model` builds on
            this very object.
        device: where to train; by default where the tensors of `batches` are, else the CPU.
        compile: fuse a step's operations by `torch.compile`, which takes some ten seconds when the
            study opens, and a C++ compiler on the CPU. Measured on one core of a CPU for 16 and 64
            members: perceptrons train 1.3 to 1.5 times as fast, with dropout twice as fast, and
            convolutional networks 0.9 times.
    """

    def __init__(
        self,
        model: Callable[[], nn.Module],
        loss: Callable[..., Any],
        optimizer: Optimizer,
        data: Data,
        evaluate: Callable[..., Any],
        *,
        shared: nn.Module | None = None,
        device: str | torch.device | None = None,
        compile: bool = False,
    ) -> None:
        _check_network(model, optimizer)
        body = Network(model, loss, optimizer, evaluate, shared)
        self._take(body, data, None, device, compile)

    @classmethod
    def of(
        cls,
        init: Callable[..., Any],
        step: Callable[..., Any],
        evaluate: Callable[..., Any],
        data: Data = None,
        *,
        inherit: Inherit | None = None,
        shared: nn.Module | None = None,
        device: str | torch.device | None = None,
        compile: bool = False,
    ) -> VectorTrainable:
        """The general form: pure functions of one member's state, a (nested) dict of tensors.

        Args:
            init: `init(hparams)` → state. torch's generators are seeded for the member.
            step: `step(state, hparams, batch)` → the new state, or it and a dict of step metrics.
            evaluate: `evaluate(state, hparams)` → the score, or a dict with it.
            inherit: `inherit(own, donor)` → what a member goes on with when it takes over a donor;
                by default all of the donor's state.
        """
        made = cls.__new__(cls)
        made._take(Functions(init, step, evaluate, shared), data, inherit, device, compile)
        return made

    def _take(
        self,
        body: Body,
        data: Data,
        inherit: Inherit | None,
        device: str | torch.device | None,
        compile: bool,
    ) -> None:
        for name, function in body.functions.items():
            _check_function(name, function)
        if inherit is not None:
            _check_function("inherit", inherit)
        if not isinstance(body.shared, nn.Module | None):
            raise UsageError(f"shared is a torch.nn.Module, not {type(body.shared).__name__}")
        self._body, self._data = body, as_data(data)
        self._inherit, self._compile = inherit, compile
        self._device = torch.device(device or device_of(data) or "cpu")

    @property
    def step(self) -> Callable[..., Any]:
        """The function that trains a member: the loss, or the step of the general form."""
        return self._body.trains

    def program(self, chunk: int | Literal["auto"] = "auto", devices: int | None = None) -> Program:
        """The program of a whole population, which trains `chunk` members at once."""
        if devices not in (None, 1):
            raise UsageError(
                f"PyTorch trains a population on one device, not {devices}: leave out `devices`"
            )
        return Program(self._body, self._data, self._inherit, self._device, chunk, self._compile)

    def single(self, setting: Setting) -> Callable[[], Trainable]:
        """Makes an ordinary Trainable of the same functions, one member each.

        It draws the same random numbers as the member of a population would, so a study can be
        compared between one program and processes.
        """
        return partial(SingleTrainable, self.program, setting)


def _check_network(model: Any, optimizer: Any) -> None:
    if isinstance(model, nn.Module):
        raise UsageError(
            f"model is a function without arguments that returns a new module, not a "
            f"{type(model).__name__}: each member starts from a module of its own"
        )
    if isinstance(optimizer, type) or not hasattr(optimizer, "update"):
        given = optimizer if isinstance(optimizer, type) else type(optimizer)
        raise UsageError(
            "optimizer is one of heredity.torch, which train a whole population, such as "
            f"heredity.torch.SGD(lr='lr'), not {given.__module__}.{given.__qualname__}"
        )


def _check_function(name: str, function: Any) -> None:
    if not callable(function):
        raise UsageError(f"{name} is a function, not {function!r:.80}")
