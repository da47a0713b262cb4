"""Written out, a jitted function computes the same and keeps no array to itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from heredity.jax.inlining import inlined

LARGE = jnp.arange(1000.0)
PLAIN = np.arange(1000.0, dtype=np.float32)


@jax.jit
def inner(x: Any) -> Any:
    return (x.sum() * LARGE).max() + (x.sum() * PLAIN).mean()


@jax.jit
def outer(tree: Any) -> Any:
    doubled = jax.tree.map(inner, tree)
    return {"a": doubled["a"], "slope": jax.grad(inner)(tree["b"]), "same": tree["b"], "one": 1}


def looped(tree: Any) -> Any:
    body = lambda carry, x: (carry + x, jnp.sin(carry))  # noqa: E731
    total, waves = jax.lax.scan(body, tree["b"], tree["a"])
    near = jax.lax.cond(total > 0, jnp.cos, jnp.sin, total)
    return {**outer(tree), "total": total, "waves": waves, "near": near}


TREE = {"a": jnp.arange(3.0), "b": jnp.array(2.0)}


def test_the_outputs_are_the_same() -> None:
    found, expected = jax.jit(inlined(looped))(TREE), looped(TREE)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_arrays_become_the_callers_own() -> None:
    held = jax.make_jaxpr(inlined(looped))(TREE).consts
    assert sum(np.size(array) == 1000 for array in held) >= 2
    assert not any(np.size(array) == 1000 for array in jax.make_jaxpr(looped)(TREE).consts)
