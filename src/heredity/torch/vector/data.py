"""What a user gives as data: arrays to draw batches from, or a function that makes an iterator.

This file knows nothing of how batches are drawn or read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from heredity.errors import UsageError


@dataclass(frozen=True, eq=False)
class Batches:
    """What `batches` was given."""

    arrays: Any
    size: int
    replace: bool
    shared: bool


@dataclass(frozen=True, eq=False)
class Stream:
    """What `stream` was given."""

    make_iterator: Callable[[int], Iterator[Any]]


Data = Batches | Stream | None
"""None: the functions make their own."""


def batches(
    arrays: Any, batch_size: int, *, replace: bool = False, shared: bool = False
) -> Batches:
    """Batches of `batch_size` examples from arrays that stay on the device.

    Args:
        arrays: NumPy arrays or tensors of equal length, as a tuple, a dict or a single one; a batch
            has the same form. Training takes place on the device of the tensors.
        replace: draw each batch independently. By default an epoch goes through all examples in
            random order, leaving out those that fill no batch; members keep their own orders, which
            takes 4 bytes for each member and example.
        shared: all members see the same batches.

    Raises `UsageError` for arrays of unequal length or a size that does not fit.
    """
    leaves = pytree.tree_leaves(arrays)
    lengths = [_length(leaf) for leaf in leaves]
    if not lengths:
        raise UsageError("batches() needs arrays, such as batches((x, y), 64)")
    if len(set(lengths)) > 1:
        raise UsageError(f"batches() needs arrays of equal length, not {_listed(lengths)}")
    if type(batch_size) is not int or batch_size < 1:
        raise UsageError(
            f"batch_size is a whole number of at least 1, not {batch_size!r:.80}: it is a shape, "
            "so it is the same for all members"
        )
    if batch_size > lengths[0] and not replace:
        raise UsageError(
            f"batch_size={batch_size} is more than the {lengths[0]} examples: take a smaller one, "
            "or replace=True"
        )
    return Batches(pytree.tree_map(torch.as_tensor, arrays), batch_size, replace, shared)


def stream(make_iterator: Callable[[int], Iterator[Any]]) -> Stream:
    """Batches that Python makes; every member trains on the same one.

    They are read in a thread, one round ahead of the training.

    Args:
        make_iterator: called with the step of the study to begin at, 0 at first; gives an iterator
            of batches without end: arrays or tensors, all of the same shapes, as a tuple, a list, a
            dict or a single one. The same step must give the same batches, for a study that goes on
            after a crash to be the same study.
    """
    if not callable(make_iterator):
        raise UsageError(
            f"stream() takes a function from a step to an iterator, not {make_iterator!r:.80}"
        )
    return Stream(make_iterator)


def as_data(data: Any) -> Data:
    """What `VectorTrainable(data=…)` was given. Raises `UsageError` for anything else."""
    if data is None or isinstance(data, Batches | Stream):
        return data
    raise UsageError(
        "data is heredity.torch.batches(arrays, batch_size) or "
        f"heredity.torch.stream(make_iterator), not {type(data).__name__}"
    )


def device_of(data: Data) -> torch.device | None:
    """The device that the data are on, if they are on one."""
    leaves: list[Tensor] = pytree.tree_leaves(data.arrays) if isinstance(data, Batches) else []
    devices = {leaf.device for leaf in leaves}
    if len(devices) > 1:
        raise UsageError(
            f"the arrays of batches() are on several devices: {sorted(map(str, devices))}"
        )
    return devices.pop() if devices else None


def _length(leaf: Any) -> int:
    shape = getattr(leaf, "shape", None)
    if isinstance(leaf, int | float):
        raise UsageError(
            f"batches() takes NumPy arrays and tensors with one row an example, not numbers such "
            f"as {leaf!r:.80}: make a tensor of each list of them by torch.as_tensor(…)"
        )
    if not shape or not isinstance(leaf, Tensor | np.ndarray):
        raise UsageError(
            f"batches() takes NumPy arrays and tensors with one row an example, not {leaf!r:.80}"
        )
    if not shape[0]:
        raise UsageError("batches() got an array without examples")
    return int(shape[0])


def _listed(lengths: list[int]) -> str:
    return " and ".join(map(str, lengths))
