"""The usual form: a module, a loss and an optimizer, made into functions of stacked states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.parameter import is_lazy

from heredity.errors import UsageError
from heredity.torch.vector.bodies import (
    Hparams,
    Stepper,
    as_number,
    as_numbers,
    drawing,
    split,
    taken_apart,
    with_metrics,
)
from heredity.torch.vector.generators import borrowed
from heredity.torch.vector.mistakes import own_errors
from heredity.torch.vector.optimizers import Optimizer, Slots, settings_of
from heredity.torch.vector.tree import SEPARATOR, Flat, flatten

TRAIN_LOSS = "train_loss"


class _Holder(nn.Module):
    """Calls a function with the network whose tensors `functional_call` has put in place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self.network, *arguments)


class Network:
    """A state holds `params/…`, `buffers/…`, `frozen/…` (parameters that are not trained) and
    `optimizer/<slot>/…`; what belongs to `shared` is in none of them."""

    names = ("model()", "loss(model, batch, hparams)", "evaluate(model, hparams)")

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
        self._has_ties = True

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"model": self.model, "loss": self.loss, "evaluate": self.scored}

    @property
    def trains(self) -> Callable[..., Any]:
        return self.loss

    def place(self, device: torch.device) -> None:
        if self.shared is not None:
            self.shared.to(device)
        self._holder = _Holder(self._built().to(device))
        self._has_ties = _has_ties(self._holder)

    def _built(self) -> nn.Module:
        with borrowed(), own_errors(self.names[0]):  # who asks for a module does not mean to draw
            module = self.model()
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"model() returned {type(module).__name__}: return a new torch.nn.Module"
            )
        _check_sizes(module)
        return module

    def fresh(self, hparams: Hparams) -> Flat:
        module, common = self._built(), _identities(self.shared)
        self._check_built(module, common)
        state: dict[str, dict[str, Tensor]] = {"params": {}, "frozen": {}, "buffers": {}}
        for name, param in module.named_parameters():
            if id(param) not in common:
                state["params" if param.requires_grad else "frozen"][name] = param.detach()
        for name, buffer in module.named_buffers():
            if id(buffer) not in common:
                state["buffers"][name] = buffer.detach()
        if not state["params"]:
            raise UsageError("model() has no parameter of its own that requires a gradient")
        return flatten({**state, "optimizer": self.optimizer.init(state["params"])}, self.names[0])

    def _check_built(self, module: nn.Module, common: set[int]) -> None:
        if self._holder is not None and module is self._holder.network:
            raise UsageError(
                "model() returned the same module twice: build a new one in it, since each member "
                "starts from weights of its own"
            )
        if self.shared is not None and not common & _identities(module):
            raise UsageError(
                "model() uses no tensor of `shared`: build it on this very object, not on a copy"
            )

    def stepper(self, hparams: Hparams, *, shared_batch: bool, keyed: bool) -> Stepper:
        constants, columns = split(hparams)
        settings = settings_of(self.optimizer, {**constants, **_exact(columns)})
        batch_axis = None if shared_batch else 0
        gradients = vmap(
            grad(self._objective(constants), has_aux=True),
            in_dims=(0, 0, 0, 0, batch_axis, 0 if keyed else None),
            randomness="error",
        )
        self._network.train()
        if self.shared is not None:
            self.shared.eval()

        def step(state: Flat, batch: Any, keys: Tensor | None) -> tuple[Flat, Flat]:
            parts = _Parts.of(state)
            grads, (buffers, metrics) = gradients(
                parts.params, parts.buffers, parts.frozen, columns, batch, keys
            )
            self.optimizer.update(parts.params, grads, parts.slots, settings)
            for name, buffer in buffers.items():
                parts.buffers[name].copy_(buffer)
            return state, metrics

        return step

    def _objective(self, constants: Hparams) -> Callable[..., Any]:
        """One member's loss; its new buffers and step metrics beside it."""

        def objective(
            params: Flat, buffers: Flat, frozen: Flat, hparams: Hparams, batch: Any, key: Any
        ) -> Any:
            changing = {name: buffer.clone() for name, buffer in buffers.items()}
            held = _held(params, changing, frozen)
            with drawing(key):
                returned = self._call(held, self.loss, batch, {**constants, **hparams})
            loss, metrics = with_metrics(returned)
            loss = as_number(loss, self.names[1])
            if not loss.requires_grad:
                raise UsageError(
                    f"{self.names[1]} does not depend on the model's parameters, so nothing would "
                    "be trained: return the loss itself, without detach() or torch.no_grad()"
                )
            shown = {TRAIN_LOSS: loss, **as_numbers(metrics, self.names[1])}
            return loss, ({name: held[_place(name)] for name in buffers}, shown)

        return objective

    def _call(self, held: Flat, function: Callable[..., Any], *arguments: Any) -> Any:
        assert self._holder is not None
        arguments = (function, *arguments)
        return functional_call(self._holder, held, arguments, tie_weights=self._has_ties)

    @property
    def _network(self) -> nn.Module:
        assert self._holder is not None
        return self._holder

    def evaluate(self, state: Flat, hparams: Hparams, keys: Tensor | None) -> Any:
        constants, columns = split(hparams)
        self._network.eval()

        def scores(held: Flat, hparams: Hparams, key: Tensor | None) -> Any:
            with drawing(key):
                returned = self._call(held, self.scored, {**constants, **hparams})
            return as_numbers(returned, self.names[2])

        parts = _Parts.of(state)
        in_dims = (0, 0, None if keys is None else 0)
        every = vmap(taken_apart(scores), in_dims=in_dims, randomness="error")
        return every(_held(parts.params, parts.buffers, parts.frozen), columns, keys)

    def member(self, state: Flat) -> nn.Module:
        """A module with the member's tensors, in evaluation mode."""
        module, parts = self._built(), _Parts.of(state)
        saved = {**parts.params, **parts.frozen, **parts.buffers}
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if name in saved:
                    tensor.copy_(saved[name])
        return module.eval()


@dataclass(frozen=True)
class _Parts:
    """The parts of a flat state, by parameter's name. The same tensors, not copies."""

    params: Flat
    buffers: Flat
    frozen: Flat
    slots: Slots

    @classmethod
    def of(cls, state: Flat) -> _Parts:
        parts = cls({}, {}, {}, {})
        for path, tensor in state.items():
            part, name = path.split(SEPARATOR, 1)
            if part == "optimizer":
                slot, name = name.split(SEPARATOR, 1)
                parts.slots.setdefault(slot, {})[name] = tensor
            else:
                getattr(parts, part)[name] = tensor
        return parts


def _place(name: str) -> str:
    return f"network.{name}"


def _held(*groups: Flat) -> Flat:
    return {_place(name): tensor for group in groups for name, tensor in group.items()}


def _has_ties(module: nn.Module) -> bool:
    """Whether a tensor has several names. Looking for them in every step would be slow."""
    named = (module.named_parameters, module.named_buffers)
    return any(len(list(names(remove_duplicate=False))) > len(list(names())) for names in named)


def _check_sizes(module: nn.Module) -> None:
    tensors = (*module.named_parameters(), *module.named_buffers())
    if lazy := next((name for name, tensor in tensors if is_lazy(tensor)), None):
        raise UsageError(
            f"model() returned a module whose `{lazy}` has no size yet, as lazy modules do until "
            "they are called: give the sizes (nn.Linear(6, 8) in place of nn.LazyLinear(8)), or "
            "call the module once in model(), on an example"
        )


def _identities(module: nn.Module | None) -> set[int]:
    if module is None:
        return set()
    return {id(tensor) for tensor in (*module.parameters(), *module.buffers())}


def _exact(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Columns in double precision, in which torch's optimizers compute their settings."""
    return {name: column.to(torch.float64) for name, column in columns.items()}
