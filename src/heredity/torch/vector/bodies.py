"""The Body: what one member is made of, as the program needs it for many members at once.

A body turns the user's functions for ONE member into functions of stacked states, by `torch.func`.
It keeps no state, and knows nothing of rounds, take-overs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from heredity.errors import UsageError
from heredity.torch.vector.draws import Keyed
from heredity.torch.vector.tree import Flat

Hparams = Mapping[str, Any]


class Stepper(Protocol):
    """Trains a group of rows: made once a round and group, called for each step."""

    def __call__(self, state: Flat, batch: Any, keys: Tensor | None) -> tuple[Flat, Flat]:
        """One step of stacked states: the new ones, which may be the old ones changed in place,
        and step metrics of shape (rows,)."""


class Body(Protocol):
    """The functions of one member, stacked."""

    names: tuple[str, str, str]
    """How errors call the function that makes a member, trains it, and evaluates it."""

    shared: nn.Module | None
    """What all members use and none trains."""

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The user's functions by their names."""

    @property
    def trains(self) -> Callable[..., Any]:
        """The user's function that trains."""

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


def batched_kernels(device: torch.device) -> Any:
    """Attention by what torch computes for all members at once: on the CPU its own kernel would be
    called for one after the other."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def taken_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with operations such as `torch.lstm` computed by those that they are made of.

    torch takes them apart where gradients may be wanted, and else has no way to compute them for
    many members at once.
    """

    def called(*arguments: Any) -> Any:
        nothing = torch.zeros(())
        return grad(lambda zero, *args: (zero, function(*args)), has_aux=True)(nothing, *arguments)[
            1
        ]

    return called


def as_number(value: Any, source: str, name: str = "") -> Tensor:
    """One number as a tensor without dimensions; or an error that says what to return."""
    called = f"`{name}` of {source}" if name else source
    if not isinstance(value, Tensor | int | float):
        raise UsageError(f"{called} must be a number, not {type(value).__name__} ({value!r:.80})")
    value = value if isinstance(value, Tensor) else torch.tensor(value)
    if value.numel() != 1:
        raise UsageError(
            f"{called} must be one number, not a tensor of shape {tuple(value.shape)}: reduce it, "
            "for example with .mean()"
        )
    number: Tensor = value
    return number.reshape(()) if number.ndim else number  # a view is not free under `vmap`


def as_numbers(returned: Any, source: str) -> Any:
    """A number, or a mapping of name to number, as tensors without dimensions."""
    if isinstance(returned, Mapping):
        return {str(name): as_number(value, source, str(name)) for name, value in returned.items()}
    return as_number(returned, source)


def with_metrics(returned: Any) -> tuple[Any, Mapping[str, Any]]:
    """A result that may come with step metrics."""
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        return returned
    return returned, {}
