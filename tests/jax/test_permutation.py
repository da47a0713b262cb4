"""Every example comes once an epoch, in an order of its own, computed without memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heredity.jax.permutation import _divided, _multiplied, permute, permuted

word = st.integers(0, 2**32 - 1).map(np.uint32)
permute_jit = jax.jit(permute, static_argnums=2)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 97, 1000])
def test_it_is_a_permutation_of_any_count(count: int) -> None:
    @settings(max_examples=30)
    @given(word, word)
    def check(first: np.uint32, second: np.uint32) -> None:
        places = permute_jit(np.arange(count, dtype=np.uint32), (first, second), count)
        assert sorted(np.asarray(places).tolist()) == list(range(count))

    check()


def test_every_example_lands_everywhere_equally_often() -> None:
    count, keys = 17, 4000

    def order(number: jax.Array) -> jax.Array:
        return permute(jnp.arange(count, dtype=jnp.uint32), (number, number * 3), count)

    orders = np.asarray(jax.jit(jax.vmap(order))(jnp.arange(keys, dtype=jnp.uint32)))
    for example in range(count):
        counts = np.bincount(orders[:, example], minlength=count)
        chi2 = ((counts - keys / count) ** 2 / (keys / count)).sum()
        assert chi2 < 50  # 16 degrees of freedom: p < 3e-5
    follows = (orders[:, 1:] - orders[:, :-1]) % count  # neighbours stay no neighbours
    assert np.bincount(follows.ravel(), minlength=count)[1] < 1.3 * follows.size / (count - 1)


@pytest.mark.parametrize(("count", "size"), [(10, 4), (12, 4), (7, 7)])
def test_epochs_differ_and_each_holds_every_example_once(count: int, size: int) -> None:
    key = jax.random.key(0)
    drawn = [permuted(key, number, size, count) for number in range(3 * count)]
    epochs = np.concatenate(drawn)[: 3 * count].reshape(3, count)
    assert np.sort(epochs).tolist() == [list(range(count))] * 3
    assert len(np.unique(epochs, axis=0)) == 3


@pytest.mark.parametrize(("count", "size"), [(1, 1), (5, 5), (1000, 64), (2**30 - 1, 9)])
@pytest.mark.parametrize("number", [0, 7, 2**31 + 11, 2**32 - 1])
def test_places_in_epochs_do_not_overflow(number: int, count: int, size: int) -> None:
    epoch, place = _divided(np.uint32(number), size, count)
    exact = [divmod(number * size + i, count) for i in range(size)]
    assert np.asarray(place).tolist() == [p for _, p in exact]
    assert np.asarray(epoch).tolist() == [e % 2**32 for e, _ in exact]


def test_large_products_are_divided_exactly() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        count = int(rng.integers(2**20, 2**30))
        size, number = int(rng.integers(1, count)), int(rng.integers(0, count))
        quotient, rest = _multiplied(jnp.uint32(number), size, count)
        assert (int(quotient), int(rest)) == divmod(number * size, count)
