"""What one member is made of, as the program needs it for many members at once.

A body turns the user's functions for ONE member into functions of stacked states, by `torch.func`.
It keeps no state, and knows nothing of rounds, take-overs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from heredity.errors import UsageError
from heredity.torch.vector.draws import Keyed
from heredity.torch.vector.optimizers import Optimizer, Settings, settings_of
from heredity.torch.vector.tree import Flat, flatten, unflatten

Hparams = Mapping[str, Any]


class Stepper(Protocol):
    """Trains a group of rows: made once a round and group, called for each step."""

    def __call__(self, state: Flat, batch: Any, keys: Tensor | None) -> tuple[Flat, Flat]:
        """One step of stacked states: the new ones, which may be the old ones changed in place,
        and step metrics of shape (rows,)."""


class Body(Protocol):
    """The functions of one member, stacked."""

    names: tuple[str, str]
    """How errors call the function that trains and the one that evaluates."""

    def fresh(self, hparams: Hparams) -> Flat:
        """One member's state before its first step. Global generators are seeded."""

    def stepper(self, hparams: Hparams, *, shared_batch: bool, keyed: bool) -> Stepper:
        """Trains rows with these hparams: plain constants, and columns of shape (rows,)."""

    def evaluate(self, state: Flat, hparams: Hparams, keys: Tensor | None) -> Any:
        """Evaluation metrics, each of shape (rows,), or one bare column."""

    def member(self, state: Flat) -> Any:
        """One member's state in the user's own form."""

    def place(self, device: torch.device) -> None:
        """Move to the device what members share."""


def split(hparams: Hparams) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain constants, and columns with an entry for each row."""
    columns = {name: value for name, value in hparams.items() if isinstance(value, Tensor)}
    return {name: value for name, value in hparams.items() if name not in columns}, columns


def drawing(key: Tensor | None) -> Any:
    """torch's random functions, keyed; without a key they are refused by `vmap`."""
    return nullcontext() if key is None else Keyed(key)


def as_number(value: Any, source: str, name: str = "") -> Tensor:
    """One number as a tensor without dimensions; or an error that says what to return."""
    called = f"`{name}` of {source}" if name else source
    if not isinstance(value, Tensor | int | float):
        raise UsageError(f"{called} must be a number, not {type(value).__name__} ({value!r:.80})")
    value = torch.as_tensor(value)
    if value.numel() != 1:
        raise UsageError(
            f"{called} must be one number, not a tensor of shape {tuple(value.shape)}: reduce it, "
            "for example with .mean()"
        )
    return value.reshape(())


def as_numbers(returned: Any, source: str) -> Any:
    """A number, or a mapping of name to number, as tensors without dimensions."""
    if isinstance(returned, Mapping):
        return {str(name): as_number(value, source, str(name)) for name, value in returned.items()}
    return as_number(returned, source)


def _with_metrics(returned: Any) -> tuple[Any, Mapping[str, Any]]:
    """A result that may come with step metrics."""
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        return returned
    return returned, {}


# A network, a loss and an optimizer --------------------------------------------------------

TRAIN_LOSS = "train_loss"


class _Holder(nn.Module):
    """Calls a function with the network whose tensors `functional_call` has put in place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self.network, *arguments)


class Network:
    """A module, a loss and one of our optimizers. A state holds `params/…`, `buffers/…` and
    `optimizer/<slot>/…`; what belongs to `shared` is in none."""

    names = ("loss(model, batch, hparams)", "evaluate(model, hparams)")

    def __init__(
        self,
        model: Callable[[], nn.Module],
        loss: Callable[..., Any],
        optimizer: Optimizer,
        evaluate: Callable[..., Any],
        shared: nn.Module | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scored, self.shared = evaluate, shared
        self._holder: _Holder | None = None

    def place(self, device: torch.device) -> None:
        if self.shared is not None:
            self.shared.to(device)
        self._holder = _Holder(self._built().to(device))

    def _built(self) -> nn.Module:
        module = self.model()
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"model() returned {type(module).__name__}: return a new torch.nn.Module"
            )
        return module

    def fresh(self, hparams: Hparams) -> Flat:
        params, buffers = self._own(self._built())
        if not params:
            raise UsageError("model() has no parameter that requires a gradient")
        slots = self.optimizer.init(params)
        return flatten({"params": params, "buffers": buffers, "optimizer": slots}, "model()")

    def _own(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What each member has for itself: trained parameters, and all else it holds."""
        common = _identities(self.shared) if self.shared is not None else set()
        params, others = {}, {}
        for name, param in module.named_parameters():
            if id(param) not in common:
                (params if param.requires_grad else others)[name] = param.detach()
        for name, buffer in module.named_buffers():
            if id(buffer) not in common:
                others[name] = buffer.detach()
        return params, others

    def stepper(self, hparams: Hparams, *, shared_batch: bool, keyed: bool) -> Stepper:
        constants, columns = split(hparams)
        settings = settings_of(self.optimizer, {**constants, **_exact(columns)})
        batch_axis = None if shared_batch else 0
        gradients = vmap(
            grad(self._objective(constants), has_aux=True),
            in_dims=(0, 0, 0, batch_axis, 0 if keyed else None),
            randomness="error",
        )
        self._network.train()

        def step(state: Flat, batch: Any, keys: Tensor | None) -> tuple[Flat, Flat]:
            parts = _parts(state)
            grads, (buffers, metrics) = gradients(parts.params, parts.buffers, columns, batch, keys)
            self.optimizer.update(parts.params, grads, parts.slots, settings)
            for name, buffer in buffers.items():
                parts.buffers[name].copy_(buffer)
            return state, metrics

        return step

    def _objective(self, constants: Hparams) -> Callable[..., Any]:
        """One member's loss; its new buffers and step metrics beside it."""

        def objective(
            params: Flat, buffers: Flat, hparams: Hparams, batch: Any, key: Tensor | None
        ) -> Any:
            held = _held(params, {name: buffer.clone() for name, buffer in buffers.items()})
            with drawing(key):
                returned = self._call(held, self.loss, batch, {**constants, **hparams})
            loss, metrics = _with_metrics(returned)
            loss = as_number(loss, self.names[0])
            shown = {TRAIN_LOSS: loss, **as_numbers(metrics, self.names[0])}
            return loss, ({name: held[_place(name)] for name in buffers}, shown)

        return objective

    def _call(self, held: Flat, function: Callable[..., Any], *arguments: Any) -> Any:
        assert self._holder is not None
        return functional_call(self._holder, held, (function, *arguments))

    @property
    def _network(self) -> nn.Module:
        assert self._holder is not None
        return self._holder

    def evaluate(self, state: Flat, hparams: Hparams, keys: Tensor | None) -> Any:
        constants, columns = split(hparams)
        self._network.eval()

        def scores(params: Flat, buffers: Flat, hparams: Hparams, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self._call(_held(params, buffers), self.scored, {**constants, **hparams})
            return as_numbers(returned, self.names[1])

        parts = _parts(state)
        in_dims = (0, 0, 0, None if keys is None else 0)
        every = vmap(scores, in_dims=in_dims, randomness="error")
        return every(parts.params, parts.buffers, columns, keys)

    def member(self, state: Flat) -> nn.Module:
        module = self._built()
        held = unflatten(state)
        module.load_state_dict(
            {**held["params"], **held.get("buffers", {})}, strict=self.shared is None
        )
        return module


class _parts:  # noqa: N801
    """The parts of a network's flat state, by parameter's name. Views, not copies."""

    def __init__(self, state: Flat) -> None:
        self.params: Flat = {}
        self.buffers: Flat = {}
        self.slots: dict[str, Flat] = {}
        for path, tensor in state.items():
            part, rest = path.split("/", 1)
            if part == "optimizer":
                slot, name = rest.split("/", 1)
                self.slots.setdefault(slot, {})[name] = tensor
            else:
                (self.params if part == "params" else self.buffers)[rest] = tensor


def _place(name: str) -> str:
    return f"network.{name}"


def _held(*groups: Flat) -> Flat:
    return {_place(name): tensor for group in groups for name, tensor in group.items()}


def _identities(module: nn.Module) -> set[int]:
    return {id(tensor) for tensor in (*module.parameters(), *module.buffers())}


def _exact(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Columns in double precision, in which torch's optimizers compute their settings."""
    return {name: column.to(torch.float64) for name, column in columns.items()}


# Functions ---------------------------------------------------------------------------------


class Functions:
    """Pure functions of one member's state, which is a nested dict of tensors."""

    names = ("step(state, hparams, batch)", "evaluate(state, hparams)")

    def __init__(
        self,
        init: Callable[..., Any],
        step: Callable[..., Any],
        evaluate: Callable[..., Any],
        shared: nn.Module | None,
    ) -> None:
        self.init, self.stepped, self.scored, self.shared = init, step, evaluate, shared

    def place(self, device: torch.device) -> None:
        if self.shared is not None:
            self.shared.to(device)

    def fresh(self, hparams: Hparams) -> Flat:
        state = flatten(self.init(hparams), "init(hparams)")
        return {path: tensor.detach() for path, tensor in state.items()}

    def stepper(self, hparams: Hparams, *, shared_batch: bool, keyed: bool) -> Stepper:
        constants, columns = split(hparams)

        def one(state: Flat, hparams: Hparams, batch: Any, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self.stepped(unflatten(state), {**constants, **hparams}, batch)
            new, metrics = _with_metrics(returned)
            return flatten(new, self.names[0]), as_numbers(metrics, self.names[0])

        batch_axis = None if shared_batch else 0
        in_dims = (0, 0, batch_axis, 0 if keyed else None)
        every = vmap(one, in_dims=in_dims, randomness="error")
        return lambda state, batch, keys: every(state, columns, batch, keys)

    def evaluate(self, state: Flat, hparams: Hparams, keys: Tensor | None) -> Any:
        constants, columns = split(hparams)

        def one(state: Flat, hparams: Hparams, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self.scored(unflatten(state), {**constants, **hparams})
            return as_numbers(returned, self.names[1])

        in_dims = (0, 0, None if keys is None else 0)
        return vmap(one, in_dims=in_dims, randomness="error")(state, columns, keys)

    def member(self, state: Flat) -> Any:
        return unflatten(state)
