"""Optimizers of a whole population: each hyperparameter may differ from member to member.

An optimizer updates stacked parameters of shape (rows, …) in place, with one number or a column of
numbers for each setting. Members meet nowhere: a row is updated from its own values alone. The
formulas and their order are those of `torch.optim`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from heredity.errors import UsageError, did_you_mean

NumberOrName = float | str
"""A number for all members, or the name of the hparam that gives each member its own."""

Slots = dict[str, dict[str, Tensor]]
"""What an optimizer keeps: slot → parameter's name → tensor."""


class Optimizer(Protocol):
    """Stateless; its state is a part of the member's."""

    def init(self, params: Mapping[str, Tensor]) -> Slots:
        """The slots of one member's parameters before the first step."""

    def update(
        self,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        slots: Slots,
        settings: Settings,
    ) -> None:
        """One step of stacked parameters and slots, in place. Gradients are left as they are."""


class Settings:
    """An optimizer's settings for a group of rows: numbers, or columns of shape (rows,)."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._shaped: dict[tuple[str, int, torch.dtype], Tensor] = {}

    def raw(self, name: str) -> Any:
        """The number, or the column in double precision."""
        return self._values[name]

    def of(self, name: str, like: Tensor) -> Any:
        """The setting, ready to be combined with a stacked tensor of shape (rows, …)."""
        value = self._values[name]
        return self.shaped(name, value, like) if isinstance(value, Tensor) else value

    def shaped(self, name: str, column: Tensor, like: Tensor) -> Tensor:
        """A column of `name` in the shape and precision to combine it with a stacked tensor."""
        key = (name, like.ndim, like.dtype)
        if key not in self._shaped:
            self._shaped[key] = stand(column, like)
        return self._shaped[key]


def stand(column: Tensor, like: Tensor) -> Tensor:
    """(rows,) → (rows, 1, …), in the precision of `like` but at least single."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    shape = (-1, *(1 for _ in range(like.ndim - 1)))
    return column.to(dtype).view(shape)


def names_of(optimizer: Optimizer) -> dict[str, str]:
    """The settings that come from hparams: setting → hparam."""
    return {name: value for name, value in _settings(optimizer) if isinstance(value, str)}


def settings_of(optimizer: Optimizer, hparams: Mapping[str, Any]) -> Settings:
    """An optimizer's settings with the hparams that it names; `UsageError` for unknown names."""
    for name, value in names_of(optimizer).items():
        if value not in hparams:
            raise UsageError(
                f"{type(optimizer).__name__}({name}={value!r}): there is no hparam of this name."
                f"{did_you_mean(value, hparams)}"
            )
    return Settings(
        {
            name: hparams[value] if isinstance(value, str) else value
            for name, value in _settings(optimizer)
        }
    )


def _settings(optimizer: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(optimizer, field.name)) for field in fields(optimizer)]


def _check(optimizer: Any) -> None:
    """Raise `UsageError` for a setting that is neither a number nor a name."""
    for name, value in _settings(optimizer):
        is_number = isinstance(value, int | float) and 0 <= value < math.inf
        if not is_number and not isinstance(value, str):
            raise UsageError(
                f"{type(optimizer).__name__}: {name} is a number from 0, or the name of the hparam "
                f"to use, not {value!r:.80}"
            )


def _is_zero(value: Any) -> bool:
    return not isinstance(value, str | Tensor) and value == 0


def _zeros(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(param) for name, param in params.items()}


def _with_decay(grad: Tensor, param: Tensor, settings: Settings) -> Tensor:
    """The gradient with the weight decay's part (L2)."""
    decay = settings.of("weight_decay", param)
    return grad if _is_zero(decay) else torch.add(grad, decay * param)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as `torch.optim.SGD` without dampening."""

    lr: NumberOrName = "lr"
    momentum: NumberOrName = 0.0
    weight_decay: NumberOrName = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check(self)
        if self.nesterov and _is_zero(self.momentum):
            raise UsageError("SGD(nesterov=True) needs a momentum")

    def init(self, params: Mapping[str, Tensor]) -> Slots:
        return {} if _is_zero(self.momentum) else {"momentum": _zeros(params)}

    def update(
        self,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        slots: Slots,
        settings: Settings,
    ) -> None:
        for name, param in params.items():
            step = _with_decay(grads[name], param, settings)
            if "momentum" in slots:
                momentum = settings.of("momentum", param)
                buffer = slots["momentum"][name].mul_(momentum).add_(step)
                step = step + momentum * buffer if self.nesterov else buffer
            _descend(param, step, settings)


def _descend(param: Tensor, step: Tensor, settings: Settings) -> None:
    lr = settings.of("lr", param)
    if isinstance(lr, Tensor):
        param.addcmul_(step, lr.to(param.dtype), value=-1)
    else:
        param.add_(step, alpha=-lr)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), as `torch.optim.Adam`; weight decay is added to the gradient."""

    lr: NumberOrName = 1e-3
    beta1: NumberOrName = 0.9
    beta2: NumberOrName = 0.999
    eps: NumberOrName = 1e-8
    weight_decay: NumberOrName = 0.0

    decoupled = False

    def __post_init__(self) -> None:
        _check(self)

    def init(self, params: Mapping[str, Tensor]) -> Slots:
        device = next(iter(params.values())).device
        count = torch.zeros((), dtype=torch.int64, device=device)
        return {"mean": _zeros(params), "square": _zeros(params), "steps": {"count": count}}

    def update(
        self,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        slots: Slots,
        settings: Settings,
    ) -> None:
        count = slots["steps"]["count"].add_(1).to(torch.float64)
        corrections = [1.0 - settings.raw(beta) ** count for beta in ("beta1", "beta2")]
        rate = settings.raw("lr") / corrections[0]
        root = corrections[1].sqrt()
        for name, param in params.items():
            grad = self._decayed(param, grads[name], settings)
            beta1, beta2 = settings.of("beta1", param), settings.of("beta2", param)
            mean = slots["mean"][name].lerp_(grad, _weight(1.0 - beta1, grad))
            square = slots["square"][name].mul_(beta2)
            square.add_((1.0 - beta2) * grad * grad)
            scale = (square.sqrt() / stand(root, param)).add_(settings.of("eps", param))
            param.sub_(stand(rate, param) * mean / scale)

    def _decayed(self, param: Tensor, grad: Tensor, settings: Settings) -> Tensor:
        """The gradient to use. Decoupled decay shrinks the parameter instead."""
        if not self.decoupled:
            return _with_decay(grad, param, settings)
        decay = settings.of("weight_decay", param)
        if not _is_zero(decay):
            param.mul_(1.0 - settings.of("lr", param) * decay)
        return grad


def _weight(weight: Any, like: Tensor) -> Any:
    return weight.to(like.dtype) if isinstance(weight, Tensor) else weight


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`."""

    weight_decay: NumberOrName = 1e-2

    decoupled = True


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Hinton's lecture; centered: Graves 2013), as `torch.optim.RMSprop`."""

    lr: NumberOrName = 1e-2
    alpha: NumberOrName = 0.99
    eps: NumberOrName = 1e-8
    weight_decay: NumberOrName = 0.0
    momentum: NumberOrName = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def init(self, params: Mapping[str, Tensor]) -> Slots:
        used = {
            "square": True,
            "mean": self.centered,
            "momentum": not _is_zero(self.momentum),
        }
        return {slot: _zeros(params) for slot, is_used in used.items() if is_used}

    def update(
        self,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        slots: Slots,
        settings: Settings,
    ) -> None:
        for name, param in params.items():
            grad = _with_decay(grads[name], param, settings)
            step = grad / self._scale(name, grad, slots, settings)
            if "momentum" in slots:
                buffer = slots["momentum"][name].mul_(settings.of("momentum", param))
                step = buffer.add_(step)
            _descend(param, step, settings)

    def _scale(self, name: str, grad: Tensor, slots: Slots, settings: Settings) -> Tensor:
        """The root of the gradient's second moment, about its mean if centered."""
        alpha = settings.of("alpha", grad)
        square = slots["square"][name].mul_(alpha)
        square.add_((1.0 - alpha) * grad * grad)
        if self.centered:
            mean = slots["mean"][name].lerp_(grad, _weight(1.0 - alpha, grad))
            square = square - mean * mean
        return torch.add(torch.sqrt(square), settings.of("eps", grad))
