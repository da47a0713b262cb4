"""A dependency that is missing is certain, through every kind of control flow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from heredity.jax.liveness import dependencies


def found(function: Any, *arguments: Any) -> list[set[int]]:
    """Which of the arguments each output depends on."""
    closed = jax.make_jaxpr(function)(*arguments)
    inputs = [frozenset({number}) for number in range(len(arguments))]
    return [set(sources) for sources in dependencies(closed.jaxpr, inputs)]


def swap_in_three(a: Any, b: Any, c: Any) -> Any:
    """The first carry sees the third's start only in the second round."""

    def body(carry: Any, _: Any) -> Any:
        x, y, z = carry
        return (y, z, z), x

    return jax.lax.scan(body, (a, b, c), None, length=3)


def count_down(a: Any, b: Any, c: Any) -> Any:
    return jax.lax.while_loop(lambda s: s[0] > 0, lambda s: (s[0] - 1, s[1] + c), (a, b))


@jax.custom_jvp
def squared(x: Any, y: Any) -> Any:
    return x**2, y


@squared.defjvp
def _squared_jvp(primals: Any, tangents: Any) -> Any:
    return squared(*primals), (2 * primals[0] * tangents[0], tangents[1])


@jax.custom_vjp
def clipped(x: Any, y: Any) -> Any:
    return x * 1.0, y * 1.0


clipped.defvjp(lambda x, y: (clipped(x, y), None), lambda _, g: g)

CASES: dict[str, tuple[Any, list[set[int]]]] = {
    "arithmetic": (lambda a, b, c: (a + b, c * 2.0, 1.0), [{0, 1}, {2}, set()]),
    "indexing": (lambda a, b, c: jnp.zeros(3).at[a.astype(int)].set(b)[0], [{0, 1}]),
    "jit": (lambda a, b, c: jax.jit(lambda x, y: (y, x))(a, b), [{1}, {0}]),
    "checkpoint": (lambda a, b, c: jax.checkpoint(lambda x, y: (y * 2, x))(a, b), [{1}, {0}]),
    "custom_jvp": (lambda a, b, c: squared(a, b), [{0}, {1}]),
    "custom_vjp": (lambda a, b, c: clipped(a, b), [{0}, {1}]),
    "cond": (
        lambda a, b, c: jax.lax.cond(a > 0, lambda: (b, c), lambda: (c, c * 2)),
        [{0, 1, 2}, {0, 2}],
    ),
    "switch": (
        lambda a, b, c: jax.lax.switch(a.astype(int), [lambda: b, lambda: b + 1, lambda: b * 2]),
        [{0, 1}],
    ),
    "scan": (swap_in_three, [{0, 1, 2}, {1, 2}, {2}, {0, 1, 2}]),
    "while": (count_down, [{0}, {0, 1, 2}]),
    "fori": (lambda a, b, c: jax.lax.fori_loop(0, 3, lambda i, x: x + b, a), [{0, 1}]),
    "vmap": (lambda a, b, c: jax.vmap(lambda x: x * b)(jnp.ones(3)), [{1}]),
    "grad": (lambda a, b, c: jax.grad(lambda x: x * b + c)(a), [{1}]),
    "opaque": (
        lambda a, b, c: jax.pure_callback(
            lambda x, y: (x, y), (jax.ShapeDtypeStruct((), np.float32),) * 2, a, b
        ),
        [{0, 1}, {0, 1}],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_output_depends_on_what_it_is_made_of(case: str) -> None:
    function, expected = CASES[case]
    assert found(function, 1.0, 2.0, 3.0) == expected
