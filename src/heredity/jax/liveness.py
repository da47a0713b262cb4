"""Which inputs of a traced function each output depends on: data flow through a jaxpr.

Where a primitive is opaque, its outputs are taken to depend on all of its inputs. So a missing
dependency is certain, and a found one is not. This file knows nothing of hparams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

Sources = frozenset[int]
"""Numbers of the inputs that something depends on."""

_NONE: Sources = frozenset()


def dependencies(jaxpr: Jaxpr, inputs: Sequence[Sources]) -> list[Sources]:
    """What each output depends on, given what the inputs stand for."""
    known: dict[Any, Sources] = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Sources:
        return _NONE if isinstance(atom, Literal) else known.get(atom, _NONE)

    for equation in jaxpr.eqns:
        rule = _RULES.get(equation.primitive.name, _call)
        outputs = rule(equation.params, [read(atom) for atom in equation.invars])
        if outputs is None:
            everything = _union(map(read, equation.invars))
            outputs = [everything] * len(equation.outvars)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _union(sources: Any) -> Sources:
    return _NONE.union(*sources)


def _inner(jaxpr: Any) -> Any:
    return jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr


def _call(params: Any, inputs: list[Sources]) -> list[Sources] | None:
    """A primitive that runs one jaxpr on just its own inputs; None for any other."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if isinstance(params.get(name), ClosedJaxpr | Jaxpr):
            jaxpr = _inner(params[name])
            if len(jaxpr.invars) == len(inputs):
                return dependencies(jaxpr, inputs)
    return None


def _cond(params: Any, inputs: list[Sources]) -> list[Sources]:
    chosen, *rest = inputs
    branches = [dependencies(_inner(branch), rest) for branch in params["branches"]]
    return [_union((chosen, *outputs)) for outputs in zip(*branches, strict=True)]


def _scan(params: Any, inputs: list[Sources]) -> list[Sources]:
    first, count = params["num_consts"], params["num_carry"]
    constants, carry, rest = inputs[:first], inputs[first : first + count], inputs[first + count :]
    body = _inner(params["jaxpr"])
    carry = _settled(lambda c: dependencies(body, [*constants, *c, *rest])[:count], carry)
    return [*carry, *dependencies(body, [*constants, *carry, *rest])[count:]]


def _while(params: Any, inputs: list[Sources]) -> list[Sources]:
    of_test, of_body = params["cond_nconsts"], params["body_nconsts"]
    test, body = _inner(params["cond_jaxpr"]), _inner(params["body_jaxpr"])
    test_constants = inputs[:of_test]
    body_constants = inputs[of_test : of_test + of_body]
    carry = inputs[of_test + of_body :]
    carry = _settled(lambda c: dependencies(body, [*body_constants, *c]), carry)
    rounds = _union(dependencies(test, [*test_constants, *carry]))  # how often it runs
    return [sources | rounds for sources in carry]


def _settled(body: Callable[[list[Sources]], list[Sources]], carry: list[Sources]) -> list[Sources]:
    """What a loop's carry depends on after any number of rounds."""
    while True:
        after = [a | b for a, b in zip(carry, body(carry), strict=True)]
        if after == carry:
            return carry
        carry = after


_RULES: dict[str, Callable[[Any, list[Sources]], list[Sources] | None]] = {
    "cond": _cond,
    "scan": _scan,
    "while": _while,
}
