"""How a group of rows takes its steps: traced once, then replayed.

Under `vmap` and `grad`, Python and dispatch cost small networks more than the arithmetic does. A
step is therefore traced once, for each size of group, into a plain list of operations, and only
these are run: the same numbers in about half the time. On CUDA they are recorded as a graph as
well, which launches at once; where that cannot be, they run one by one. `torch.compile` fuses them
on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from heredity.errors import UsageError
from heredity.torch.vector.bodies import Body, split
from heredity.torch.vector.keys import fold
from heredity.torch.vector.shortage import is_out_of_memory
from heredity.torch.vector.tree import Flat
from heredity.trainables.traces import one_line

WARM_UPS = 2
"""Calls before operations are recorded: libraries set themselves up in the first."""

Inputs = tuple[Flat, Flat, Any, Tensor, Tensor]
"""State, columns of hparams, batch, keys, number of the step in its round."""

Function = Callable[..., tuple[Flat, Flat]]
"""Of `Inputs`: step metrics, and the state, which it changes in place."""


class Steps(Protocol):
    """Steps of one group of rows, whose state they change in place."""

    def begin(self, hparams: Mapping[str, Any]) -> None:
        """From here on train with these hparams: plain constants, and columns."""

    def step(self, batch: Any, keys: Tensor, number: int) -> Flat:
        """The `number`th step of the round; step metrics of shape (rows,), which the next step may
        overwrite. Keys are those of the round."""


@dataclass(frozen=True)
class Example:
    """Inputs of one group to trace a step with. Their values do not matter, and the state may be
    trained on: it holds nothing yet."""

    views: Flat
    hparams: Mapping[str, Any]
    batch: Any
    keys: Tensor

    def inputs(self) -> Inputs:
        """The inputs, all but the state at places of their own."""
        number = torch.zeros((), dtype=torch.int32, device=self.keys.device)
        columns = split(self.hparams)[1]
        return self.views, *pytree.tree_map(_copied, (columns, self.batch, self.keys)), number


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def in_place(body: Body, constants: Mapping[str, Any], shared_batch: bool, keyed: bool) -> Function:
    """A whole step as one function, without anything kept between calls."""

    def step(
        views: Flat, columns: Flat, batch: Any, keys: Tensor, number: Tensor
    ) -> tuple[Flat, Flat]:
        hparams = {**constants, **columns}
        stepper = body.stepper(hparams, shared_batch=shared_batch, keyed=keyed)
        state, metrics = stepper(views, batch, fold(keys, number) if keyed else None)
        for path, view in views.items():
            if state[path] is not view:
                view.copy_(state[path])
        return metrics, views  # a trace leaves out what is not returned

    return step


def ready(function: Function, groups: Sequence[Example], *, compiled: bool) -> list[Steps]:
    """The steps of each group. Raises `UsageError` if they cannot be compiled."""
    functions: dict[int, Function] = {}
    for group in groups:
        size = len(group.keys)
        if size not in functions:
            traced = make_fx(function)(*group.inputs())
            functions[size] = _compiled(traced, group) if compiled else traced
    sized = [(functions[len(group.keys)], group) for group in groups]
    if groups[0].keys.device.type == "cuda" and (recorded := _recorded(sized)):
        return recorded
    return [Replayed(function, group.views) for function, group in sized]


class Replayed:
    """Runs a step's operations one after the other, or what was compiled of them."""

    def __init__(self, function: Function, views: Flat) -> None:
        self._function, self._views = function, views

    def begin(self, hparams: Mapping[str, Any]) -> None:
        self._columns = split(hparams)[1]

    def step(self, batch: Any, keys: Tensor, number: int) -> Flat:
        place = torch.full((), number, dtype=torch.int32, device=keys.device)
        return self._function(self._views, self._columns, batch, keys, place)[0]


def _compiled(traced: Function, group: Example) -> Function:
    function: Function = torch.compile(traced, dynamic=False)
    try:
        function(*group.inputs())
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(
            f"torch.compile cannot compile a step ({one_line(error)}): leave out compile=True"
        ) from error
    return function


class Recorded:
    """Replays operations that were recorded as a CUDA graph, on inputs at fixed places."""

    def __init__(self, function: Function, example: Example, pool: Any) -> None:
        inputs = example.inputs()
        _, self._columns, batch, self._keys, self._number = inputs
        self._batch = _tensors(batch)
        _warm_up(lambda: function(*inputs))
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._metrics = function(*inputs)[0]

    def begin(self, hparams: Mapping[str, Any]) -> None:
        columns = split(hparams)[1]
        for name, column in self._columns.items():
            column.copy_(columns[name])

    def step(self, batch: Any, keys: Tensor, number: int) -> Flat:
        if number == 0:
            self._keys.copy_(keys)
        for place, leaf in zip(self._batch, _tensors(batch), strict=True):
            place.copy_(leaf)
        self._number.fill_(number)
        self._graph.replay()
        return self._metrics


def _tensors(batch: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor)]


def _recorded(sized: Sequence[tuple[Function, Example]]) -> list[Steps] | None:
    """Recorded steps, or None where a function does what cannot be recorded."""
    pool = torch.cuda.graph_pool_handle()
    try:
        return [Recorded(function, group, pool) for function, group in sized]
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        torch.cuda.synchronize()
        return None


def _warm_up(call: Callable[[], Any]) -> None:
    """Call on a stream of its own, as recording demands."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
