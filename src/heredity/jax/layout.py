"""The layout of a member's state: the user's pytree as a flat list of arrays, and back.

Leaves that are no arrays (a module's activation function, a flag, a rate of dropout) stay as `init`
made them. So do plain numbers, unless `step` changes them: then they are arrays from the start.
This file knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
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

    @property
    def numbers(self) -> dict[str, Any]:
        """The plain numbers that stay as they are, by path."""
        leaves = zip(self.paths, self.fixed, strict=True)
        return {path: leaf for path, leaf in leaves if _is_number(leaf)}

    def changed(self, tree: Any) -> list[str]:
        """The paths of plain numbers that are others in a tree."""
        after, _ = _taken_apart(tree, self.names, "step")
        now = dict(zip(after.paths, after.fixed, strict=True))
        return [path for path, was in self.numbers.items() if not _same(was, now.get(path, was))]

    def unpack(self, arrays: Sequence[Any]) -> Any:
        """The user's pytree with these arrays."""
        rest = iter(arrays)
        leaves = [next(rest) if value is _ARRAY else value for value in self.fixed]
        return tree_unflatten(self.treedef, leaves)

    def pack(self, tree: Any, maker: str) -> Arrays:
        """The arrays of a pytree that `maker` returned; `UsageError` if its layout is another."""
        other, arrays = _taken_apart(tree, self.names, maker)
        if problem := self._problem(other, tree, maker):
            raise UsageError(
                f"{maker} must return a state just as init makes it, but {problem}: a population "
                "trains as one program, in which the state keeps its structure"
            )
        return arrays

    def _problem(self, other: Layout, tree: Any, maker: str) -> str:
        """Why a tree with another layout is no such state, for a person; empty if it is one."""
        if not set(self.paths) & set(other.paths):
            return _other_kind(tree, maker)
        if maker == "init":  # makes its functions anew each time: the first stay
            return self._difference(other, anew=True)
        return _container(self.treedef, tree) or self._difference(other, anew=False)

    def _difference(self, other: Layout, anew: bool) -> str:
        """What is not the same in another layout, for a person; empty if nothing.

        What is no array is not compared if it is made `anew`.
        """
        if gone := [path for path in self.paths if path not in other.paths]:
            return f"{_listed(gone)} {'is' if len(gone) == 1 else 'are'} missing"
        if added := [path for path in other.paths if path not in self.paths]:
            return f"{_listed(added)} {'is' if len(added) == 1 else 'are'} new"
        if self.treedef != other.treedef and not anew:
            return _beside(str(self.treedef), str(other.treedef))
        for path, was, now in zip(self.paths, self._kinds(), other._kinds(), strict=True):
            if not _same(was, now) and not (anew and _plain(was) and _plain(now)):
                return f"{path} changes: was {_shown(was)}, is {_shown(now)}{_remedy(was, now)}"
        return ""

    def _kinds(self) -> list[Any]:
        rest = iter(self.arrays)
        return [next(rest) if value is _ARRAY else value for value in self.fixed]


def outline(function: Callable[..., Any], *arguments: Any, names: Collection[str] = ()) -> Layout:
    """The layout of what a function returns, found by tracing it: nothing is computed.

    Plain numbers are arrays if their path is among `names`.
    """
    found: list[Layout] = []

    def traced(*arguments: Any) -> Arrays:
        layout, arrays = _taken_apart(function(*arguments), names, "init")
        found.append(layout)
        return arrays

    jax.eval_shape(traced, *arguments)
    layout = found[-1]
    _require_no_keys(layout)
    return layout


def _taken_apart(tree: Any, names: Collection[str], maker: str) -> tuple[Layout, Arrays]:
    leaves, treedef = tree_flatten_with_path(tree)
    paths = tuple(keystr(path) or "the state" for path, _ in leaves)
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        _require_no_arrays_inside(path, leaf, maker)
    fixed = tuple(
        _ARRAY if _is_array(leaf) or (_is_number(leaf) and path in names) else leaf
        for path, (_, leaf) in zip(paths, leaves, strict=True)
    )
    marked = zip(leaves, fixed, strict=True)
    arrays = [_strong(leaf) for (_, leaf), mark in marked if mark is _ARRAY]
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)
    return Layout(treedef, paths, fixed, shapes), arrays


def _require_no_arrays_inside(path: str, leaf: Any, maker: str) -> None:
    """Raise `UsageError` for an object with traced arrays that JAX does not know of."""
    inside = getattr(leaf, "__dict__", {})
    if not _is_array(leaf) and any(isinstance(a, Tracer) for a in jax.tree.leaves(dict(inside))):
        kind = type(leaf).__name__
        where = path if path == "the state" else f"the state at {path}"
        raise UsageError(
            f"{where}, which {maker} returned, is a {kind}, and JAX does not know that it holds "
            f"arrays: use a dict or an eqx.Module, make {kind} a dataclass with "
            "jax.tree_util.register_dataclass, or register it as a pytree"
        )


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float | complex) and not isinstance(leaf, bool | np.generic)


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


def _plain(kind: Any) -> bool:
    return not isinstance(kind, jax.ShapeDtypeStruct)


def _shown(kind: Any) -> str:
    if isinstance(kind, jax.ShapeDtypeStruct):
        return f"{kind.dtype}[{','.join(map(str, kind.shape))}]"
    return f"{kind!r:.80}"


def _remedy(was: Any, now: Any) -> str:
    """Of a dtype alone there is an easy one."""
    only = getattr(was, "shape", None) == getattr(now, "shape", ())
    return f" (cast it back, with .astype({was.dtype}))" if only else ""


def _container(was: Any, tree: Any, path: Any = ()) -> str:
    """The first list, tuple, dict or the like that was of another kind; empty if there is none."""
    now: Any = jax.tree.structure(tree)
    before, after = was.node_data(), now.node_data()
    if before is None or after is None:
        return ""  # a leaf
    if before[0] is not after[0]:
        place = keystr(path) or "the state"
        return f"{place} is a {after[0].__name__} where init made a {before[0].__name__}"
    parts = tree_flatten_with_path(tree, is_leaf=lambda part: part is not tree)[0]
    pairs = zip(was.children(), parts, strict=False)
    found = (_container(child, part, (*path, *key)) for child, (key, part) in pairs)
    return next(filter(None, found), "")


def _beside(was: str, now: str) -> str:
    """That the structures differ, with the part of their texts where they do."""
    first = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), 0)
    part = slice(max(0, first - 40), first + 40)
    return (
        f"what it holds beside arrays changes: was {was[part]}, is {now[part]} (an optimizer or "
        "another function in the state is made in init or outside, and keeps no hparams)"
    )


def _other_kind(tree: Any, maker: str) -> str:
    """That what was returned has nothing in common with the state."""
    metrics = ' (with metrics, step returns (state, {"loss": …}))' if maker == "step" else ""
    return f"returned {described(tree)}{metrics}"


def _listed(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:3])
    return f"{shown} and {len(paths) - 3} more" if len(paths) > 3 else shown
