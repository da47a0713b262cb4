"""torch's random functions draw for each member on its own, with their distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.func import vmap
from torch.nn import functional

from heredity.torch.vector.draws import Keyed
from heredity.torch.vector.keys import Purpose, member_keys


def drawn(function: Any, count: int = 3) -> torch.Tensor:
    def one(key: torch.Tensor) -> Any:
        with Keyed(key):
            return function()

    keys = member_keys(0, np.arange(count), 0, Purpose.STEP, torch.device("cpu"))
    values: torch.Tensor = vmap(one, randomness="error")(keys)
    return values


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
    "bernoulli method": (lambda: torch.full((10_000,), 0.3).bernoulli(), 0.3, 0.21),
    "normal": (lambda: torch.normal(torch.full((10_000,), 2.0), 3.0), 2.0, 9.0),
    "normal size": (lambda: torch.normal(2.0, 3.0, (10_000,)), 2.0, 9.0),
    "normal_": (lambda: torch.empty(10_000).normal_(2.0, 3.0), 2.0, 9.0),
    "uniform_": (lambda: torch.empty(10_000).uniform_(-1.0, 1.0), 0.0, 1 / 3),
    "exponential_": (lambda: torch.empty(10_000).exponential_(2.0), 0.5, 0.25),
    "randperm": (lambda: torch.randperm(10_000).double(), 4999.5, (1e8 - 1) / 12),
    "multinomial": (
        lambda: torch.multinomial(torch.tensor([1.0, 2.0, 0.0, 1.0]), 10_000, True).double(),
        1.25,
        1.1875,
    ),
    "Normal": (
        lambda: Normal(torch.zeros(10_000), 2.0, validate_args=False).rsample(),
        0.0,
        4.0,
    ),
    "Categorical": (
        lambda: (
            Categorical(torch.tensor([0.5, 0.0, 0.5]), validate_args=False)
            .sample((10_000,))
            .double()
        ),
        1.0,
        1.0,
    ),
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


def test_a_permutation_has_every_number_once() -> None:
    values = drawn(lambda: torch.randperm(100))
    assert (values.sort(-1).values == torch.arange(100)).all()


def test_without_replacement_none_is_drawn_twice_and_none_of_weight_zero() -> None:
    weights = torch.tensor([[5.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]).repeat(500, 1)
    values = drawn(lambda: torch.multinomial(weights, 3)).sort(-1).values
    assert values.shape == (3, 1000, 3)
    assert (values.reshape(-1, 2, 3) == torch.tensor([[0, 1, 3], [1, 2, 3]])).all()
    first = drawn(lambda: torch.multinomial(weights, 1))[:, ::2]
    assert abs(float((first == 0).double().mean()) - 5 / 7) < 0.05


def test_gumbel_softmax_draws_categories() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3]).log().expand(4000, 3)
    drawn_ones = drawn(lambda: functional.gumbel_softmax(logits)).argmax(-1)
    shares = torch.bincount(drawn_ones.reshape(-1)) / drawn_ones.numel()
    assert torch.allclose(shares, torch.tensor([0.2, 0.5, 0.3]), atol=0.02)


QUERY, KEY, VALUE = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))
MASK = torch.ones(5, 5, dtype=torch.bool).tril(1)
BIAS = torch.linspace(-1, 1, 25).reshape(5, 5)


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"attn_mask": MASK}, {"attn_mask": BIAS}, {"scale": 0.1}],
    ids=lambda options: " ".join(options),
)
def test_attention_is_torchs_as_far_as_nothing_is_dropped(options: Any) -> None:
    plain = functional.scaled_dot_product_attention(QUERY, KEY, VALUE, **options)
    for p in (0.0, 1e-9):  # torch's own, and step by step
        kept = drawn(
            lambda p=p: functional.scaled_dot_product_attention(
                QUERY, KEY, VALUE, dropout_p=p, **options
            )
        )
        torch.testing.assert_close(kept, plain.expand(3, *plain.shape))


def test_attention_may_share_its_heads() -> None:
    def attention(p: float) -> torch.Tensor:
        key, value = KEY[:, :2], VALUE[:, :2]
        return functional.scaled_dot_product_attention(
            QUERY, key, value, dropout_p=p, enable_gqa=True
        )

    torch.testing.assert_close(drawn(lambda: attention(1e-9))[0], attention(0.0))


def test_attention_drops_weights() -> None:
    """With values of one everywhere, the output is the sum of the weights that are left."""
    ones = torch.ones(1, 1, 4000, 8)
    query, key = torch.zeros(1, 1, 20, 8), torch.zeros(1, 1, 4000, 8)
    left = drawn(lambda: functional.scaled_dot_product_attention(query, key, ones, dropout_p=0.3))
    assert abs(float(left.mean()) - 1.0) < 0.01
    assert abs(float(left[..., 0].var()) / (0.3 / 0.7 / 4000) - 1.0) < 0.6
    assert not torch.equal(left[0], left[1])


def test_modules_made_of_several_functions_draw_in_all_of_them() -> None:
    """A transformer's layer: dropout in the attention, in the network and after both."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
    x = torch.ones(2, 5, 8)
    values = drawn(lambda: layer(x))
    assert values.shape == (3, 2, 5, 8)
    assert not torch.equal(values[0], values[1])
    attention = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
    for needed in (True, False):
        values = drawn(lambda needed=needed: attention(x, x, x, need_weights=needed)[0])
        assert not torch.equal(values[0], values[1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.max_pool2d(x, 2),
        lambda x: functional.adaptive_max_pool2d(x, 2, return_indices=True)[0],
        lambda x: functional.interpolate(x, scale_factor=2),
        lambda x: functional.batch_norm(x, None, None, training=True),
        lambda x: functional.cross_entropy(x.flatten(1), torch.arange(4), label_smoothing=0.1),
        lambda x: functional.gelu(functional.layer_norm(functional.pad(x, (1, 1)), (8,))),
    ],
    ids=["max_pool", "adaptive", "interpolate", "batch_norm", "cross_entropy", "layer_norm"],
)
def test_functions_that_draw_nothing_are_torchs(function: Any) -> None:
    x = torch.linspace(-1, 1, 4 * 2 * 6 * 6).reshape(4, 2, 6, 6).sin()
    values = drawn(lambda: function(x))
    torch.testing.assert_close(values, function(x).expand(values.shape))
