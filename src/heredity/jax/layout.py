"""The layout of a member's state: the user's pytree as a flat list of arrays, and back.

Leaves that are no arrays (a module's activation function, a flag, a text) stay as `init` made them.
This file knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_unflatten

from heredity.errors import UsageError
from heredity.jax.words import described

Arrays = list[Any]

_ARRAY: Any = type("_Array", (), {"__repr__": lambda self: "an array"})()
"""Stands in `Layout.fixed` where an array is."""


@dataclass(frozen=True)
class Layout:
    """How the arrays of a state lie in the user's pytree.

    Attributes:
        treedef: the pytree's structure.
        paths: of every leaf, as a user would write it: `['params'].w`.
        fixed: of every leaf, the value that is no array, or a mark that it is one.
        arrays: shape and dtype of the arrays, in order.
    """

    treedef: Any
    paths: tuple[str, ...]
    fixed: tuple[Any, ...]
    arrays: tuple[jax.ShapeDtypeStruct, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the arrays."""
        return tuple(p for p, f in zip(self.paths, self.fixed, strict=True) if f is _ARRAY)

    def unpack(self, arrays: Sequence[Any]) -> Any:
        """The user's pytree with these arrays."""
        rest = iter(arrays)
        leaves = [next(rest) if value is _ARRAY else value for value in self.fixed]
        return tree_unflatten(self.treedef, leaves)

    def pack(self, tree: Any, maker: str) -> Arrays:
        """The arrays of a pytree that `maker` returned; `UsageError` if its layout is another."""
        other, arrays = _taken_apart(tree)
        alike = set(self.paths) & set(other.paths)
        if problem := self._difference(other) if alike else _other_kind(tree, maker):
            raise UsageError(
                f"{maker} must return a state just as init makes it, but {problem}: a population "
                "trains as one program, in which the state keeps its structure"
            )
        return arrays

    def _difference(self, other: Layout) -> str:
        """What is not the same in another layout, for a person; empty if nothing."""
        if gone := [path for path in self.paths if path not in other.paths]:
            return f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} missing"
        if added := [path for path in other.paths if path not in self.paths]:
            return f"{_listed(added)} {'is' if len(added) == 1 else 'are'} new"
        if self.treedef != other.treedef:
            return f"its structure changes: was {self.treedef}, is {other.treedef}"
        for path, was, now in zip(self.paths, self._kinds(), other._kinds(), strict=True):
            if not _same(was, now):
                return f"{path} changes: was {_shown(was)}, is {_shown(now)}{_remedy(was, now)}"
        return ""

    def _kinds(self) -> list[Any]:
        rest = iter(self.arrays)
        return [next(rest) if value is _ARRAY else value for value in self.fixed]


def outline(function: Callable[..., Any], *arguments: Any) -> Layout:
    """The layout of what a function returns, found by tracing it: nothing is computed."""
    found: list[Layout] = []

    def traced(*arguments: Any) -> Arrays:
        layout, arrays = _taken_apart(function(*arguments))
        found.append(layout)
        return arrays

    jax.eval_shape(traced, *arguments)
    layout = found[-1]
    _require_no_keys(layout)
    return layout


def _taken_apart(tree: Any) -> tuple[Layout, Arrays]:
    leaves, treedef = tree_flatten_with_path(tree)
    fixed = tuple(_ARRAY if _is_array(leaf) else leaf for _, leaf in leaves)
    arrays = [_strong(leaf) for _, leaf in leaves if _is_array(leaf)]
    paths = tuple(keystr(path) or "the state" for path, _ in leaves)
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)
    return Layout(treedef, paths, fixed, shapes), arrays


def _is_array(leaf: Any) -> bool:
    numbers = jax.Array, np.ndarray, np.generic, int, float, complex
    return isinstance(leaf, numbers) and not isinstance(leaf, bool)


def _strong(leaf: Any) -> Any:
    """An array whose dtype no longer gives way to others, as that of a plain number does."""
    array = jnp.asarray(leaf)
    return array.astype(array.dtype) if array.aval.weak_type else array


def _require_no_keys(layout: Layout) -> None:
    for name, array in zip(layout.names, layout.arrays, strict=True):
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            raise UsageError(
                f"the state holds a random key at {name}, which a member would inherit with the "
                "weights and then draw what its donor draws: use the `key` that step is given"
            )


def _same(was: Any, now: Any) -> bool:
    if isinstance(was, jax.ShapeDtypeStruct) and isinstance(now, jax.ShapeDtypeStruct):
        return bool(was.shape == now.shape and was.dtype == now.dtype)
    return was is now or (type(was) is type(now) and bool(was == now))


def _shown(kind: Any) -> str:
    if isinstance(kind, jax.ShapeDtypeStruct):
        return f"{kind.dtype}[{','.join(map(str, kind.shape))}]"
    return f"{kind!r:.80}"


def _remedy(was: Any, now: Any) -> str:
    """Of a dtype alone there is an easy one."""
    only = getattr(was, "shape", None) == getattr(now, "shape", ())
    return f" (cast it back, with .astype({was.dtype}))" if only else ""


def _other_kind(tree: Any, maker: str) -> str:
    """That what was returned has nothing in common with the state."""
    metrics = ' (with metrics, step returns (state, {"loss": …}))' if maker == "step" else ""
    return f"returned {described(tree)}{metrics}"


def _listed(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    return f"{shown} and {len(paths) - 3} more" if len(paths) > 3 else shown
