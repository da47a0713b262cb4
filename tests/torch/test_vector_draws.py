"""Random numbers by key: uniform, independent, the same wherever they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.nn import functional

from heredity.torch.vector.draws import KEYED, Keyed, Purpose, below, bits, fold, member_keys

CPU = torch.device("cpu")


def keys(count: int, turn: int = 0, seed: int = 0, purpose: Purpose = Purpose.STEP) -> torch.Tensor:
    return member_keys(seed, np.arange(count), turn, purpose, CPU)


def drawn(function: Any, count: int = 3) -> torch.Tensor:
    def one(key: torch.Tensor) -> Any:
        with Keyed(key):
            return function()

    values: torch.Tensor = vmap(one, randomness="error")(keys(count))
    return values


def test_words_are_uniform_in_every_bit() -> None:
    words = bits(keys(64), 4096).reshape(-1)
    for place in range(32):
        ones = int(((words >> place) & 1).sum())
        assert abs(ones - len(words) / 2) < 4 * (len(words) / 4) ** 0.5


def test_words_fall_evenly_into_bins() -> None:
    counts = torch.bincount(below(bits(keys(64), 4096), 100).reshape(-1), minlength=100).double()
    expected = 64 * 4096 / 100
    assert float(((counts - expected) ** 2 / expected).sum()) < 160  # 99 degrees of freedom


@pytest.mark.parametrize("shift", [1, 2, 7, 128])
def test_streams_of_neighbours_do_not_overlap(shift: int) -> None:
    many = bits(keys(256), 512).double()
    for one, other in ((many[:-1], many[1:]), (many[:, :-shift], many[:, shift:])):
        correlation = np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]
        assert abs(correlation) < 0.02
    assert len(torch.unique(many)) > 0.9999 * many.numel()


def test_keys_differ_by_seed_member_turn_purpose_and_step() -> None:
    made = [
        *keys(50),
        *keys(50, turn=1),
        *keys(50, seed=1),
        *keys(50, seed=2**70 + 1),
        *keys(50, purpose=Purpose.BATCH),
        *(row for step in range(50) for row in fold(keys(2), step)),
    ]
    assert len({tuple(key.tolist()) for key in made}) == len(made) - 50  # a seed counts modulo 2⁶⁴


def test_folding_many_numbers_at_once_is_folding_each() -> None:
    numbers = torch.arange(5)
    together = fold(keys(3), numbers[:, None])
    assert all(torch.equal(together[i], fold(keys(3), i)) for i in range(5))


def test_a_members_draws_do_not_depend_on_how_many_draw() -> None:
    assert torch.equal(drawn(lambda: torch.rand(7), 2), drawn(lambda: torch.rand(7), 5)[:2])


DRAWS: dict[str, tuple[Any, float, float]] = {  # function, mean, variance
    "rand": (lambda: torch.rand(200, 50), 0.5, 1 / 12),
    "rand tuple": (lambda: torch.rand((200, 50)), 0.5, 1 / 12),
    "randn": (lambda: torch.randn(200, 50), 0.0, 1.0),
    "rand_like": (lambda: torch.rand_like(torch.ones(10_000)), 0.5, 1 / 12),
    "randn_like": (lambda: torch.randn_like(torch.ones(10_000)), 0.0, 1.0),
    "randint": (lambda: torch.randint(10, (10_000,)).double(), 4.5, 8.25),
    "randint low": (lambda: torch.randint(5, 7, (10_000,)).double(), 5.5, 0.25),
    "bernoulli": (lambda: torch.bernoulli(torch.full((10_000,), 0.3)), 0.3, 0.21),
    "dropout": (lambda: functional.dropout(torch.ones(10_000), 0.2), 1.0, 0.25),
}


@pytest.mark.parametrize("name", DRAWS)
def test_torchs_functions_keep_their_distributions(name: str) -> None:
    function, mean, variance = DRAWS[name]
    values = drawn(function).double().reshape(3, -1)
    assert values.shape == (3, 10_000)
    for row in values:
        assert abs(float(row.mean()) - mean) < 5 * (variance / len(row)) ** 0.5
        assert abs(float(row.var()) / variance - 1) < 0.06
    assert not torch.equal(values[0], values[1])


def test_two_calls_draw_different_numbers() -> None:
    one, other = drawn(lambda: torch.stack([torch.rand(100), torch.rand(100)]))[0]
    assert not torch.equal(one, other)


def test_dropout_of_channels_drops_them_whole() -> None:
    masks = drawn(lambda: functional.dropout2d(torch.ones(4, 50, 3, 3), 0.5))
    whole = masks.flatten(3)
    assert torch.equal(whole.min(-1).values, whole.max(-1).values)
    assert {0.0, 2.0} == set(whole.unique().tolist())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_at_its_ends(p: float) -> None:
    assert (drawn(lambda: functional.dropout(torch.ones(50), p)) == 1.0 - p).all()
    assert (drawn(lambda: functional.dropout(torch.ones(50), torch.tensor(p))) == 1.0 - p).all()
    assert (drawn(lambda: functional.dropout(torch.ones(50), 0.5, training=False)) == 1.0).all()


def test_every_keyed_function_is_one_of_torchs() -> None:
    assert all(function.__module__.startswith("torch") or function.__name__ for function in KEYED)
