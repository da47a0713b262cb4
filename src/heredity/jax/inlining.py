"""Functions traced with the jitted functions they call written out in place.

A jitted function keeps arrays that it refers to as constants of its own, which would be compiled
into every program that calls it. Written out, they are the caller's, who can pass them on as
arguments: a frozen network exists once. This file knows nothing of members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.extend.core import Jaxpr, Literal

Function = TypeVar("Function", bound=Callable[..., Any])

_JIT = frozenset({"jit", "pjit", "closed_call"})


def inlined(function: Function) -> Function:
    """The same function of arrays and pytrees of arrays, without calls of jitted functions."""

    def traced(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return traced  # type: ignore[return-value]


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    known = dict(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        if equation.primitive.name in _JIT:
            inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, values)
        else:
            outputs = _applied(jaxpr, equation, known)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _applied(jaxpr: Jaxpr, equation: Any, known: dict[Any, Any]) -> list[Any]:
    """The outputs of one equation: JAX evaluates a jaxpr of nothing else."""
    inputs = [*{atom: None for atom in equation.invars if not isinstance(atom, Literal)}]
    alone = jaxpr.replace(
        constvars=[], invars=inputs, outvars=list(equation.outvars), eqns=[equation]
    )
    values = [known[atom] for atom in inputs]
    return list(jax.core.eval_jaxpr(alone, (), *values))
