"""Keys differ in all they are folded from, and in nothing else."""

import itertools

import jax
import numpy as np

from heredity.jax.keys import member_key, root


def words(seed: int, purpose: str, member: int, turn: int) -> tuple[int, ...]:
    key = member_key(root(seed, purpose), member, turn)  # type: ignore[arg-type]
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_every_seed_purpose_member_and_turn_has_a_key_of_its_own() -> None:
    seeds = [0, 1, 2**32, 2**80]
    purposes = ["init", "step", "batch", "evaluate"]
    places = list(itertools.product(seeds, purposes, [0, 1, 2], [0, 1, 2]))
    assert len({words(*place) for place in places}) == len(places)
    assert words(3, "step", 1, 2) == words(3, "step", 1, 2)


def test_keys_are_threefry_whatever_the_default() -> None:
    with jax.default_prng_impl("rbg"):
        assert str(jax.random.key_impl(root(0, "init"))) == "threefry2x32"
