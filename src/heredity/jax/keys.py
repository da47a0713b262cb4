"""Random keys: folded from (seed, purpose, member, turn, number), so none is ever stored.

A member's state holds no key, so a donor's randomness is never inherited, and a study that goes on
after a crash draws what it would have drawn. This file knows nothing of what is drawn.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import numpy as np
from jax.extend.core import Jaxpr, subjaxprs

from heredity.errors import UsageError

Purpose = Literal["init", "step", "batch", "evaluate"]

_PURPOSES: tuple[Purpose, ...] = ("init", "step", "batch", "evaluate")
"""The position is part of the key, so the order never changes."""


def require_sound_keys() -> None:
    """Raise `UsageError` for a default generator whose draws are wrong under `vmap`.

    The documentation of JAX warns of it: mapped over a batch of keys, `rbg` draws from the first.
    """
    config: Any = jax.config
    name = config.jax_default_prng_impl
    if "rbg" in name:
        raise UsageError(
            f"JAX's default random generator is {name!r}, which draws the same for all members of "
            'a population: remove jax_default_prng_impl, or set it to "threefry2x32"'
        )


def require_sound_draws(jaxpr: Jaxpr, what: str) -> None:
    """Raise `UsageError` if a traced function draws from keys of such a generator."""
    for equation in jaxpr.eqns:
        kinds = {str(getattr(v.aval, "dtype", "")) for v in (*equation.invars, *equation.outvars)}
        if any(kind.startswith("key<") and "rbg" in kind for kind in kinds):
            raise UsageError(
                f"{what} draws from a key of the generator rbg or unsafe_rbg, which draws the same "
                "for all members of a population: use the `key` that it is given"
            )
    for inner in subjaxprs(jaxpr):
        require_sound_draws(inner, what)


def root(seed: int, purpose: Purpose) -> Any:
    """The key from which all of a study's keys of one purpose are folded."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose),))
    return wrapped(sequence.generate_state(2, np.uint32))


def wrapped(words: Any) -> Any:
    """A key of its two words."""
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def member_key(key: Any, member: Any, turn: Any) -> Any:
    """The key of one member's turn, for traced numbers too."""
    return jax.random.fold_in(jax.random.fold_in(key, member), turn)
