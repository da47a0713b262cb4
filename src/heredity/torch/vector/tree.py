"""States: nested dicts of tensors, as one flat mapping of path to tensor and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from heredity.errors import UsageError

Flat = dict[str, Tensor]
"""`a/b` → tensor; the path of a bare tensor is empty."""

SEPARATOR = "/"


def flatten(tree: Any, source: str) -> Flat:
    """The tensors of a nested dict by path. `source` names, in an error, who made it."""
    return dict(_leaves(tree, "", source))


def _leaves(tree: Any, path: str, source: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            if not isinstance(key, str) or SEPARATOR in key or not key:
                raise UsageError(
                    f"{source}: the state's keys are texts without `/`, not {key!r:.80}"
                )
            yield from _leaves(value, f"{path}{SEPARATOR}{key}" if path else key, source)
    else:
        where = f" at `{path}`" if path else ""
        raise UsageError(
            f"{source}: a state is a tensor or a (nested) dict of tensors, not "
            f"{type(tree).__name__}{where} ({tree!r:.80})"
        )


def unflatten(flat: Mapping[str, Any]) -> Any:
    """The nested dict of a flat one."""
    if "" in flat:
        return flat[""]
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(SEPARATOR)
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return tree


def precision_of(state: Flat) -> torch.dtype:
    """The precision of a state: of its first tensor of real numbers, but at least single."""
    for leaf in state.values():
        if leaf.is_floating_point():
            return torch.promote_types(leaf.dtype, torch.float32)
    return torch.get_default_dtype()


def finite_rows(state: Flat) -> Tensor:
    """Which rows of a stacked state are finite, shape (rows,).

    A sum is finite only if all it is made of are. In double precision it is one pass without
    temporary memory, and overflows for no state that is not about to.
    """
    sums = [
        (torch.view_as_real(leaf) if leaf.is_complex() else leaf)
        .reshape(len(leaf), -1)
        .sum(1, dtype=torch.float64)
        for leaf in state.values()
        if leaf.is_floating_point() or leaf.is_complex()
    ]
    rows = next(iter(state.values()))
    none = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    return torch.stack([none, *sums]).isfinite().all(0)
